//! Logs and metrics of a process: `tracing` to standard error, and a Prometheus recorder.

mod lossy;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::lossy::Lossy;

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

/// The target of access log lines: enabled at every log level, and the only lines that may
/// be dropped.
pub const ACCESS: &str = "access";

/// The writers of log lines: lossy for the access log, blocking for all others.
struct LogWriters(Lossy);

impl<'a> MakeWriter<'a> for LogWriters {
    type Writer = Box<dyn io::Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Box::new(io::stderr())
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        if about.target() == ACCESS {
            Box::new(self.0.clone())
        } else {
            self.make_writer()
        }
    }
}

/// Starts logging to standard error and collecting metrics, once per process.
/// `filter` is a `tracing` filter such as `info` or `orders=debug`; an unreadable
/// one means `info`.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(format!("{filter},{ACCESS}=info,zenoh=error,zenoh_transport=error,zenoh_link_unixsock_stream=error,sled=warn,tantivy=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LogWriters(Lossy::stderr()));
    // A process with a subscriber, as in tests, keeps it.
    let _ = match format {
        LogFormat::Human => lines
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .compact()
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .map(PrometheusBuilder::install_recorder);
    if let Ok(Ok(handle)) = recorder
        && METRICS.set(handle.clone()).is_ok()
    {
        keep_up(handle);
    }
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

/// The metrics as Prometheus text; empty before [`start`].
pub fn render() -> String {
    METRICS
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}
