//! Who was forgotten: a list beside the store, so that a store put back from an
//! older copy forgets them again.
//!
//! One line each, `user_… 2026-11-22T17:44:14.120Z`: an id means nothing to
//! anyone once the account is gone. **Invariant:** the line is on disk before the
//! person is told that they are forgotten, and only the store's writer appends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Id, Time, kinds};

type UserId = Id<kinds::User>;

/// The list, `DATA/users/erasures`.
#[derive(Debug, Clone)]
pub(crate) struct Erasures(PathBuf);

impl Erasures {
    /// The list in a service's room; made when somebody is first forgotten.
    pub(crate) fn in_room(room: &Path) -> Self {
        Self(room.join("erasures"))
    }

    /// Adds an account, durably.
    ///
    /// # Errors
    /// When the disk refuses; the account must not be erased then.
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
            Some(room) => File::open(room)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Every account on the list. A line torn by a crash was never acted upon.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn all(&self) -> io::Result<Vec<UserId>> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let id = |line: &str| line.split(' ').next()?.parse().ok();
        Ok(text.lines().filter_map(id).collect())
    }
}

/// Whether the last line has no end.
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
        let erasures = Erasures::in_room(folder.path());
        assert_eq!(erasures.all().unwrap(), []);
        let (ana, ben) = (UserId::new(), UserId::new());
        erasures.add(ana, Time(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&erasures.0).unwrap();
        file.write_all(b"user_01h455").unwrap();
        erasures.add(ben, Time(2)).unwrap();
        assert_eq!(erasures.all().unwrap(), [ana, ben]);
    }
}
