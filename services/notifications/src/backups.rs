//! Notifies staff of backups that fail or are overdue, and of the first that succeeds again.
//!
//! A command makes backups and leaves a file in the data folder; no event says that one has
//! not been made, so the file is looked at.
//!
//! A fault is news at once, and an incident lasts from the first one to the next success, whatever
//! faults lie between.

use std::time::Duration;

use ::store::{Error as StoreError, Tx};
use chassis::backup_state::{self, BackupFault};
use chassis::config::BackupConfig;
use chassis::{Context, Folder};
use model::Time;

use crate::domain::Topic;
use crate::incidents::{self, IncidentNews};
use crate::notify::{Notifier, has_staff};

/// Backups among incidents.
const BACKUP: &str = "backup";

/// How often the file is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// Starts the task that looks after backups.
pub(crate) fn start(ctx: &Context, notifier: Notifier) {
    let (store, folder) = (ctx.store.clone(), ctx.folder.clone());
    let expected = ctx.config.backup.clone();
    let checking = async move {
        let mut logged = None;
        loop {
            let now = model::now();
            let fault = backup_state::read(&folder).fault(&expected, now);
            if fault != logged {
                log(&folder, fault);
                logged = fault;
            }
            let since = incidents::since(&store, &BACKUP.to_owned());
            if since.is_ok_and(|since| since.is_some() != fault.is_some()) {
                let (notifier, expected) = (notifier.clone(), expected.clone());
                let notified = store
                    .write_when_free(move |tx| notify(tx, &notifier, fault, &expected, now))
                    .await;
                if let Err(error) = notified {
                    tracing::error!(%error, "staff were not notified of backups");
                }
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(checking));
}

fn log(folder: &Folder, fault: Option<BackupFault>) {
    let data = folder.path().display();
    match fault {
        Some(fault) => tracing::warn!(%data, "{fault}; `konbini backup` makes one"),
        None => tracing::info!(%data, "backups are well again"),
    }
}

/// Notifies staff of what they do not know yet. Without staff a fault is not noted, so that the
/// first of them are notified.
fn notify(
    tx: &mut Tx<'_>,
    notifier: &Notifier,
    fault: Option<BackupFault>,
    expected: &BackupConfig,
    now: Time,
) -> Result<(), StoreError> {
    if !has_staff(tx)? {
        return Ok(());
    }
    let what = BACKUP.to_owned();
    let news = match fault {
        Some(_) => incidents::failed(tx, &what, Duration::ZERO, now)?,
        None => incidents::succeeded(tx, &what)?,
    };
    if news == IncidentNews::Nothing {
        return Ok(());
    }
    let topic = match fault {
        Some(BackupFault::Failed) => Topic::BackupFailed {},
        Some(BackupFault::Overdue { succeeded_at }) => {
            let expected_hours = expected.expected_hours;
            Topic::BackupOverdue { succeeded_at, expected_hours }
        }
        None => Topic::BackupRecovered {},
    };
    notifier.notify_staff(tx, &topic, now)
}
