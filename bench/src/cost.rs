//! What a run costs: processor time, memory, page faults, syncs and bytes of every process of
//! the shop, from `/proc` (proc(5)) and from the shop's own metrics.
//!
//! **Invariant:** a figure that cannot be read is absent, never zero; a process that ended or
//! was replaced meanwhile has no figures.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::oneshot;

use crate::process::{self, Process, ShopProcess, Usage};
use crate::result::{ProcessCost, micros};

/// Between two looks at resident memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Counts the syncs of a service's store, in the exposition format of Prometheus.
const SYNCS: &str = "konbini_store_sync_seconds_count{";
/// Timeout of a page of metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// The processes of a shop whose costs are measured.
#[derive(Clone, Default)]
pub(crate) struct Subject {
    pub(crate) processes: Vec<ShopProcess>,
    /// The shop's page of metrics, which only programs on its host may read.
    metrics: Option<Url>,
}

/// When costs are measured, from the beginning of a run.
#[derive(Clone, Copy)]
pub(crate) struct MeterTimes {
    pub(crate) warm_up: Duration,
    /// `None` for as long as the run lasts.
    pub(crate) lasting: Option<Duration>,
}

impl Subject {
    /// The processes with these ids, or those of the shop that listens at `base` on this host;
    /// of one elsewhere there are none.
    pub(crate) fn of(base: &Url, pids: &[u32]) -> Self {
        let host = base.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let processes = match (pids, is_here) {
            ([], true) => process::shop_on(base.port_or_known_default().unwrap_or(80)),
            _ => process::named(pids),
        };
        Self { processes, metrics: base.join("/metrics").ok() }
    }

    /// Processes that are no shop's.
    pub(crate) fn processes(pids: &[u32]) -> Self {
        Self { processes: process::named(pids), metrics: None }
    }

    /// The version of the program that these processes run.
    pub(crate) fn version(&self) -> Option<String> {
        self.processes.first()?.version()
    }

    /// Measures for some time, or until `over` is dropped, and sends `ready` when it begins. The
    /// costs of each process, and the processor time of this one.
    pub(crate) async fn measure(
        self,
        times: MeterTimes,
        ready: oneshot::Sender<()>,
        over: oneshot::Receiver<()>,
    ) -> (Vec<ProcessCost>, Option<Duration>) {
        tokio::time::sleep(times.warm_up).await;
        let syncs_before = self.syncs().await;
        let before: Vec<Option<Usage>> = self.usages().collect();
        let client_before = Process::own().used();
        let until = times.lasting.map(|lasting| Instant::now() + lasting);
        // A run with a warm-up does not wait for it.
        let _ = ready.send(());
        let residents = self.watch(until, over).await;
        let client = Process::own().used();
        let after: Vec<Option<Usage>> = self.usages().collect();
        let syncs_after = self.syncs().await;
        let mut costs = Vec::new();
        let processes = self.processes.iter().zip(before).zip(after).zip(residents);
        for (((process, before), after), resident) in processes {
            let (Some(before), Some(after), Some(resident)) = (before, after, resident) else {
                continue;
            };
            let syncs = |page: &BTreeMap<String, u64>| match process.name.as_str() {
                "up" => Some(page.values().sum()),
                service => page.get(service).copied(),
            };
            let syncs = |page: &Option<BTreeMap<String, u64>>| page.as_ref().and_then(syncs);
            costs.push(ProcessCost {
                name: process.name.clone(),
                processor_us: micros(after.processor.saturating_sub(before.processor)),
                resident_bytes_max: resident,
                minor_faults: after.minor_faults.saturating_sub(before.minor_faults),
                major_faults: after.major_faults.saturating_sub(before.major_faults),
                syncs: difference(syncs(&syncs_after), syncs(&syncs_before)),
                written_bytes: difference(after.written_bytes, before.written_bytes),
            });
        }
        let client = client
            .zip(client_before)
            .map(|(after, before)| after - before);
        (costs, client)
    }

    /// What is counted of each process, since its start.
    fn usages(&self) -> impl Iterator<Item = Option<Usage>> {
        let processes = self.processes.iter();
        processes.map(|process| Process(process.pid).usage())
    }

    /// The most resident memory of each process, seen until the end.
    async fn watch(&self, until: Option<Instant>, over: oneshot::Receiver<()>) -> Vec<Option<u64>> {
        let end = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => drop(over.await),
            }
        };
        let mut end = std::pin::pin!(end);
        let mut most = vec![None; self.processes.len()];
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            for (most, process) in most.iter_mut().zip(&self.processes) {
                *most = (*most).max(process::resident_bytes(&[process.pid]).ok());
            }
            tokio::select! {
                () = &mut end => return most,
                _ = look.tick() => {}
            }
        }
    }

    /// The syncs of each service so far, if the shop's metrics may be read.
    async fn syncs(&self) -> Option<BTreeMap<String, u64>> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(METRICS_TIMEOUT);
        let page = client.build().ok()?.get(self.metrics.clone()?).send();
        let page = page
            .await
            .ok()?
            .error_for_status()
            .ok()?
            .text()
            .await
            .ok()?;
        Some(syncs_of(&page))
    }
}

fn difference(after: Option<u64>, before: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}

/// The syncs of each service on a page of metrics.
fn syncs_of(page: &str) -> BTreeMap<String, u64> {
    let mut syncs = BTreeMap::new();
    for line in page.lines() {
        let Some((labels, count)) = line
            .strip_prefix(SYNCS)
            .and_then(|sample| sample.split_once("} "))
        else {
            continue;
        };
        let service = labels
            .split(',')
            .find_map(|label| label.strip_prefix("service=\""));
        let service = service.and_then(|value| value.strip_suffix('"'));
        if let (Some(service), Ok(count)) = (service, count.trim().parse::<f64>()) {
            *syncs.entry(service.to_owned()).or_default() += count as u64;
        }
    }
    syncs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_read_by_service() {
        let page = "# HELP konbini_store_sync_seconds x\n\
                    konbini_store_sync_seconds_count{service=\"orders\"} 12\n\
                    konbini_store_sync_seconds_sum{service=\"orders\"} 0.5\n\
                    konbini_store_sync_seconds_count{store=\"a\",service=\"users\"} 3\n";
        let expected = BTreeMap::from([("orders".to_owned(), 12), ("users".to_owned(), 3)]);
        assert_eq!(syncs_of(page), expected);
    }

    #[tokio::test]
    async fn a_process_is_measured_and_one_that_is_gone_is_not() {
        let own = std::process::id();
        let mut subject = Subject::processes(&[own]);
        // Above the greatest id that Linux gives (proc(5), pid_max).
        subject
            .processes
            .push(ShopProcess { name: "gone".to_owned(), pid: 5_000_000 });
        let (over, is_over) = oneshot::channel();
        drop(over);
        let (ready, _) = oneshot::channel();
        let times = MeterTimes { warm_up: Duration::ZERO, lasting: None };
        let (costs, client) = subject.measure(times, ready, is_over).await;
        assert_eq!(costs.len(), 1);
        assert!(costs[0].resident_bytes_max > 0 && client.is_some());
        assert_eq!(costs[0].syncs, None);
    }
}
