//! Notifies staff of backups that fail or are overdue, and of the first that succeeds again.
//!
//! A command makes backups and leaves a file in the data folder; no event says that one has
//! not been made, so the file is looked at.
//!
//! **Invariant:** an incident is stored with its notification, so each is notified once and
//! its end once, also across restarts. An incident is from the first fault to the next
//! success, whatever faults lie between.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use chassis::backup_state::{self, BackupFault};
use chassis::config::BackupConfig;
use chassis::{Context, Folder};
use model::Time;

use crate::domain::Topic;
use crate::notify::{Notifier, has_staff};

/// Nothing → when the incident began that staff were notified of.
const INCIDENT: Table<u16, Time> = Table::new("backup_incident");
const KEY: u16 = 0;

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
            let is_open = store.contains(INCIDENT, &KEY);
            if is_open.is_ok_and(|is_open| is_open != fault.is_some()) {
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

/// Opens or closes the incident. Without staff it is not opened, so that the first of them
/// are notified.
fn notify(
    tx: &mut Tx<'_>,
    notifier: &Notifier,
    fault: Option<BackupFault>,
    expected: &BackupConfig,
    now: Time,
) -> Result<(), StoreError> {
    let expected_hours = expected.expected_hours;
    let topic = match fault {
        _ if !has_staff(tx)? => return Ok(()),
        Some(BackupFault::Failed) => Topic::BackupFailed {},
        Some(BackupFault::Overdue { succeeded_at }) => {
            Topic::BackupOverdue { succeeded_at, expected_hours }
        }
        None => Topic::BackupRecovered {},
    };
    match fault {
        Some(_) => tx.put(INCIDENT, &KEY, &now)?,
        None => tx.delete(INCIDENT, &KEY)?,
    }
    notifier.notify_staff(tx, &topic, now)
}
