//! Damage to files at rest, at random places, and copies of folders to damage.

use std::fs;
use std::io;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;

/// A block that a disk loses at once, in bytes.
const BLOCK_BYTES: usize = 4096;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Its end is cut off.
    Truncate,
    /// A block of it is zeroed.
    ZeroBlock,
    /// A bit of it is flipped.
    FlipBit,
    /// It is replaced by an older version.
    Swap,
    /// It is removed.
    Remove,
    /// It is emptied.
    Empty,
}

impl Damage {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Truncate,
        Self::ZeroBlock,
        Self::FlipBit,
        Self::Swap,
        Self::Remove,
        Self::Empty,
    ];

    /// Damages `file`. `older` is an older version of it, if there is one.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn apply(self, random: &mut StdRng, file: &Path, older: Option<&Path>) -> io::Result<()> {
        let mut bytes = fs::read(file)?;
        let place = random.random_range(0..bytes.len().max(1));
        match self {
            Self::Truncate => bytes.truncate(place),
            Self::ZeroBlock => {
                let begin = place / BLOCK_BYTES * BLOCK_BYTES;
                let end = (begin + BLOCK_BYTES).min(bytes.len());
                bytes[begin..end].fill(0);
            }
            Self::FlipBit => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
            Self::Swap => {
                if let Some(older) = older {
                    bytes = fs::read(older)?;
                }
            }
            Self::Remove => return fs::remove_file(file),
            Self::Empty => bytes.clear(),
        }
        fs::write(file, bytes)
    }
}

/// Copies the files of a folder and of those in it; sockets are left out.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
