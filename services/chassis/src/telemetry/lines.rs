//! The writer of log lines: a bounded queue to a thread of its own, which writes them to
//! standard error, or to journald as fields, and drops and counts those that it cannot write.
//!
//! Standard error may be a pipe whose reader is gone or stuck, a file on a full disk, or
//! journald while it is stopped. None of them may stop a service, nor keep it from ending.
//!
//! **Invariant:** writing a line never blocks and never fails.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rustix::fs::fstat;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::journal::Journal;

/// The capacity of the queue, in lines of about 250 bytes.
const LINES_MAX: usize = 4096;

/// How long an ending process waits until the queued lines are written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The lines dropped so far.
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Job {
    /// A line with its priority (syslog(3)).
    Line(Vec<u8>, Option<u8>),
    /// Answers once all earlier lines have been written.
    Flush(SyncSender<()>),
}

/// The sending end of the queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogLines {
    jobs: SyncSender<Job>,
}

impl LogLines {
    /// A writer to standard error. All lines are dropped if its thread cannot start.
    pub(super) fn stderr() -> Self {
        let (jobs, queue) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new().name("log".into());
        let _ = thread.spawn(move || write_out(&queue, &Output::find()));
        Self { jobs }
    }

    /// Waits until the queued lines are written, but not for ever.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }

    fn line(&self, priority: Option<u8>) -> LogLine<'_> {
        LogLine { lines: self, priority }
    }
}

/// Where the lines go.
enum Output {
    Stderr,
    /// Standard error is journald's. What the journal does not take goes there, with the
    /// priority before it (sd-daemon(3)).
    Journal(Option<Journal>),
}

impl Output {
    fn find() -> Self {
        if is_journal() {
            Self::Journal(Journal::connect())
        } else {
            Self::Stderr
        }
    }

    fn write(&self, line: &[u8], priority: Option<u8>) -> io::Result<()> {
        match (self, priority) {
            (Self::Journal(Some(journal)), Some(priority)) if journal.send(line, priority) => {
                Ok(())
            }
            (Self::Journal(_), Some(priority)) => {
                let line = [format!("<{priority}>").as_bytes(), line].concat();
                io::stderr().write_all(&line)
            }
            _ => io::stderr().write_all(line),
        }
    }
}

fn write_out(queue: &Receiver<Job>, output: &Output) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Line(line, priority) => {
                if output.write(&line, priority).is_err() {
                    count_dropped();
                }
            }
            Job::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn count_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// The number of lines dropped so far.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Whether standard error is journald's (systemd.exec(5), `$JOURNAL_STREAM`).
#[expect(
    clippy::disallowed_methods,
    reason = "no setting: systemd.exec(5) names the variable so"
)]
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|own| stream == format!("{}:{}", own.st_dev, own.st_ino))
}

/// The priority of a level (syslog(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        self.line(None)
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> LogLine<'a> {
        self.line(Some(priority(*about.level())))
    }
}

/// The writer of one line.
pub(super) struct LogLine<'a> {
    lines: &'a LogLines,
    priority: Option<u8>,
}

impl Write for LogLine<'_> {
    /// Queues a whole line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let job = Job::Line(line.to_owned(), self.priority);
        if self.lines.jobs.try_send(job).is_err() {
            count_dropped();
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
        let (jobs, queue) = sync_channel(1);
        let lines = LogLines { jobs };
        for line in [b"one", b"two"] {
            assert_eq!(lines.line(Some(4)).write(line).unwrap(), 3);
        }
        lines.flush();
        let Ok(Job::Line(line, Some(4))) = queue.recv() else {
            panic!("no line");
        };
        assert_eq!(line, b"one");
        assert!(queue.try_recv().is_err(), "the second was dropped");
    }
}
