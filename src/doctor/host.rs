//! The host itself: its clock, memory, limit of open files, and supervisor.

use std::path::Path;

use indicatif::HumanBytes;
use model::Time;
use rustix::process::{Resource, getrlimit};

use super::{ExaminedShop, Remark, output_of, read};

const MIB: u64 = 1024 * 1024;

/// Below this a login is killed: a password takes 19 MiB beside an idle shop.
const MEMORY_MIN: u64 = 96 * MIB;

/// Below this an import of a large catalogue is killed.
const MEMORY_SCARCE: u64 = 256 * MIB;

/// Files that a shop has open without any connection.
const OWN_FILES: u64 = 256;

/// The clock is set and follows another one.
pub(super) fn clock(_: &ExaminedShop) -> Vec<Remark> {
    let synchronized = output_of(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    );
    let synchronized = synchronized.as_deref().map(|said| said == "yes");
    vec![judge_clock(model::now(), chassis::built_at(), synchronized)]
}

fn judge_clock(now: Time, built: Time, synchronized: Option<bool>) -> Remark {
    let advice = "set the clock, or let a time server do so: `timedatectl set-ntp true`; a host without a battery needs one after every boot";
    if now < built {
        let what = format!("it is {now} here, before this program was built ({built})");
        return Remark::problem(what, advice);
    }
    match synchronized {
        Some(true) => Remark::ok(format!("{now}, synchronized")),
        Some(false) => Remark::warning(format!("{now}, and no time server confirms it"), advice),
        None => Remark::ok(format!("{now}; whether it is synchronized is unknown here")),
    }
}

/// There is enough memory.
pub(super) fn memory(_: &ExaminedShop) -> Vec<Remark> {
    let info = read("/proc/meminfo").unwrap_or_default();
    let limit = cgroup_limit(&read("/proc/self/cgroup").unwrap_or_default());
    let figure = |name| figure_of(&info, name);
    vec![judge_memory(
        figure("MemTotal:"),
        figure("SwapTotal:"),
        limit,
    )]
}

fn judge_memory(total: Option<u64>, swap: Option<u64>, limit: Option<u64>) -> Remark {
    let Some(total) = total else {
        return Remark::ok("unknown on this host");
    };
    let most = limit.unwrap_or(u64::MAX).min(total);
    let of_what = match limit {
        Some(limit) if limit < total => "this program may use",
        _ => "this host has",
    };
    let what = format!("{of_what} {}", HumanBytes(most));
    if most < MEMORY_MIN {
        let advice = "give the shop 96 MiB or more, 256 MiB for a large catalogue: it is killed at the first login";
        return Remark::problem(what, advice);
    }
    if most < MEMORY_SCARCE && swap == Some(0) {
        let advice = "add a swap file, or import large catalogues in parts";
        return Remark::warning(format!("{what}, and no swap"), advice);
    }
    Remark::ok(what)
}

/// The bytes of a line such as `MemTotal:  16316412 kB`.
fn figure_of(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The smallest limit of a process's control group and those above it (cgroups(7), version 2).
fn cgroup_limit(groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let above = group
        .ancestors()
        .take_while(|path| path.starts_with("/sys/fs/cgroup"));
    let limits = above.filter_map(|path| read(path.join("memory.max").to_str()?));
    limits.filter_map(|limit| limit.trim().parse().ok()).min()
}

/// As many connections as the settings allow can be open.
pub(super) fn open_files(examined: &ExaminedShop) -> Vec<Remark> {
    let limit = getrlimit(Resource::Nofile).maximum;
    let connections = u64::from(examined.config.gateway.limits.connections);
    vec![judge_open_files(limit, connections)]
}

fn judge_open_files(limit: Option<u64>, connections: u64) -> Remark {
    // A connection may have another one to a service.
    let needed = 2 * connections + OWN_FILES;
    match limit {
        Some(limit) if limit < needed => Remark::warning(
            format!(
                "a process may open {limit} files; {connections} connections may take {needed}"
            ),
            "raise it (LimitNOFILE= of the unit, `ulimit -Hn`), or lower gateway.limits.connections",
        ),
        Some(limit) => Remark::ok(format!("a process may open {limit}")),
        None => Remark::ok("a process may open any number"),
    }
}

/// Something restarts the shop.
pub(super) fn supervisor(examined: &ExaminedShop) -> Vec<Remark> {
    let has_systemd = Path::new("/run/systemd/system").exists();
    let is_unit = ["konbini.target", "konbini.service", "konbini@users.service"]
        .into_iter()
        .any(|unit| output_of("systemctl", &["is-active", unit]).is_some());
    vec![judge_supervisor(has_systemd, is_unit, examined.is_running)]
}

fn judge_supervisor(has_systemd: bool, is_unit: bool, is_running: bool) -> Remark {
    let advice = "start it by its units, whose watchdog restarts what hangs: `systemctl enable --now konbini.target`";
    match (has_systemd, is_unit, is_running) {
        (true, true, _) => Remark::ok("systemd restarts the shop, and its watchdog watches it"),
        (true, false, true) => Remark::warning("the shop runs, and not by systemd", advice),
        (true, false, false) => Remark::ok("systemd runs here; the shop does not run"),
        (false, ..) => Remark::ok("no systemd here; let something else restart the shop"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Ok as Well, Problem, Warning};
    use super::*;

    #[test]
    fn bad_hosts_are_noticed() {
        let day = 24 * 3_600_000;
        let memory = |total: u64, swap: u64, limit: Option<u64>| {
            judge_memory(
                Some(total * MIB),
                Some(swap * MIB),
                limit.map(|limit| limit * MIB),
            )
        };
        let cases: [(&str, Remark, Verdict); 14] = [
            ("1970", judge_clock(Time(0), Time(day), None), Problem),
            (
                "no time server",
                judge_clock(Time(day), Time(0), Some(false)),
                Warning,
            ),
            (
                "no timedatectl",
                judge_clock(Time(day), Time(0), None),
                Well,
            ),
            (
                "synchronized",
                judge_clock(Time(day), Time(0), Some(true)),
                Well,
            ),
            ("64 MiB", memory(64, 0, None), Problem),
            ("a container of 64 MiB", memory(4096, 0, Some(64)), Problem),
            ("128 MiB without swap", memory(128, 0, None), Warning),
            ("128 MiB with swap", memory(128, 512, None), Well),
            ("1 GiB", memory(1024, 0, None), Well),
            ("1,024 files", judge_open_files(Some(1024), 4096), Warning),
            (
                "a million files",
                judge_open_files(Some(1 << 20), 4096),
                Well,
            ),
            ("by hand", judge_supervisor(true, false, true), Warning),
            ("a unit", judge_supervisor(true, true, true), Well),
            ("no systemd", judge_supervisor(false, false, true), Well),
        ];
        for (case, remark, verdict) in cases {
            assert_eq!(remark.verdict, verdict, "{case}: {remark:?}");
            assert_eq!(
                remark.advice.is_some(),
                verdict != Well,
                "{case}: {remark:?}"
            );
        }
        let info = "MemTotal:       16316412 kB\nMemFree:  1 kB\n";
        assert_eq!(figure_of(info, "MemTotal:"), Some(16_316_412 * 1024));
    }
}
