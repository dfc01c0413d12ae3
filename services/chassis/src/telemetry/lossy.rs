//! A lossy log writer: a bounded queue to a thread of its own, which drops and counts lines
//! when it is full.
//!
//! **Invariant:** writing a line never blocks, even on a pipe without a reader.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The capacity of the queue, in lines of about 250 bytes.
const LINES_MAX: usize = 4096;

/// The sending end of the queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lossy(SyncSender<Vec<u8>>);

impl Lossy {
    /// A writer to standard error. All lines are dropped if its thread cannot start.
    pub(super) fn stderr() -> Self {
        let (sender, lines) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new().name("access-log".into());
        let _ = thread.spawn(move || write_out(&lines));
        Self(sender)
    }
}

fn write_out(lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        // A closed standard error has no reader to report to.
        let _ = io::stderr().write_all(&line);
    }
}

impl Write for Lossy {
    /// Queues a whole line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(line.to_vec()).is_err() {
            metrics::counter!("konbini_access_lines_dropped_total").increment(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_does_not_wait() {
        let (sender, lines) = sync_channel(1);
        let mut log = Lossy(sender);
        for line in [b"one", b"two"] {
            assert_eq!(log.write(line).unwrap(), 3);
        }
        assert_eq!(lines.recv().unwrap(), b"one");
        assert!(lines.try_recv().is_err(), "the second was dropped");
    }
}
