//! wrk and oha, if they are installed: the load drivers that people know, against the same
//! server.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::daemon;

/// What another load driver said of its run.
#[derive(Serialize)]
pub(super) struct ClientFigures {
    /// Its name and how it was used.
    client: &'static str,
    rate: f64,
    p99_us: f64,
}

/// The load of each run.
pub(super) struct ClientLoad {
    pub(super) server: SocketAddr,
    pub(super) connections: u16,
    pub(super) seconds: u64,
    /// Operations a second by the clock.
    pub(super) rate: f64,
}

impl ClientFigures {
    /// The columns of a table's row.
    pub(super) fn row(&self) -> (&'static str, String) {
        let text = format!("{:.0}/s, p99 {:.0} µs", self.rate, self.p99_us);
        (self.client, text)
    }
}

impl ClientLoad {
    /// Runs those that are installed, and names the others on standard error.
    ///
    /// # Errors
    /// When one fails, or what it prints is not understood.
    pub(super) async fn run_all(self) -> anyhow::Result<Vec<ClientFigures>> {
        let running = tokio::task::spawn_blocking(move || {
            let wrk = self.wrk()?;
            let closed = self.oha("oha, closed loop", &[])?;
            // Latency from the intended start, as this program has it.
            let rate = format!("{:.0}", self.rate);
            let clocked = ["-q", &rate, "--latency-correction"];
            let clocked = if closed.is_some() {
                self.oha("oha, by the clock", &clocked)?
            } else {
                None
            };
            Ok([wrk, closed, clocked].into_iter().flatten().collect())
        });
        running.await?
    }

    fn wrk(&self) -> anyhow::Result<Option<ClientFigures>> {
        let connections = format!("-c{}", self.connections);
        let lasting = format!("-d{}s", self.seconds);
        let url = format!("http://{}/", self.server);
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &connections, &lasting, "--latency", &url]);
        let Some(printed) = daemon::output("wrk", wrk)? else {
            return Ok(None);
        };
        let figures = wrk_figures(&printed);
        Ok(Some(
            figures.with_context(|| format!("wrk printed:\n{printed}"))?,
        ))
    }

    fn oha(&self, client: &'static str, more: &[&str]) -> anyhow::Result<Option<ClientFigures>> {
        let (connections, lasting) = (self.connections.to_string(), format!("{}s", self.seconds));
        let url = format!("http://{}/", self.server);
        let mut oha = Command::new("oha");
        oha.args(["--no-tui", "--output-format", "json"]);
        oha.args(["-c", &connections, "-z", &lasting]);
        oha.args(more).arg(&url);
        let Some(printed) = daemon::output("oha", oha)? else {
            return Ok(None);
        };
        let report = serde_json::from_str::<OhaReport>(&printed);
        let report = report.with_context(|| format!("oha printed:\n{printed}"))?;
        Ok(Some(ClientFigures {
            client,
            rate: report.summary.requests_per_sec,
            p99_us: report.latency_percentiles.p99 * 1e6,
        }))
    }
}

/// What oha prints of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OhaReport {
    summary: OhaSummary,
    latency_percentiles: OhaPercentiles,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OhaSummary {
    requests_per_sec: f64,
}

/// In seconds.
#[derive(Deserialize)]
struct OhaPercentiles {
    p99: f64,
}

/// The rate and the p99 of wrk's report.
fn wrk_figures(printed: &str) -> Option<ClientFigures> {
    let after = |name: &str| {
        printed
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
    };
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    let p99 = after("99%")?.trim();
    let unit = p99.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = p99.split_at(unit);
    let us = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    let p99_us = number.parse::<f64>().ok()? * us;
    Some(ClientFigures { client: "wrk, closed loop", rate, p99_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_other_clients_are_read() {
        for (p99, expected) in [("563.00us", 563.0), ("1.20ms", 1_200.0), ("2.50s", 2.5e6)] {
            let printed = format!(
                "  Thread Stats   Avg\n  Latency Distribution\n     90%  421.00us\n     99%  {p99}\n\
                 Requests/sec: 151057.12\nTransfer/sec:     12.1MB\n"
            );
            let figures = wrk_figures(&printed).unwrap();
            assert_eq!((figures.rate, figures.p99_us), (151_057.12, expected));
        }
        assert!(wrk_figures("unable to connect").is_none());
        let printed = r#"{"summary": {"requestsPerSec": 1000.5, "total": 5.0},
            "latencyPercentiles": {"p50": 0.0001, "p99": 0.002}}"#;
        let report: OhaReport = serde_json::from_str(printed).unwrap();
        assert_eq!(report.summary.requests_per_sec, 1000.5);
        assert_eq!(report.latency_percentiles.p99, 0.002);
    }
}
