//! The files of a service in a backup: frames of its snapshot, one after the other,
//! compressed with zstd (RFC 8878). Each frame has its own checksum.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mesh::store::Frame;

use super::files::{PIECE_BYTES, make_folder, new_file};

const COMPRESSED: &str = ".zst";

/// zstd's own default: a catalogue shrinks to a quarter at more than a hundred MB a second.
const LEVEL: i32 = 3;

/// One of the files of a service, being written.
pub(super) struct FramesFile(zstd::Encoder<'static, File>);

impl FramesFile {
    /// Makes `DIR/NAME.zst`.
    pub(super) fn create(dir: &Path, name: &str) -> anyhow::Result<Self> {
        if !dir.exists() {
            make_folder(dir)?;
        }
        let encoder = zstd::Encoder::new(new_file(&frames_path(dir, name))?, LEVEL)?;
        Ok(Self(encoder))
    }

    /// Appends a frame.
    pub(super) fn write(&mut self, frame: &Frame) -> io::Result<()> {
        self.0.write_all(frame.as_bytes())
    }

    /// Makes the file durable and returns its size.
    pub(super) fn finish(self) -> io::Result<u64> {
        let file = self.0.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

/// Reads the frames of `DIR/NAME.zst` in their order.
pub(super) fn read_frames(
    dir: &Path,
    name: &str,
    mut each: impl FnMut(&Frame) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = frames_path(dir, name);
    let failed = || path.display().to_string();
    let mut decoder = zstd::Decoder::new(File::open(&path).with_context(failed)?)?;
    let (mut arrived, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    loop {
        while let Some(frame) =
            Frame::take(&mut arrived).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?
        {
            each(&frame)?;
        }
        match decoder.read(&mut piece).with_context(failed)? {
            0 if arrived.is_empty() => return Ok(()),
            0 => bail!("{}: it ends within a frame", path.display()),
            count => arrived.extend_from_slice(&piece[..count]),
        }
    }
}

fn frames_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{COMPRESSED}"))
}
