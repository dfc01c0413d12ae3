//! The options of every scenario that sends a load, and the result file it leaves.
//!
//! **Invariant:** a result file holds no credentials.

use std::path::PathBuf;

use reqwest::Url;

use super::{ArrivalKind, Arrivals, HttpVersion, LoadTarget, Measured};
use crate::result::{self, FORMAT, Machine, RawSyncs, RunResult};

/// Options whose value is nobody else's business.
const CREDENTIALS: [&str; 2] = ["--email", "--password"];

/// How operations arrive, and where the result goes.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct LoadOptions {
    /// Start so many operations a second by the clock, however soon they are answered. Without,
    /// each connection starts one when its last was answered.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// How they arrive [default: constant with a rate, else closed].
    #[arg(long, value_enum)]
    pub(crate) arrivals: Option<ArrivalKind>,

    #[command(flatten)]
    pub(crate) send: SendOptions,
}

/// Where the load goes, by which protocol, and where its result goes.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct SendOptions {
    /// Send the load here instead of to --url, such as to a proxy before it; `https://` by TLS.
    #[arg(long)]
    to: Option<Url>,

    /// Speak HTTP/2, with so many operations in flight on one connection (16 unless given).
    #[arg(long, value_name = "STREAMS", num_args = 0..=1, require_equals = true, default_missing_value = "16", value_parser = clap::value_parser!(u16).range(1..=1000))]
    http2: Option<u16>,

    /// Certificates (PEM) that the server's is verified by, beside the public authorities'.
    #[arg(long)]
    roots: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) result: ResultOptions,
}

/// Where the result file goes.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct ResultOptions {
    /// Write the result file here, with whole histograms and a figure a second.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A number of operations a second.
pub(crate) fn rate(given: &str) -> Result<f64, String> {
    let rate = given.parse().ok();
    let rate = rate.filter(|rate: &f64| (0.01..=1e6).contains(rate));
    rate.ok_or_else(|| "a rate is between 0.01 and 1,000,000 a second".to_owned())
}

impl LoadOptions {
    /// The arrivals that were asked for.
    pub(crate) fn arrivals(&self) -> anyhow::Result<Arrivals> {
        Arrivals::named(self.arrivals, self.rate)
    }
}

impl SendOptions {
    /// Where the load of a shop at `base` goes.
    pub(crate) fn target(&self, base: &Url) -> anyhow::Result<LoadTarget> {
        let version = match self.http2 {
            Some(streams) => HttpVersion::Http2 { streams: streams.into() },
            None => HttpVersion::Http1,
        };
        LoadTarget::of(
            self.to.as_ref().unwrap_or(base),
            version,
            self.roots.as_deref(),
        )
    }
}

impl ResultOptions {
    /// Writes the result file, if one was asked for.
    pub(crate) fn write(&self, runs: &[RunResult]) -> anyhow::Result<()> {
        match &self.out {
            Some(path) => result::write(path, runs),
            None => Ok(()),
        }
    }
}

impl Measured {
    /// The result of a run of `scenario`.
    pub(crate) fn result(&self, scenario: &str, disk: Option<RawSyncs>) -> RunResult {
        RunResult {
            format: FORMAT,
            scenario: scenario.to_owned(),
            arguments: without_credentials(std::env::args().skip(1)),
            began: self.began,
            version: self.subject.version(),
            machine: Machine::here(),
            hardware: None,
            disk,
            measured_seconds: self.lasting.as_secs_f64(),
            loads: self.loads.clone(),
            costs: self.costs.clone(),
            client: self.client.clone(),
            swept: None,
        }
    }
}

/// The arguments without the values of [`CREDENTIALS`].
fn without_credentials(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        if is_value {
            is_value = false;
            continue;
        }
        let name = argument.split('=').next().unwrap_or_default();
        if CREDENTIALS.contains(&name) {
            is_value = !argument.contains('=');
            continue;
        }
        kept.push(argument);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out() {
        let given = [
            "orders",
            "--email",
            "a@b.example",
            "--password=x",
            "--clients",
            "4",
        ];
        let kept = without_credentials(given.into_iter().map(str::to_owned));
        assert_eq!(kept, ["orders", "--clients", "4"]);
    }
}
