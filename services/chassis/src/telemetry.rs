//! Logs and metrics of a process: `tracing` to standard error, and a Prometheus recorder.
//!
//! Every sample has the label `service`, so that the pages of all processes of a shop can be
//! merged.

mod collectors;
mod journal;
mod lines;
mod process;

use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use self::collectors::Collectors;
use self::lines::LogLines;
pub use self::process::process_collector;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Compact text, coloured on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Bucket bounds of request durations, in seconds: from a cache hit to the longest timeout
/// of a request.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0,
];

/// The interval at which samples are folded into their buckets.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// The target of access log lines: enabled at every log level.
pub const ACCESS: &str = "access";

/// The levels of dependencies that log. sled and tantivy return their
/// errors, too, and their lines name neither service nor remedy.
const DEPENDENCIES: &str =
    "zenoh=error,zenoh_transport=error,zenoh_link_unixsock_stream=error,sled=off,tantivy=error";

static LINES: OnceLock<LogLines> = OnceLock::new();

/// Starts logging to standard error and collecting metrics, once per process.
/// `filter` is a level or a list of directives such as `info,orders=debug`; one that does
/// not read means `info`, and a line about it.
pub fn start(format: LogFormat, filter: &str) {
    let directives = directives(filter);
    let unread = directives.as_ref().err().cloned();
    let filter = EnvFilter::try_new(format!(
        "{},{ACCESS}=info,{DEPENDENCIES}",
        directives.unwrap_or("info")
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = LINES.get_or_init(LogLines::stderr).clone();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines);
    // A process with a subscriber, as in tests, keeps it.
    let _ = match format {
        LogFormat::Human => lines
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .compact()
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let Some(why) = unread {
        tracing::warn!("the log filter does not read: {why}; logging at info");
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .map(PrometheusBuilder::install_recorder);
    if let Ok(Ok(handle)) = recorder
        && METRICS.set(handle.clone()).is_ok()
    {
        keep_up(handle);
    }
}

/// Waits, for a second at most, until all log lines are written: the last act of a process.
pub fn finish() {
    if let Some(lines) = LINES.get() {
        lines.flush();
    }
}

/// The filter, if each of its directives is a level or `TARGET=LEVEL`. `EnvFilter` takes
/// any other word, such as `warning`, for a target, and disables all the others.
fn directives(filter: &str) -> Result<&str, String> {
    for directive in filter.split(',') {
        let level = directive.rsplit('=').next().unwrap_or_default().trim();
        let is_level = !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_level || LevelFilter::from_str(level).is_err() {
            return Err(format!(
                "`{directive}` is not a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL"
            ));
        }
    }
    Ok(filter)
}

/// Folds histograms in the background: they keep every sample until they are folded, which
/// otherwise only a scrape does.
fn keep_up(handle: PrometheusHandle) {
    let folding = move || loop {
        std::thread::sleep(FOLD_EVERY);
        handle.run_upkeep();
    };
    let thread = std::thread::Builder::new()
        .name("metrics".into())
        .spawn(folding);
    if let Err(error) = thread {
        tracing::error!(%error, "metrics are not folded and will grow");
    }
}

/// The metrics as Prometheus text, after a call of every collector; empty before [`start`].
/// Blocks.
pub fn scrape(collectors: &Collectors) -> String {
    collectors.collect();
    let text = METRICS.get().map(PrometheusHandle::render);
    // The recorder's counters are whole numbers, so this one is a gauge to it.
    text.unwrap_or_default().replacen(
        "# TYPE process_cpu_seconds_total gauge",
        "# TYPE process_cpu_seconds_total counter",
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_targets_with_levels() {
        for filter in [
            "warn",
            "INFO",
            "info,orders=debug",
            "off",
            "mesh::follow=trace,error",
        ] {
            assert_eq!(directives(filter), Ok(filter));
        }
        for filter in ["warning", "", "orders", "info,", "info,orders=loud", "2"] {
            assert!(directives(filter).is_err(), "{filter}");
        }
    }
}
