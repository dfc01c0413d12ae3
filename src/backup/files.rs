//! Files and folders, for their owner alone and durable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use mesh::store::Options;

/// The space that a copy leaves free on its disk, in bytes: a shop on the same disk needs
/// 64 MiB to accept orders.
const FREE_BYTES_MIN: u64 = 128 * 1024 * 1024;

/// How much of a file is read at once.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Fails if there is no room to go on copying to the disk of a folder.
pub(super) fn ensure_room(folder: &Path) -> anyhow::Result<()> {
    let free = (Options::default().free_bytes)(folder);
    if free.with_context(|| folder.display().to_string())? < FREE_BYTES_MIN {
        bail!(
            "{}: less than {} are free on its disk; make room there, or choose another one",
            folder.display(),
            HumanBytes(FREE_BYTES_MIN)
        );
    }
    Ok(())
}

/// Copies a file to a new one with its content durable; an absent one is no error.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut content = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if let Some(dir) = to.parent().filter(|dir| !dir.exists()) {
        make_folder(dir)?;
    }
    let mut copy = new_file(to)?;
    io::copy(&mut content, &mut copy)?;
    copy.sync_all()
}

/// The relative paths of all files below a folder, in order; none if it is absent.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(name);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a folder and those above it, for its owner alone.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if let Some(above) = path
        .parent()
        .filter(|above| !above.as_os_str().is_empty() && !above.exists())
    {
        make_folder(above)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = new_file(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the entries of a folder and of those below it durable.
pub(super) fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}
