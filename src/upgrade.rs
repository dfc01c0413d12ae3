//! `konbini upgrade`, and the same when a newer program starts a shop: brings a data folder to
//! the format of this program.
//!
//! Rows are brought to their newest version when they are read (`store::Record`), and tables
//! that are made of others are filled by the first start. So an upgrade is a backup, and the
//! marker of the format, which keeps older programs from opening what they would misread.
//!
//! **Invariant:** nothing of an older folder is changed before its backup is complete and
//! durable; an upgrade that is cut off begins anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::Folder;
use chassis::folder::FORMAT;
use clap::Args;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::backup;
use crate::output;
use crate::shop::{ShopArgs, check_owner};
use crate::systemd;
use crate::table::print_json;

/// Where the backup of before is, in the data folder: units may write to no other.
const BACKUPS: &str = "backups";

/// How often a process looks whether another one has upgraded.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Bring the data folder to the format of this konbini, after a backup of it.
///
/// The start of a newer konbini does the same by itself. Stop the shop first.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    shop: ShopArgs,
    /// Make no backup, for example because the whole folder was just copied.
    #[arg(long)]
    no_backup: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Upgrades the folder and prints what was done.
pub(crate) async fn upgrade(upgrade: Upgrade) -> anyhow::Result<()> {
    upgrade.shop.start_logging("warn");
    let with = if upgrade.no_backup {
        Before::Nothing
    } else {
        Before::Backup
    };
    let upgraded = if_outdated(upgrade.shop.data(), with).await?;
    // So that a folder without a shop is named.
    let folder = Folder::open(upgrade.shop.data())?;
    let data = folder.path().display();
    let Some(Upgraded { from, backup }) = upgraded else {
        if upgrade.json {
            return print_json(&json!({ "from": FORMAT, "to": FORMAT, "backup": null }));
        }
        output::line!("{data} has the format {FORMAT} of this program already");
        return Ok(());
    };
    if upgrade.json {
        return print_json(&json!({ "from": from, "to": FORMAT, "backup": backup }));
    }
    output::line!(
        "{} {data} from format {from} to {FORMAT}",
        "upgraded".green()
    );
    if let Some(backup) = backup {
        output::line!("  the backup of before is {}", backup.display());
    }
    Ok(())
}

/// What an upgrade begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Backup,
    Nothing,
}

/// Upgrades a folder of an older format, for a shop that starts. Several processes may start
/// at once: one upgrades, the others wait for it.
pub(crate) async fn at_start(shop: &ShopArgs) -> anyhow::Result<()> {
    if Folder::open_outdated(shop.data())?.is_none() {
        return Ok(());
    }
    shop.start_logging("info");
    let _starting = systemd::still_starting();
    if_outdated(shop.data(), Before::Backup).await.map(|_| ())
}

/// An upgrade that was made.
struct Upgraded {
    /// The format before.
    from: u32,
    /// The backup of before.
    backup: Option<PathBuf>,
}

/// Upgrades a folder of an older format.
async fn if_outdated(data: &Path, before: Before) -> anyhow::Result<Option<Upgraded>> {
    let Some(folder) = Folder::open_outdated(data)? else {
        return Ok(None);
    };
    check_owner(&folder)?;
    let _lock = loop {
        if let Some(lock) = backup::ShopLock::try_take(&folder)? {
            break lock;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    };
    // The process that had the lock may have done it.
    let Some(folder) = Folder::open_outdated(data)? else {
        return Ok(None);
    };
    let (from, path) = (folder.format(), folder.path().display().to_string());
    let backup = match before {
        Before::Nothing => None,
        Before::Backup => {
            tracing::warn!(
                "{path} has format {from}: backing it up before it gets format {FORMAT}"
            );
            Some(backup::before_upgrade(&folder, &folder.path().join(BACKUPS)).await?)
        }
    };
    folder.upgrade(backup.as_deref())?;
    match &backup {
        Some(backup) => tracing::warn!(
            "upgraded {path} to format {FORMAT}; the backup of before is {}",
            backup.display()
        ),
        None => tracing::warn!("upgraded {path} to format {FORMAT}, without a backup"),
    }
    Ok(Some(Upgraded { from, backup }))
}
