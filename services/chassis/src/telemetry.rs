//! Logs and metrics of a process.

mod lossy;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::lossy::Lossy;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Bucket bounds of request durations, in seconds: from a cache hit to the
/// longest wait a request may have.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0,
];

/// How often samples are folded into their buckets.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// The target of lines about requests. They are wanted whenever somebody writes
/// them, and may be lost, which no other line may.
pub const ACCESS: &str = "access";

/// Which way a line goes.
struct Lines(Lossy);

impl<'a> MakeWriter<'a> for Lines {
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

/// Starts logging to standard error and collecting metrics, once a process.
/// `filter` is a `tracing` filter such as `info` or `orders=debug`; an unreadable
/// one means `info`.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(format!("{filter},{ACCESS}=info,zenoh=error,zenoh_transport=error,zenoh_link_unixsock_stream=error,sled=warn,tantivy=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines(Lossy::stderr()));
    // A process that logs already, a test's, keeps its subscriber.
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

/// Histograms keep every sample until somebody folds them, and nobody may be
/// reading.
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
