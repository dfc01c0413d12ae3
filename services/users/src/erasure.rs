//! List of erased accounts, a file beside the store.
//!
//! It is applied whenever the store is opened, so a store restored from an older copy
//! erases them again. Each line is `user_… 2026-11-22T17:44:14.120Z`; the id identifies
//! no person once the account is gone. **Invariant:** the line is durable before the
//! erasure is acknowledged, and only the store's writer thread appends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Time, UserId};

/// The list, `DATA/users/erasures`.
#[derive(Debug, Clone)]
pub(crate) struct Erasures(PathBuf);

impl Erasures {
    /// The list in a service's data folder; the file is created with the first entry.
    pub(crate) fn in_folder(data_dir: &Path) -> Self {
        Self(data_dir.join("erasures"))
    }

    /// Adds an account, durably.
    ///
    /// # Errors
    /// When the disk fails; the account must not be erased then.
    pub(crate) fn add(&self, user_id: UserId, at: Time) -> io::Result<()> {
        let is_new = !self.0.exists();
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)?;
        let gap = if ends_torn(&mut file)? { "\n" } else { "" };
        file.write_all(format!("{gap}{user_id} {at}\n").as_bytes())?;
        file.sync_all()?;
        match self.0.parent().filter(|_| is_new) {
            Some(data_dir) => File::open(data_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Every account on the list. A line torn by a crash was never acknowledged and is
    /// skipped.
    pub(crate) fn all(&self) -> io::Result<Vec<UserId>> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let id = |line: &str| line.split(' ').next()?.parse().ok();
        Ok(text.lines().filter_map(id).collect())
    }
}

/// Whether the last line lacks its newline.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::in_folder(folder.path());
        assert_eq!(erasures.all().unwrap(), []);
        let (ana, ben) = (UserId::new(), UserId::new());
        erasures.add(ana, Time(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&erasures.0).unwrap();
        file.write_all(b"user_01h455").unwrap();
        erasures.add(ben, Time(2)).unwrap();
        assert_eq!(erasures.all().unwrap(), [ana, ben]);
    }
}
