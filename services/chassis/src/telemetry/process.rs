//! Figures of the process under the names of Prometheus' own clients: processor time,
//! memory, threads, open files and the start.
//!
//! They are read from `/proc/self`, which a unit with `ProcSubset=pid` still has. The crate
//! `metrics-process` would need `/proc/stat` for the start, and counts processor time in
//! whole seconds, of which an idle shop uses one in some minutes.

use std::fs;

use metrics::{counter, gauge};

use super::lines;

/// The unit of times in `/proc/self/stat` (proc(5), `USER_HZ`), on every architecture that
/// this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

const KIB: f64 = 1024.0;

/// A collector of this process's figures, with the label `service`.
pub fn process_collector(service: &'static str) -> impl Fn() + Send + Sync + 'static {
    let started_at = model::now();
    move || {
        let set = |name: &'static str, value: Option<f64>| {
            if let Some(value) = value {
                gauge!(name, "service" => service).set(value);
            }
        };
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let (stat, status) = (read("/proc/self/stat"), read("/proc/self/status"));
        let limits = read("/proc/self/limits");
        set("process_cpu_seconds_total", cpu_seconds(&stat));
        let resident = figure(&status, "VmRSS:").map(|kib| kib * KIB);
        set("process_resident_memory_bytes", resident);
        set("process_threads", figure(&status, "Threads:"));
        let open = fs::read_dir("/proc/self/fd").map(|open| open.count() as f64);
        set("process_open_fds", open.ok());
        set("process_max_fds", figure(&limits, "Max open files"));
        let seconds = started_at.0 as f64 / 1_000.0;
        set("process_start_time_seconds", Some(seconds));
        let dropped = counter!("konbini_log_lines_dropped_total", "service" => service);
        dropped.absolute(lines::dropped());
    }
}

/// User and system time of `/proc/self/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program, in parentheses, may contain blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut ticks = after_name.split_whitespace().skip(11);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SECOND)
}

/// The first number of a line of `/proc/self/status` or `limits`; none of one without bound.
fn figure(file: &str, name: &str) -> Option<f64> {
    let rest = file.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_proc_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 1234 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
        let status = "Name:\tkonbini\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        assert_eq!(figure(status, "VmRSS:"), Some(2048.0));
        assert_eq!(figure(status, "Threads:"), Some(9.0));
        let limits = "Max open files            1024                 524288               files\n";
        assert_eq!(figure(limits, "Max open files"), Some(1024.0));
        let none = limits.replace("1024", "unlimited");
        assert_eq!(figure(&none, "Max open files"), None);
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert!(figure(&own, "VmRSS:").is_some_and(|kib| kib > 0.0));
    }
}
