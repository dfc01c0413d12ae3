//! The marker of a shop's data folder: the format of the data, the shop's name on the mesh,
//! and its root key.
//!
//! | format | what an older program cannot read |
//! | --- | --- |
//! | 1 | |
//! | 2 | products as responses show them; logs whose first events were trimmed |
//!
//! A program opens the format that it writes. `konbini upgrade`, and the start of a newer
//! program, bring an older folder to it, after a backup.
//!
//! **Invariant:** the marker is replaced as a whole; a folder has the format that it names.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::write_new;
use crate::Error;

/// The marker's file in the data folder.
pub(super) const MARKER: &str = "SHOP";

/// The format that this program writes.
pub const FORMAT: u32 = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) format: u32,
    pub(super) shop: String,
    pub(super) root_key: String,
    /// The version of konbini that brought the folder to this format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    konbini: Option<String>,
    /// The backup of before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backup: Option<PathBuf>,
}

impl Marker {
    /// The marker of a new shop.
    pub(super) fn new(shop: String, root_key: String) -> Self {
        let konbini = Some(env!("CARGO_PKG_VERSION").to_owned());
        Self { format: FORMAT, shop, root_key, konbini, backup: None }
    }

    /// Reads the marker in a folder.
    ///
    /// # Errors
    /// [`Error::Folder`] when it is damaged or of a newer format.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(MARKER);
        let text = fs::read(&file).map_err(|why| Error::File { path: file.clone(), why })?;
        let refused = |why: String| Error::Folder { path: file.clone(), why };
        let marker: Self = serde_json::from_slice(&text).map_err(|error| {
            refused(format!(
                "the file is damaged ({error}); restore it from a copy"
            ))
        })?;
        if marker.format > FORMAT {
            return Err(refused(marker.way_back()));
        }
        Ok(marker)
    }

    /// What to do with a folder of a newer format.
    fn way_back(&self) -> String {
        let Self { format, konbini, backup, .. } = self;
        let newer = match konbini {
            Some(version) => format!("konbini {version} or newer"),
            None => "the konbini that wrote it".to_owned(),
        };
        let way =
            format!("it has format {format} and this program reads up to {FORMAT}; use {newer}");
        match backup {
            Some(backup) => format!(
                "{way}, or go back to the backup of before: `konbini restore {}` into an empty folder",
                backup.display()
            ),
            None => way,
        }
    }

    /// Fails for an older format.
    pub(super) fn require_format(&self, folder: &Path) -> Result<(), Error> {
        if self.format == FORMAT {
            return Ok(());
        }
        Err(Error::Folder {
            path: folder.join(MARKER),
            why: format!(
                "it has format {} and this program needs {FORMAT}; `konbini upgrade`, or starting the shop, brings it there after a backup",
                self.format
            ),
        })
    }

    /// Writes the marker into a folder in place of the one that is there, with the present
    /// format.
    pub(super) fn upgrade(self, folder: &Path, backup: Option<&Path>) -> io::Result<()> {
        let upgraded = Self {
            backup: backup.map(Path::to_owned),
            ..Self::new(self.shop, self.root_key)
        };
        let draft = folder.join(format!(".shop-{}", upgraded.shop));
        // A start that was cut off may have left one.
        let _ = fs::remove_file(&draft);
        write_new(&draft, upgraded.text()?.as_bytes())?;
        fs::rename(&draft, folder.join(MARKER))?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn text(&self) -> io::Result<String> {
        serde_json::to_string_pretty(self).map_err(io::Error::other)
    }
}
