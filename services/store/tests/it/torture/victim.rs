//! The process that is going to die, seen from the one that watches.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Ack;

/// Reached only when the victim hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A child that runs [`load`](super::load). Dropping it kills it.
pub(crate) struct Victim {
    child: Child,
    said: Receiver<String>,
    /// Whether it has said that its store is open.
    pub(crate) opened: bool,
    acked: Vec<Ack>,
}

impl Victim {
    /// Starts the child and returns when it is about to open its store.
    ///
    /// # Errors
    /// When it cannot be started or ends before that.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        let (line, said) = channel();
        std::thread::spawn(move || {
            // A line cut off by the kill has no end and is not an acknowledgement.
            let mut out = BufReader::new(out);
            let mut text = String::new();
            while out.read_line(&mut text).is_ok() && text.ends_with('\n') {
                let _ = line.send(text.trim_end().to_owned());
                text.clear();
            }
        });
        let mut victim = Self { child, said, opened: false, acked: Vec::new() };
        victim.hear_until(|line| line == "OPENING")?;
        Ok(victim)
    }

    /// Returns when the child has opened its store.
    ///
    /// # Errors
    /// When it ends before that.
    pub(crate) fn wait_until_open(&mut self) -> io::Result<()> {
        self.hear_until(|line| line == "OPEN")
    }

    /// Kills the child and returns all it had acknowledged.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub(crate) fn kill(mut self) -> io::Result<(Vec<Ack>, bool)> {
        self.child.kill()?;
        self.child.wait()?;
        while let Ok(line) = self.said.recv_timeout(DEADLINE) {
            self.hear(&line);
        }
        Ok((std::mem::take(&mut self.acked), self.opened))
    }

    fn hear_until(&mut self, due: impl Fn(&str) -> bool) -> io::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(line) => {
                    self.hear(&line);
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

    fn hear(&mut self, line: &str) {
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
