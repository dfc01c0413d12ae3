//! `/metrics`: the metrics of every service on one page.
//!
//! The processes of a shop listen on ports that the system chooses, so a scraper cannot know
//! them; the gateway asks each service that runs in a process of its own. Every sample has the
//! label `service`, so no two pages have the same one.
//!
//! **Invariant:** a scrape ends in time, whatever the services do: one that does not answer
//! has `konbini_up` 0 and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::http::metrics_page;
use chassis::problem::NO_STORE;
use chassis::{Collectors, Problem, telemetry};
use futures::future::join_all;
use http::Response;
use http::header::CACHE_CONTROL;
use metrics::gauge;

use crate::aggregate::{Unanswered, fetch};
use crate::body::{Body, page};
use crate::routing::SERVICES;
use crate::upstream::{ServiceProcess, Upstreams};

/// Timeout of the head of a service's page, and of its body: together less than the 10 s after
/// which Prometheus gives up.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The metrics of all services.
///
/// # Errors
/// 500 when a collector panicked.
pub(crate) async fn scrape(
    collectors: &Collectors,
    upstreams: &Upstreams,
) -> Result<Response<Body>, Problem> {
    let asked = SERVICES.map(|service| async move {
        let shown = match upstreams.process_of(service) {
            // Its metrics are among those of this process.
            Some(ServiceProcess::This) => Ok(String::new()),
            Some(ServiceProcess::Other) => remote(upstreams, service).await,
            None => Err("it is not there".to_owned()),
        };
        (service, shown)
    });
    let shown = join_all(asked).await;
    for (service, page) in &shown {
        let up = f64::from(u8::from(page.is_ok()));
        gauge!("konbini_up", "service" => *service).set(up);
        if let Err(why) = page {
            tracing::debug!(service, why, "its metrics are missing");
        }
    }
    gauge!("konbini_up", "service" => "gateway").set(1.0);
    let collectors = collectors.clone();
    let own = tokio::task::spawn_blocking(move || telemetry::scrape(&collectors));
    let own = own.await.map_err(Problem::internal)?;
    let mut merged = Exposition::default();
    merged.add(&own);
    for (_, page) in &shown {
        merged.add(page.as_deref().unwrap_or_default());
    }
    let mut response = page(metrics_page(merged.into_text()));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

async fn remote(upstreams: &Upstreams, service: &'static str) -> Result<String, String> {
    let page = fetch(upstreams, service, "/metrics", None, TIMEOUT).await;
    let page = page.map_err(Unanswered::into_reason)?;
    String::from_utf8(page.into()).map_err(|error| error.to_string())
}

/// Pages in the text format of Prometheus, merged: it wants the samples of one metric
/// together, after one head.
#[derive(Default)]
struct Exposition(BTreeMap<String, MetricFamily>);

/// A metric: its lines of help and type, and its samples.
#[derive(Default)]
struct MetricFamily {
    head: String,
    samples: String,
}

impl Exposition {
    /// Adds a page on which each metric has its head before its samples.
    fn add(&mut self, page: &str) {
        let mut current = String::new();
        for line in page.lines().filter(|line| !line.is_empty()) {
            let Some(comment) = line.strip_prefix("# ") else {
                // A line before any head is none of ours.
                if let Some(family) = self.0.get_mut(&current) {
                    family.samples.push_str(line);
                    family.samples.push('\n');
                }
                continue;
            };
            comment
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .clone_into(&mut current);
            let family = self.0.entry(current.clone()).or_default();
            // Every page has the same head.
            if family.samples.is_empty() {
                family.head.push_str(line);
                family.head.push('\n');
            }
        }
    }

    fn into_text(self) -> String {
        let families = self.0.into_values();
        families.fold(String::new(), |text, MetricFamily { head, samples }| {
            text + &head + &samples
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_a_metric_are_together() {
        let page = |service: &str| {
            format!(
                "# HELP up Whether.\n# TYPE up gauge\nup{{service=\"{service}\"}} 1\n\n\
                 # TYPE lag histogram\nlag_bucket{{service=\"{service}\",le=\"+Inf\"}} 2\n\
                 lag_sum{{service=\"{service}\"}} 1\nlag_count{{service=\"{service}\"}} 2\n\n"
            )
        };
        let mut merged = Exposition::default();
        for service in ["users", "orders"] {
            merged.add(&page(service));
        }
        merged.add("");
        assert_eq!(
            merged.into_text(),
            "# TYPE lag histogram\n\
             lag_bucket{service=\"users\",le=\"+Inf\"} 2\nlag_sum{service=\"users\"} 1\n\
             lag_count{service=\"users\"} 2\n\
             lag_bucket{service=\"orders\",le=\"+Inf\"} 2\nlag_sum{service=\"orders\"} 1\n\
             lag_count{service=\"orders\"} 2\n\
             # HELP up Whether.\n# TYPE up gauge\nup{service=\"users\"} 1\nup{service=\"orders\"} 1\n"
        );
    }
}
