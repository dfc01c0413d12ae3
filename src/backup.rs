//! `konbini backup`: a consistent copy of all services, running or at rest.
//!
//! Each service sends its rows while it serves, and the records that it journals meanwhile.
//! When every service has sent its rows, all followers are held for a moment, and each copy
//! ends at the record that was the service's last then. So a copied service never knows more
//! of another than that one's copy has.
//!
//! | module | holds |
//! | --- | --- |
//! | `source` | the stream of one service, and its files |
//! | `archive` | the folder of a backup: names, manifest, checksums |
//! | `frames`, `files` | its files of frames, and files that are durable |
//! | `restore` | `konbini restore` |
//! | `rotation` | `konbini backups list` and `prune` |
//!
//! **Invariants:** a backup has its name only once it is complete and durable. It is readable
//! to its owner alone.

mod archive;
mod files;
mod frames;
mod restore;
mod rotation;
mod source;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chassis::Folder;
use clap::Args;
use futures::future;
use hyper::Method;
use indicatif::{HumanBytes, HumanDuration, ProgressBar};
use owo_colors::OwoColorize;
use serde_json::json;

use self::archive::{Archive, Manifest, Part};
use self::source::Source;
use crate::control;
use crate::output;
use crate::positions;
use crate::service_name::ServiceName;
use crate::shop::{ShopArgs, check_owner};
use crate::table::print_json;

pub(crate) use self::files::files_below;
pub(crate) use self::restore::{Restore, restore};
pub(crate) use self::rotation::{ListBackups, Prune, list, prune};

/// A restored shop without its keys complains of them; what fails is the command's error.
const LOG_LEVEL: &str = "off";

/// How often the followers are held until all of them were at one moment, and the pause
/// between: a follower that catches up does not answer before it has.
const CUTS_MAX: usize = 20;
const CUT_PAUSE: Duration = Duration::from_millis(500);

/// Back up a shop, running or at rest, into a new folder below DEST.
///
/// The copy is of one moment across all services, checksummed and compressed, and has the
/// settings and templates with it. The secret keys are in it only with --keys: keep a copy of
/// them elsewhere (see the README). `konbini restore` makes a shop of it again.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The folder of the backups; made if it is absent.
    dest: PathBuf,
    /// Copy the secret keys, too: a reader of the backup can then sign tokens.
    #[arg(long)]
    keys: bool,
    /// Restore the backup into a temporary folder and check it.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Makes a backup and prints where it is.
pub(crate) async fn backup(backup: Backup) -> anyhow::Result<()> {
    let (folder, _) = backup.shop.open(LOG_LEVEL, None)?;
    let begun = Instant::now();
    let outcome = make_and_verify(&backup, &folder).await;
    note_outcome(&folder, &outcome);
    let (path, manifest) = outcome?;
    let rows: u64 = manifest.services.values().map(|part| part.rows).sum();
    if backup.json {
        return print_json(&json!({
            "path": path,
            "bytes": manifest.bytes,
            "rows": rows,
            "held_ms": manifest.held_ms,
            "verified": backup.verify,
            "services": manifest.services,
        }));
    }
    output::line!(
        "{} {}: {rows} rows, {} in {}{}",
        "backed up".green(),
        path.display(),
        HumanBytes(manifest.bytes),
        HumanDuration(begun.elapsed()),
        if backup.verify { ", restored and checked" } else { "" }
    );
    if !backup.keys {
        output::line!(
            "  without the secret keys; keep a copy of {}/keys elsewhere",
            folder.path().display()
        );
    }
    Ok(())
}

async fn make_and_verify(backup: &Backup, folder: &Folder) -> anyhow::Result<(PathBuf, Manifest)> {
    let (path, manifest) = make(backup, folder).await?;
    if backup.verify {
        let verified = restore::verify(&path).await;
        verified.with_context(|| format!("{}: the backup fails its check", path.display()))?;
    }
    Ok((path, manifest))
}

async fn make(backup: &Backup, folder: &Folder) -> anyhow::Result<(PathBuf, Manifest)> {
    let keys = if backup.keys {
        SecretKeys::Copied
    } else {
        SecretKeys::LeftOut
    };
    let Some(_lock) = ShopLock::try_take(folder)? else {
        bail!(
            "{}: another backup of this shop is being made; wait for its end",
            folder.path().display()
        );
    };
    make_locked(&backup.dest, keys, folder).await
}

/// Backs up a shop at rest whose format is older, with its keys: they lie in the same folder.
/// The caller has the lock.
pub(crate) async fn before_upgrade(folder: &Folder, dest: &Path) -> anyhow::Result<PathBuf> {
    let made = make_locked(dest, SecretKeys::Copied, folder).await;
    Ok(made
        .context("the backup before the upgrade (or `konbini upgrade --no-backup`)")?
        .0)
}

async fn make_locked(
    dest: &Path,
    keys: SecretKeys,
    folder: &Folder,
) -> anyhow::Result<(PathBuf, Manifest)> {
    let services: Vec<_> = positions::with_data(folder).collect();
    if services.is_empty() {
        bail!("{}: there is no data to back up", folder.path().display());
    }
    let mut manifest = Manifest::new(folder);
    let archive = Archive::begin(dest, manifest.created_at)?;
    let bar = output::progress_bar(output::ROWS_BAR, "copying", 0);
    let filled = fill(&archive, folder, &services, &mut manifest, &bar).await;
    bar.finish_and_clear();
    let made = filled.and_then(|()| {
        archive.copy_files(folder, keys, &mut manifest)?;
        archive.finish(&mut manifest)
    });
    if made.is_err() {
        archive.discard();
    }
    Ok((made?, manifest))
}

/// Whether a backup has the secret keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SecretKeys {
    Copied,
    LeftOut,
}

/// The lock on a shop against a second backup at the same time, and against a backup during
/// an upgrade: each would release the followers that the other holds.
pub(crate) struct ShopLock(#[expect(dead_code, reason = "held")] File);

impl ShopLock {
    /// Takes the lock; `None` if another process has it.
    pub(crate) fn try_take(folder: &Folder) -> anyhow::Result<Option<Self>> {
        let path = folder.path().join(archive::MARKER);
        let failed = || path.display().to_string();
        let marker = File::open(&path).with_context(failed)?;
        match marker.try_lock() {
            Ok(()) => Ok(Some(Self(marker))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }
}

/// Copies the services: those that run together, and each of those at rest by itself.
async fn fill(
    archive: &Archive,
    folder: &Folder,
    services: &[ServiceName],
    manifest: &mut Manifest,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let (mut running, mut resting) = (Vec::new(), Vec::new());
    for &service in services {
        match Source::open(folder, service, archive, bar).await {
            Ok(source) => running.push(source),
            Err(error) if control::is_at_rest(&error) => resting.push(service),
            Err(error) => return Err(error),
        }
    }
    let (parts, held) = copy(folder, running).await?;
    manifest.add(parts);
    manifest.held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    if !resting.is_empty() {
        check_owner(folder)?;
    }
    for service in resting {
        let copied = source::copy_resting(folder, service, archive, bar).await?;
        manifest.add(vec![copied]);
    }
    Ok(())
}

/// Copies services up to one moment; returns for how long their followers were held, too.
async fn copy(
    folder: &Folder,
    mut sources: Vec<Source>,
) -> anyhow::Result<(Vec<(ServiceName, Part)>, Duration)> {
    source::read_all(&mut sources).await?;
    for _ in 0..CUTS_MAX {
        if let Some((ends, held)) = cut(folder, &sources).await? {
            let finished = sources.into_iter().zip(ends);
            let finished = finished.map(|(source, end)| source.finish(end));
            return Ok((future::try_join_all(finished).await?, held));
        }
        source::read_for(&mut sources, CUT_PAUSE).await?;
    }
    bail!(
        "the services do not come to rest together: a follower catches up, or one of them is stopped; see `konbini check`"
    );
}

/// Where the copy of a service ends.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
struct End {
    held: bool,
    record: u64,
    log: u64,
}

/// Holds all followers for a moment and notes the end of each service; `None` if not all of
/// them were held at once.
async fn cut(folder: &Folder, sources: &[Source]) -> anyhow::Result<Option<(Vec<End>, Duration)>> {
    let begun = Instant::now();
    let post = async |source: &Source, path: &'static str| {
        let socket = folder.control_socket(source.service().name());
        control::ask(&socket, Method::POST, path).await
    };
    let held = future::try_join_all(
        sources
            .iter()
            .map(|source| post(source, "/control/following/hold")),
    )
    .await;
    let released = future::try_join_all(sources.iter().map(async |source| {
        let response = post(source, "/control/following/release")
            .await?
            .accepted()?;
        Ok::<End, anyhow::Error>(serde_json::from_value(response.body)?)
    }));
    let ends = released.await?;
    let is_held = held?.iter().all(|response| response.status.is_success());
    let is_held = is_held && ends.iter().all(|end| end.held);
    Ok(is_held.then_some((ends, begun.elapsed())))
}

/// Keeps the outcome in the data folder, for the metrics and the status.
fn note_outcome(folder: &Folder, outcome: &anyhow::Result<(PathBuf, Manifest)>) {
    let error = outcome.as_ref().err().map(|error| format!("{error:#}"));
    if let Err(error) = chassis::backup_state::note(folder, model::now(), error) {
        output::error_line!("the outcome of the backup was not noted: {error}");
    }
}

/// The service's own folder in a backup or a shop.
fn of_service(folder: &Path, service: ServiceName) -> PathBuf {
    folder.join(service.name())
}
