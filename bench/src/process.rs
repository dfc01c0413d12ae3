//! Processes of this host, read from `/proc` (proc(5)): the listener of a port, processor
//! time and resident memory.
//!
//! **Invariant:** a figure that cannot be read is never reported as zero.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// The unit of `/proc/PID/stat` (proc(5)): `USER_HZ`, 100 a second on every
/// platform that Linux has in common use.
const TICK: Duration = Duration::from_millis(10);

/// The fields of `/proc/PID/stat` after the command's name, counted from 0.
const UTIME: usize = 11;
const STIME: usize = 12;

/// In `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The process that runs this code.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Processor time used so far, of all its threads, in user and in system mode.
    pub(crate) fn used(self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name is in parentheses and may hold anything, spaces too.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u32>().ok();
        Some(TICK * (ticks(UTIME)? + ticks(STIME)?))
    }
}

/// The process that listens on `port`, if this user may see it.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_on(port, &table))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid: &u32| holds_any(*pid, &sockets))
}

/// The resident memory of all these processes together, in bytes (`VmRSS`).
pub(crate) fn resident_bytes(pids: &[u32]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        bytes += 1024
            * kib
                .with_context(|| format!("no VmRSS in {path}"))?
                .parse::<u64>()?;
    }
    Ok(bytes)
}

/// The inodes of a table's sockets that listen on `port`.
fn listening_on(port: u16, table: &str) -> Vec<String> {
    let end = format!(":{port:04X}");
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&end) && *fields.get(3)? == LISTENING;
        listens.then(|| fields.get(9).map(|&inode| inode.to_owned()))?
    })
    .collect()
}

fn holds_any(pid: u32, sockets: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| {
            sockets
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_with_its_processor_time() {
        let listener_socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        assert!(Process::own().used().is_some());
    }
}
