//! How the last backup of a shop ended, in the file `backup.json` of its data folder: a
//! command makes backups, and the running shop tells in its metrics and status how old the
//! last one is.

use std::fs;
use std::io;
use std::path::Path;

use model::Time;
use serde::{Deserialize, Serialize};

use crate::Folder;

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
