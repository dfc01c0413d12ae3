//! List of erased accounts, a file beside the store.
//!
//! It is applied whenever the store is opened, so a store restored from an older copy
//! erases them again. Each line is `user_… 2026-11-22T17:44:14.120Z 1f2e3d4c`: the id, which
//! identifies no person once the account is gone, the time, and the CRC-32 of both.
//!
//! **Invariant:** the line is durable before the erasure is acknowledged, and only the
//! store's writer thread appends.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Time, UserId};

/// The list, `DATA/users/erasures`.
#[derive(Debug, Clone)]
pub(crate) struct Erasures(PathBuf);

/// What the list says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) ids: BTreeSet<UserId>,
    /// The numbers of the lines that do not read, from 1.
    pub(crate) unreadable: Vec<usize>,
}

impl Erasures {
    /// The list in a service's data folder; the file is created with the first entry.
    pub(crate) fn in_folder(data_dir: &Path) -> Self {
        Self(data_dir.join("erasures"))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
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
        cut_torn_line(&mut file)?;
        file.write_all(line(user_id, at).as_bytes())?;
        file.sync_all()?;
        match self.0.parent().filter(|_| is_new) {
            Some(data_dir) => File::open(data_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Replaces the list, atomically.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn replace(&self, all: &[(UserId, Time)]) -> io::Result<()> {
        let draft = self.0.with_extension("draft");
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        for (user_id, at) in all {
            file.write_all(line(*user_id, *at).as_bytes())?;
        }
        file.sync_all()?;
        fs::rename(&draft, &self.0)?;
        match self.0.parent() {
            Some(data_dir) => File::open(data_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Reads the list. A last line torn by a crash was never acknowledged and is skipped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(&self) -> io::Result<Listed> {
        let bytes = match fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listed::default()),
            read => read?,
        };
        let mut listed = Listed::default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let lines = bytes[..whole.unwrap_or(0)].split(|byte| *byte == b'\n');
        for (place, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            match read_line(line) {
                Some(id) => {
                    listed.ids.insert(id);
                }
                None => listed.unreadable.push(place + 1),
            }
        }
        Ok(listed)
    }
}

fn line(user_id: UserId, at: Time) -> String {
    let entry = format!("{user_id} {at}");
    format!("{entry} {:08x}\n", crc32fast::hash(entry.as_bytes()))
}

/// The account of a line; earlier versions wrote no checksum.
fn read_line(line: &[u8]) -> Option<UserId> {
    let line = str::from_utf8(line).ok()?;
    let (entry, checksum) = match line.rsplit_once(' ')? {
        (entry, checksum) if entry.contains(' ') => (entry, Some(checksum)),
        _ => (line, None),
    };
    let expected = format!("{:08x}", crc32fast::hash(entry.as_bytes()));
    let (id, _) = entry.split_once(' ')?;
    id.parse()
        .ok()
        .filter(|_| checksum.is_none_or(|checksum| checksum == expected))
}

/// Cuts off the beginning of a line that a crash left without its end.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(0, |last| last + 1);
    if whole < bytes.len() {
        file.set_len(whole as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::in_folder(folder.path());
        assert_eq!(erasures.read().unwrap(), Listed::default());
        let (ana, ben) = (UserId::new(), UserId::new());
        erasures.add(ana, Time(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&erasures.0).unwrap();
        file.write_all(b"user_01h455").unwrap();
        erasures.add(ben, Time(2)).unwrap();
        let all = Listed { ids: [ana, ben].into(), unreadable: Vec::new() };
        assert_eq!(erasures.read().unwrap(), all);
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::in_folder(folder.path());
        let ids = [UserId::new(), UserId::new(), UserId::new()];
        erasures.replace(&ids.map(|id| (id, Time(1)))).unwrap();
        let whole = fs::read(&erasures.0).unwrap();
        let second = whole.len() / 3;
        for (place, byte) in [
            (second + 8, b'0'),
            (second + 8, 0xff),
            (2 * second - 2, b'x'),
        ] {
            let mut damaged = whole.clone();
            damaged[place] = if damaged[place] == byte { b'1' } else { byte };
            fs::write(&erasures.0, damaged).unwrap();
            let listed = erasures.read().unwrap();
            assert_eq!((listed.ids.len(), listed.unreadable), (2, vec![2]));
        }
        let earlier = format!("{} 2026-11-22T17:44:14.120Z\n", ids[0]);
        fs::write(&erasures.0, earlier).unwrap();
        assert_eq!(erasures.read().unwrap().ids, [ids[0]].into());
    }
}
