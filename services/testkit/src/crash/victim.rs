//! The victim: the child process that runs the load, seen from its parent.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Ack;

/// Reached only when the victim hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A child that runs [`load`](super::load). Dropping it kills it.
pub struct Victim {
    child: Child,
    lines: Receiver<String>,
    /// Whether it has reported its store as open.
    opened: bool,
    acked: Vec<Ack>,
}

impl Victim {
    /// Starts the child and returns when it is about to open its store.
    ///
    /// # Errors
    /// When it cannot be started or ends before that.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        let (line, lines) = channel();
        std::thread::spawn(move || {
            // A line cut off by the kill has no end and is not an acknowledgement.
            let mut out = BufReader::new(out);
            let mut text = String::new();
            while out.read_line(&mut text).is_ok() && text.ends_with('\n') {
                let _ = line.send(text.trim_end().to_owned());
                text.clear();
            }
        });
        let mut victim = Self { child, lines, opened: false, acked: Vec::new() };
        victim.read_until(|line| line == "OPENING")?;
        Ok(victim)
    }

    /// Returns when the child has opened its store.
    ///
    /// # Errors
    /// When it ends before that.
    pub fn wait_until_open(&mut self) -> io::Result<()> {
        self.read_until(|line| line == "OPEN")
    }

    /// Kills the child and returns all it had acknowledged, and whether it had opened its
    /// store.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub fn kill(mut self) -> io::Result<(Vec<Ack>, bool)> {
        self.child.kill()?;
        self.child.wait()?;
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.note(&line);
        }
        Ok((std::mem::take(&mut self.acked), self.opened))
    }

    fn read_until(&mut self, due: impl Fn(&str) -> bool) -> io::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.note(&line);
                    if due(&line) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other("the victim hangs"));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    return Err(io::Error::other(format!("the victim ended: {status}")));
                }
            }
        }
    }

    fn note(&mut self, line: &str) {
        self.opened |= line == "OPEN";
        self.acked.extend(line.parse::<Ack>());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
