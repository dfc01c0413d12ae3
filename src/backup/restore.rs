//! `konbini restore`: a shop out of a backup.
//!
//! Everything is verified before anything is written, and a shop appears in the data folder
//! only once all of it is there. What must not come back does not: sessions end, and accounts
//! that were erased since are erased again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chassis::Folder;
use clap::Args;
use hyper::Method;
use indicatif::ProgressBar;
use mesh::store::{FrameKind, Options, StoreBuilder};
use owo_colors::OwoColorize;
use serde_json::json;

use super::LOG_LEVEL;
use super::archive::{self, ERASURES, MARKER, Manifest, Part, SETTINGS, SYNONYMS};
use super::{files, frames};
use crate::check;
use crate::control;
use crate::output;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::print_json;

const VERIFY_BAR: &str = "{prefix} {wide_bar:.cyan/dim} {bytes}/{total_bytes} ETA {eta}";

/// What the lines of guests begin with in a list of erasures.
const GUEST: &str = "cust_";

/// Where a shop is made in the data folder until it is complete.
const UNFINISHED: &str = ".restoring";

/// Make a shop of a backup, in an absent or empty data folder.
///
/// The backup is verified before anything is written. All sessions end; accounts and guests that
/// were erased after the backup are erased again, as far as the backups beside it or --erasures
/// know of them.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder of the backup.
    source: PathBuf,
    #[command(flatten)]
    shop: ShopArgs,
    /// A folder with a copy of the shop's secret keys, laid out as the data folder is: keys/ and
    /// SERVICE/*.secret. Without any, new keys are made: everybody logs in again, and second
    /// factors have to be enrolled anew.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// A newer list of who was erased: the file users/erasures or orders/erasures of the lost data
    /// folder. May be given twice.
    #[arg(long, value_name = "FILE")]
    erasures: Vec<PathBuf>,
    /// Deliver no mail and call no webhook, until the file QUIET is removed: for a copy that
    /// is only looked at.
    #[arg(long)]
    quiet_start: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Restores the backup and prints what there is.
pub(crate) async fn restore(restore: Restore) -> anyhow::Result<()> {
    restore.shop.start_logging(LOG_LEVEL);
    let (source, data) = (&restore.source, restore.shop.data());
    let manifest = verified(source)?;
    refuse_content(data)?;
    let erased = make(&restore, &manifest).await?;
    end_sessions(&restore.shop).await?;
    if restore.json {
        return print_json(&json!({
            "from": source,
            "created_at": manifest.created_at,
            "data": data,
            "services": manifest.services,
            "erasures": erased,
            "quiet": restore.quiet_start,
        }));
    }
    output::line!(
        "{} {} from the backup of {}",
        "restored".green(),
        data.display(),
        manifest.created_at
    );
    output::line!("  all sessions ended; {erased} erased accounts stay erased");
    if !manifest.has_keys && restore.keys.is_none() {
        output::line!("  new secret keys were made: second factors have to be enrolled anew");
    }
    if restore.quiet_start {
        output::line!(
            "  no mail and no webhook leaves it until {} is removed",
            data.join(chassis::folder::QUIET).display()
        );
    }
    output::line!("next: `konbini up --data {}`", data.display());
    Ok(())
}

/// Restores a backup into a temporary folder beside it and checks the shop.
pub(super) async fn verify(source: &Path) -> anyhow::Result<()> {
    let scratch = source.with_extension("verify");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    let shop = ShopArgs::of_folder(&scratch);
    let restore = Restore {
        source: source.to_owned(),
        shop: shop.clone(),
        keys: None,
        erasures: Vec::new(),
        quiet_start: true,
        json: false,
    };
    let manifest = verified(source)?;
    let outcome = async {
        make(&restore, &manifest).await?;
        end_sessions(&shop).await?;
        check::differences(&shop).await
    };
    let outcome = outcome.await;
    fs::remove_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    match outcome?.as_slice() {
        [] => Ok(()),
        different => bail!("it is inconsistent: {}", different.join("; ")),
    }
}

/// The manifest of a backup whose files are as they were written.
fn verified(source: &Path) -> anyhow::Result<Manifest> {
    if !archive::is_backup(source) {
        let newest = archive::backups_in(source)
            .ok()
            .and_then(|mut backups| backups.pop());
        match newest {
            Some(newest) => bail!(
                "{}: it holds backups; name one of them, the newest is {}",
                source.display(),
                newest.display()
            ),
            None => bail!("{}: it is not a backup", source.display()),
        }
    }
    let manifest = Manifest::read(source)?;
    // A newer format is refused.
    Folder::open_outdated(source)?;
    let bar = output::progress_bar(VERIFY_BAR, "verifying", archive::bytes_of(source)?);
    let verified = archive::verify_sums(source, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    verified.map(|()| manifest)
}

/// Refuses a data folder that has more than settings. What an interrupted restore left is
/// removed.
fn refuse_content(data: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| data.display().to_string())?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if name == UNFINISHED {
            fs::remove_dir_all(data.join(name))?;
        } else if name != "lost+found" && name != SETTINGS {
            bail!(
                "{}: it has content (`{}`); choose an empty folder with --data, or move this one away",
                data.display(),
                name.display()
            );
        }
    }
    Ok(())
}

/// Makes the shop; returns how many people are on the lists of erasures.
async fn make(restore: &Restore, manifest: &Manifest) -> anyhow::Result<usize> {
    let (source, data) = (restore.source.clone(), restore.shop.data().to_owned());
    let unfinished = data.join(UNFINISHED);
    files::make_folder(&unfinished).with_context(|| data.display().to_string())?;
    let rows = manifest
        .services
        .values()
        .map(|part| part.rows + part.records)
        .sum();
    let bar = output::progress_bar(output::ROWS_BAR, "restoring", rows);
    let parts: Vec<_> = ServiceName::ALL
        .iter()
        .filter_map(|service| Some((*service, manifest.services.get(service.name())?.clone())))
        .collect();
    let (from, into, counted) = (source.clone(), unfinished.clone(), bar.clone());
    let made = tokio::task::spawn_blocking(move || {
        parts
            .iter()
            .try_for_each(|(service, part)| build(&from, &into, *service, part, &counted))
    });
    let made = made.await?;
    bar.finish_and_clear();
    made?;
    let erased = copy_files(restore, manifest, &unfinished)?;
    put_in_place(&unfinished, &data)?;
    Ok(erased)
}

/// Builds the store of a service.
fn build(
    from: &Path,
    into: &Path,
    service: ServiceName,
    part: &Part,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let (from, into) = (
        super::of_service(from, service),
        super::of_service(into, service),
    );
    files::make_folder(&into)?;
    let mut builder = StoreBuilder::create(&into.join("store"), &Options::default(), part.end)?;
    for file in ["rows", "records"] {
        frames::read_frames(&from, file, |frame| {
            files::ensure_room(&into)?;
            bar.inc(if frame.kind == FrameKind::Record {
                1
            } else {
                frame.number
            });
            Ok(builder.apply(frame)?)
        })?;
    }
    Ok(builder.finish()?)
}

/// Copies the files beside the stores; returns how many people are on the lists of erasures.
fn copy_files(restore: &Restore, manifest: &Manifest, into: &Path) -> anyhow::Result<usize> {
    let source = &restore.source;
    let in_backup = manifest.has_keys.then_some(source);
    if let Some(keys) = restore.keys.as_ref().or(in_backup) {
        let secrets = archive::secrets_in(keys)?;
        if secrets.is_empty() {
            bail!("{}: there are no secret keys in it", keys.display());
        }
        copy_named(keys, into, &secrets)?;
        // The marker names the root key: without its secret, a new shop has to be made.
        copy_named(source, into, &[MARKER.into()])?;
        // The rows of an older format were read as this program does, so it is this format.
        if let Some(older) = Folder::open_outdated(into)? {
            older.upgrade(None)?;
        }
    }
    copy_named(source, into, &[SETTINGS, SYNONYMS].map(PathBuf::from))?;
    copy_named(source, into, &archive::templates_in(source)?)?;
    if restore.quiet_start {
        fs::write(
            into.join(chassis::folder::QUIET),
            "Nothing is delivered from here while this file exists.\n",
        )?;
    }
    let erased = erasures(restore)?;
    // A line that does not read is refused where the lists are read.
    let (guests, accounts): (Vec<_>, Vec<_>) = erased
        .iter()
        .map(String::as_str)
        .partition(|line| line.starts_with(GUEST));
    for (list, lines) in ERASURES.iter().zip([accounts, guests]) {
        if !lines.is_empty() {
            fs::write(into.join(list), lines.join("\n") + "\n")?;
        }
    }
    Ok(erased.len())
}

/// Copies files of one folder into another, under the same names.
fn copy_named(from: &Path, into: &Path, names: &[PathBuf]) -> anyhow::Result<()> {
    for name in names {
        let file = from.join(name);
        files::copy_file(&file, &into.join(name)).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The lines of all lists of erasures that are known: of this backup, of those beside it, and
/// the one given.
fn erasures(restore: &Restore) -> anyhow::Result<BTreeSet<String>> {
    let source = &restore.source;
    let above = source.canonicalize()?.parent().map(Path::to_owned);
    let beside = above.map(|above| archive::backups_in(&above)).transpose()?;
    let mut backups = beside.unwrap_or_default();
    backups.push(source.clone());
    let lists = backups
        .iter()
        .flat_map(|backup| ERASURES.map(|list| backup.join(list)));
    let lists: Vec<_> = lists.collect();
    let mut lines = BTreeSet::new();
    for list in lists
        .iter()
        .filter(|list| list.exists())
        .chain(&restore.erasures)
    {
        let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(lines)
}

/// Moves what was made into the data folder, the shop's marker last: until then no command
/// takes it for a shop.
fn put_in_place(unfinished: &Path, data: &Path) -> anyhow::Result<()> {
    files::sync_folders(unfinished)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(unfinished)? {
        names.push(entry?.file_name());
    }
    names.sort_by_key(|name| name == MARKER);
    for name in names {
        // Settings that are there stay: a package puts a link there.
        if name == SETTINGS && data.join(SETTINGS).symlink_metadata().is_ok() {
            fs::remove_file(unfinished.join(&name))?;
            continue;
        }
        fs::rename(unfinished.join(&name), data.join(&name))?;
    }
    fs::remove_dir(unfinished)?;
    files::sync_folder(data)?;
    if !Folder::holds_shop(data) {
        Folder::adopt(data)?;
    }
    Ok(())
}

/// Ends all sessions of the restored shop: they may have ended since the backup. New signing
/// keys make the access tokens of that time worthless, too.
async fn end_sessions(shop: &ShopArgs) -> anyhow::Result<()> {
    control::with_users(shop, async |folder: &Folder| {
        for (path, body) in [
            ("/control/keys/rotate", json!({ "at_once": true })),
            ("/control/sessions/end", json!({})),
        ] {
            control::ask_users(folder, Method::POST, path, Some(body))
                .await?
                .accepted()?;
        }
        Ok(())
    })
    .await
}
