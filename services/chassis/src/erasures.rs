//! List of erased people, a file beside the store: accounts of users, guests of orders.
//!
//! It is applied whenever the store is opened, so a store restored from an older copy
//! erases them again. Each line is `user_… 2026-11-22T17:44:14.120Z 1f2e3d4c`: the id, which
//! identifies no person once they are erased, the time, and the CRC-32 of both.
//!
//! **Invariant:** the line is durable before the erasure is acknowledged, and only the
//! store's writer thread appends.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Id, Kind, Time};
use store::{Read as _, Store, Table};

use crate::Error;

/// The list, `DATA/SERVICE/erasures`, of people with ids of one kind.
#[derive(Debug)]
pub struct Erasures<K: Kind> {
    path: PathBuf,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Clone for Erasures<K> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), kind: PhantomData }
    }
}

/// What the list says.
pub struct Listed<K: Kind> {
    /// Those who were erased.
    pub ids: BTreeSet<Id<K>>,
    /// The numbers of the lines that do not read, from 1.
    pub unreadable: Vec<usize>,
}

impl<K: Kind> Erasures<K> {
    /// The list in a service's data folder; the file is created with the first entry.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self { path: data_dir.join("erasures"), kind: PhantomData }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a person, durably.
    ///
    /// # Errors
    /// When the disk fails; the person must not be erased then.
    pub fn add(&self, id: Id<K>, at: Time) -> io::Result<()> {
        let is_new = !self.path.exists();
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        cut_torn_line(&mut file)?;
        file.write_all(line(id, at).as_bytes())?;
        file.sync_all()?;
        match self.path.parent().filter(|_| is_new) {
            Some(data_dir) => File::open(data_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Replaces the list, atomically.
    ///
    /// # Errors
    /// When the disk fails.
    fn replace(&self, all: &[(Id<K>, Time)]) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        for (id, at) in all {
            file.write_all(line(*id, *at).as_bytes())?;
        }
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        match self.path.parent() {
            Some(data_dir) => File::open(data_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Compares the list with the table of those whom the store knows as erased, after the list
    /// was applied to that. A list that is damaged or incomplete is written anew from it.
    ///
    /// # Errors
    /// When lines that do not read may name people whom the store does not know as erased: they
    /// could come back with an older copy of it.
    pub fn complete(
        &self,
        listed: &Listed<K>,
        store: &Store,
        erased: Table<Id<K>, Time>,
    ) -> Result<(), Error> {
        let known = store.scan(erased.all())?;
        let known: Vec<_> = known.collect::<Result<_, _>>()?;
        let Listed { ids, unreadable } = listed;
        if ids.len() + unreadable.len() > known.len() {
            let lines = unreadable.iter().map(ToString::to_string);
            let lines = lines.collect::<Vec<_>>().join(", ");
            let why = format!(
                "lines that do not read: {lines}. An erased person may come back with an older copy of this \
                 service's data. Restore the file from a copy, or delete the line to go on without it"
            );
            return Err(Error::Folder { path: self.path.clone(), why });
        }
        if !unreadable.is_empty() || ids.len() < known.len() {
            let file = self.path.display();
            tracing::warn!(%file, "the list of erasures is damaged or incomplete and is written anew");
            let failed = |why| Error::File { path: self.path.clone(), why };
            self.replace(&known).map_err(failed)?;
        }
        Ok(())
    }

    /// Reads the list. A last line torn by a crash was never acknowledged and is skipped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> io::Result<Listed<K>> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Listed { ids: BTreeSet::new(), unreadable: Vec::new() });
            }
            read => read?,
        };
        let mut listed = Listed { ids: BTreeSet::new(), unreadable: Vec::new() };
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

fn line<K: Kind>(id: Id<K>, at: Time) -> String {
    let entry = format!("{id} {at}");
    format!("{entry} {:08x}\n", crc32fast::hash(entry.as_bytes()))
}

/// The person of a line; earlier versions wrote no checksum.
fn read_line<K: Kind>(line: &[u8]) -> Option<Id<K>> {
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
    use model::kinds;

    use super::*;

    type UserId = Id<kinds::User>;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::<kinds::User>::in_folder(folder.path());
        assert!(erasures.read().unwrap().ids.is_empty());
        let (ana, ben) = (UserId::new(), UserId::new());
        erasures.add(ana, Time(1)).unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(&erasures.path)
            .unwrap();
        file.write_all(b"user_01h455").unwrap();
        erasures.add(ben, Time(2)).unwrap();
        let listed = erasures.read().unwrap();
        assert_eq!(
            (listed.ids, listed.unreadable),
            ([ana, ben].into(), Vec::new())
        );
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::<kinds::User>::in_folder(folder.path());
        let ids = [UserId::new(), UserId::new(), UserId::new()];
        erasures.replace(&ids.map(|id| (id, Time(1)))).unwrap();
        let whole = fs::read(&erasures.path).unwrap();
        let second = whole.len() / 3;
        for (place, byte) in [
            (second + 8, b'0'),
            (second + 8, 0xff),
            (2 * second - 2, b'x'),
        ] {
            let mut damaged = whole.clone();
            damaged[place] = if damaged[place] == byte { b'1' } else { byte };
            fs::write(&erasures.path, damaged).unwrap();
            let listed = erasures.read().unwrap();
            assert_eq!((listed.ids.len(), listed.unreadable), (2, vec![2]));
        }
        let earlier = format!("{} 2026-11-22T17:44:14.120Z\n", ids[0]);
        fs::write(&erasures.path, earlier).unwrap();
        assert_eq!(erasures.read().unwrap().ids, [ids[0]].into());
    }
}
