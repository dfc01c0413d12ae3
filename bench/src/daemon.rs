//! Programs of other people that are measured beside the shop, if they are installed.
//!
//! **Invariant:** a program ends when its [`Daemon`] is dropped.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;

use crate::process::Process;

/// The slowest, RabbitMQ, takes ten seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Redis and RabbitMQ write what they have first.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at a program that starts or ends.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running program.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
}

impl Daemon {
    /// Starts a program; `None`, with a notice on standard error, if it is not installed.
    ///
    /// # Errors
    /// When the system refuses to start it.
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> anyhow::Result<Option<Self>> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Ok(Some(Self { name, child })),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip(name);
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("cannot start {name}")),
        }
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen within [`START_TIMEOUT`].
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let (name, deadline) = (self.name, Instant::now() + START_TIMEOUT);
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "{name} ended before it listened");
            ensure!(Instant::now() < deadline, "{name} does not listen");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// It and its children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        [pid].into_iter().chain(children).collect()
    }

    /// The processor time that they have used so far.
    pub(crate) fn used(&self) -> Option<Duration> {
        self.pids().into_iter().map(|pid| Process(pid).used()).sum()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // nginx's workers end with their master only if it is asked kindly.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, and returns what it prints; `None`, with a notice on standard
/// error, if it is not installed.
///
/// # Errors
/// When it fails, with its complaint.
pub(crate) fn output(name: &str, mut command: Command) -> anyhow::Result<Option<String>> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{name} failed: {complaint}");
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(name);
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot start {name}")),
    }
}

/// Says that a program is not installed.
pub(crate) fn skip(name: &str) {
    anstream::eprintln!("skipped: {name} is not installed");
}

/// A free port of this host.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
