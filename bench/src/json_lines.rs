//! Reads JSON JsonLines, plain or compressed with xz, one line at a time.
//!
//! Never holds a whole file: a line and the decoder's dictionary are all the
//! memory it takes, and both are bounded.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use lzma_rust2::XzReader;

use crate::progress::PhaseProgress;

/// No product or invoice comes near; a file without line ends stops here.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Decoder memory in KiB: what `xz -9` asks for, twice.
const DECODER_KIB_MAX: u32 = 128 << 10;

/// The lines of one file, without their line ends.
pub(crate) struct JsonLines {
    reader: BufReader<Box<dyn Read + Send>>,
    number: usize,
}

impl JsonLines {
    /// Opens `path`, decompressing it if its name ends in `.xz`, and shows the
    /// file's bytes as they are read as a phase called `what`.
    pub(crate) fn open(path: &Path, what: &'static str) -> anyhow::Result<(Self, PhaseProgress)> {
        let open = || {
            let file = File::open(path)?;
            let file_bytes = file.metadata()?.len();
            Ok::<_, std::io::Error>((file, file_bytes))
        };
        let (file, file_bytes) =
            open().with_context(|| format!("cannot open {}", path.display()))?;
        let progress = PhaseProgress::bytes(what, file_bytes);
        let file = progress.reading(file);
        let reader: Box<dyn Read + Send> = if path.extension().is_some_and(|end| end == "xz") {
            let file = BufReader::new(file);
            Box::new(XzReader::new_mem_limit(file, true, DECODER_KIB_MAX))
        } else {
            Box::new(file)
        };
        let reader = BufReader::with_capacity(64 << 10, reader);
        Ok((Self { reader, number: 0 }, progress))
    }

    fn read(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.number += 1;
        (&mut self.reader)
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("cannot read line {}", self.number))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() == LINE_BYTES_MAX {
            bail!("line {} is longer than {LINE_BYTES_MAX} bytes", self.number);
        }
        line.truncate(line.trim_ascii_end().len());
        Ok(Some(line))
    }
}

impl Iterator for JsonLines {
    type Item = anyhow::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
