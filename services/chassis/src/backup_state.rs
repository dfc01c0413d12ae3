//! How the last backup of a shop ended, in the file `backup.json` of its data folder: a
//! command makes backups, and the running shop shows in its metrics and status how old the
//! last one is, and notifies staff of one that failed or is overdue.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use model::Time;
use serde::{Deserialize, Serialize};

use crate::Folder;
use crate::config::BackupConfig;

const FILE: &str = "backup.json";

/// The last backups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupState {
    /// When the last one that succeeded was complete.
    #[serde(default)]
    pub succeeded_at: Option<Time>,
    /// When the last one failed, if none has succeeded since.
    #[serde(default)]
    pub failed_at: Option<Time>,
    /// Why.
    #[serde(default)]
    pub error: Option<String>,
}

/// What is wrong with the backups of a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupFault {
    /// The last attempt failed.
    Failed,
    /// The last backup is older than the settings expect.
    Overdue {
        /// When the last one succeeded, if any has.
        succeeded_at: Option<Time>,
    },
}

impl BackupState {
    /// What is wrong at `now`; a failure, if both are so. Without an expectation no backup is
    /// overdue, and with one a shop that has none is.
    pub fn fault(&self, expected: &BackupConfig, now: Time) -> Option<BackupFault> {
        if self.failed_at.is_some() {
            return Some(BackupFault::Failed);
        }
        let (age_max, succeeded_at) = (expected.age_max()?, self.succeeded_at);
        let is_overdue = succeeded_at.is_none_or(|at| now.since(at) > age_max);
        is_overdue.then_some(BackupFault::Overdue { succeeded_at })
    }
}

impl fmt::Display for BackupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("the last backup failed"),
            Self::Overdue { succeeded_at: Some(at) } => {
                write!(f, "a backup is overdue: the last one was complete at {at}")
            }
            Self::Overdue { succeeded_at: None } => {
                f.write_str("a backup is overdue: there is none yet")
            }
        }
    }
}

/// Reads the state; that of a shop without backups if there is no file, or none that reads.
pub fn read(folder: &Folder) -> BackupState {
    let bytes = fs::read(folder.path().join(FILE)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Notes the end of a backup, with the reason if it failed.
///
/// # Errors
/// When the file cannot be written.
pub fn note(folder: &Folder, at: Time, error: Option<String>) -> io::Result<()> {
    let state = match error {
        None => BackupState { succeeded_at: Some(at), ..BackupState::default() },
        Some(_) => BackupState { failed_at: Some(at), error, ..read(folder) },
    };
    write(folder.path(), &state)
}

fn write(data: &Path, state: &BackupState) -> io::Result<()> {
    let draft = data.join(format!(".{FILE}"));
    fs::write(&draft, serde_json::to_vec(state).map_err(io::Error::other)?)?;
    fs::rename(draft, data.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_overdue_where_one_is_expected() {
        const HOUR: i64 = 60 * 60 * 1000;
        let (failed, overdue) = (BackupFault::Failed, |at| {
            Some(BackupFault::Overdue { succeeded_at: at })
        });
        let (now, early) = (Time(100 * HOUR), Some(Time(75 * HOUR)));
        for (succeeded_at, failed_at, expected_hours, fault) in [
            (None, None, None, None),
            (early, None, None, None),
            (early, None, Some(25), None),
            (early, None, Some(24), overdue(early)),
            (None, None, Some(24), overdue(None)),
            (early, Some(now), None, Some(failed)),
            (early, Some(now), Some(24), Some(failed)),
        ] {
            let state = BackupState { succeeded_at, failed_at, error: None };
            let found = state.fault(&BackupConfig { expected_hours }, now);
            assert_eq!(found, fault, "{state:?} {expected_hours:?}");
        }
    }
}
