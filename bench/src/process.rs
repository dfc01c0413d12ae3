//! Processes of this host, read from `/proc` (proc(5)): those of the shop on a port, and what
//! the system counts of each.
//!
//! **Invariant:** a figure that cannot be read is never reported as zero.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

/// The unit of `/proc/PID/stat` (proc(5)): `USER_HZ`, 100 a second on every
/// platform that Linux has in common use.
const TICK: Duration = Duration::from_millis(10);

/// The fields of `/proc/PID/stat` after the command's name, counted from 0.
const MINOR_FAULTS: usize = 7;
const MAJOR_FAULTS: usize = 9;
const UTIME: usize = 11;
const STIME: usize = 12;

/// In `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// What the system has counted of a process since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Of all its threads, in user and in system mode.
    pub(crate) processor: Duration,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// Handed to the disk; only a process's own user may read it.
    pub(crate) written_bytes: Option<u64>,
}

impl Process {
    /// The process that runs this code.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Processor time used so far, of all its threads, in user and in system mode.
    pub(crate) fn used(self) -> Option<Duration> {
        self.usage().map(|usage| usage.processor)
    }

    /// The figures so far; `None` if it is gone.
    pub(crate) fn usage(self) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name is in parentheses and may hold anything, spaces too.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let ticks = field(UTIME)? + field(STIME)?;
        let io = fs::read_to_string(format!("/proc/{}/io", self.0)).ok();
        let written = io.as_deref().and_then(|io| {
            let line = io
                .lines()
                .find_map(|line| line.strip_prefix("write_bytes:"));
            line?.trim().parse().ok()
        });
        Some(Usage {
            processor: TICK * u32::try_from(ticks).ok()?,
            minor_faults: field(MINOR_FAULTS)?,
            major_faults: field(MAJOR_FAULTS)?,
            written_bytes: written,
        })
    }

    /// Its command line, empty if it cannot be read.
    fn arguments(self) -> Vec<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let arguments = line.split_terminator('\0');
        arguments.map(str::to_owned).collect()
    }
}

/// A process of a shop, or of anything else that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShopProcess {
    /// `up`, a service, or the name of another program.
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl ShopProcess {
    fn of(pid: u32) -> Self {
        let arguments = Process(pid).arguments();
        let name = role(&arguments).map(str::to_owned).or_else(|| {
            let program = Path::new(arguments.first()?).file_name()?;
            Some(program.to_string_lossy().into_owned())
        });
        Self { name: name.unwrap_or_else(|| pid.to_string()), pid }
    }

    /// What its program says of its version.
    pub(crate) fn version(&self) -> Option<String> {
        let program = fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        let said = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8(said.stdout).ok()?;
        Some(said.lines().next()?.trim().to_owned())
    }
}

/// What a konbini with these arguments is: `up`, or the service of `run`.
fn role(arguments: &[String]) -> Option<&str> {
    match arguments.get(1)?.as_str() {
        "up" => Some("up"),
        "run" => arguments.get(2).map(String::as_str),
        _ => None,
    }
}

/// The processes with these ids, by name.
pub(crate) fn named(pids: &[u32]) -> Vec<ShopProcess> {
    pids.iter().map(|pid| ShopProcess::of(*pid)).collect()
}

/// The processes of the shop that listens on `port`, as far as this user may see them. Those
/// beside a gateway are the ones whose command lines differ from its own by the service alone.
pub(crate) fn shop_on(port: u16) -> Vec<ShopProcess> {
    let listening = listeners(port)
        .into_iter()
        .filter(|pid| *pid != std::process::id());
    let listening: Vec<u32> = listening.collect();
    // A supervisor that hands the socket over holds it, too.
    let is_shop = |pid: &&u32| role(&Process(**pid).arguments()).is_some();
    let Some(&pid) = listening.iter().find(is_shop).or(listening.first()) else {
        return Vec::new();
    };
    let first = ShopProcess::of(pid);
    if first.name != "gateway" {
        return vec![first];
    }
    let without_service = |pid: u32| {
        let mut arguments = Process(pid).arguments();
        (role(&arguments).is_some() && arguments.len() > 2).then(|| {
            arguments.remove(2);
            arguments
        })
    };
    let own = without_service(pid);
    let others = all().filter(|other| *other != pid && without_service(*other) == own);
    let others = others.map(ShopProcess::of);
    std::iter::once(first).chain(others).collect()
}

/// The processes that hold a socket listening on `port`.
fn listeners(port: u16) -> Vec<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_on(port, &table))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    all().filter(|pid| holds_any(*pid, &sockets)).collect()
}

/// Every process of the host.
fn all() -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
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
    fn a_listener_is_found_with_its_usage() {
        let listener_socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_socket.local_addr().unwrap().port();
        assert_eq!(listeners(port), [std::process::id()]);
        assert!(Process::own().usage().unwrap().minor_faults > 0);
        // Its own listener is no shop's.
        assert_eq!(shop_on(port), []);
    }

    #[test]
    fn a_konbini_is_named_by_what_it_runs() {
        for (line, expected) in [
            ("/usr/bin/konbini run orders --data x", Some("orders")),
            ("konbini up --demo", Some("up")),
            ("nginx -c file", None),
            ("nginx", None),
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(role(&arguments), expected, "{line}");
        }
    }
}
