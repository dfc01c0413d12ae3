//! A log that never makes anybody wait: lines go to a thread of their own, and
//! where it cannot keep up they are dropped and counted.
//!
//! **Invariant:** writing a line blocks on nothing that another process can hold
//! up, such as a pipe that nobody reads.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How many lines may wait, some 250 bytes each.
const LINES_MAX: usize = 4096;

/// Where lines are left. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lossy(SyncSender<Vec<u8>>);

impl Lossy {
    /// Lines for standard error. They are lost as well if the thread cannot start.
    pub(super) fn stderr() -> Self {
        let (sender, lines) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new().name("access-log".into());
        let _ = thread.spawn(move || write_out(&lines));
        Self(sender)
    }
}

fn write_out(lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        // Whoever closed it does not want to read.
        let _ = io::stderr().write_all(&line);
    }
}

impl Write for Lossy {
    /// Takes a whole line, or drops it.
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
