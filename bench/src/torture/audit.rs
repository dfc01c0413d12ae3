//! The audit: the shop's final state, read over HTTP and compared with the operations it
//! acknowledged.
//!
//! **Invariant:** every key was decided, so the acknowledged operations are all that may
//! have happened; any other state of an order, the stock or an inbox is a finding.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::ledger::Ledger;
use super::operation::{Decision, PlacedOrderId};
use super::verification::verify;
use super::workload::{DecidedOperation, STAFF, StockLevel, Total, Workload};
use crate::client::ShopClient;
use crate::progress::PhaseProgress;

/// Followers have caught up after the last restart by then.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 16;

/// An order as the shop shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) items: Vec<OrderLine>,
    pub(super) total: Total,
    pub(super) refunded_total: Total,
    #[serde(skip)]
    pub(super) history: Vec<HistoryEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OrderLine {
    pub(super) product_id: String,
    pub(super) quantity: i64,
}

/// A line of an order's history.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryEntry {
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// An entry of an inbox.
#[derive(Debug, Deserialize)]
pub(super) struct InboxEntry {
    pub(super) kind: String,
    pub(super) data: BTreeMap<String, serde_json::Value>,
}

/// The observed state of the shop.
pub(super) struct Observed {
    pub(super) orders: HashMap<PlacedOrderId, Order>,
    /// By product, as in the workload.
    pub(super) levels: Vec<StockLevel>,
    /// By buyer, from 1; the staff's own is left out.
    pub(super) inboxes: Vec<Vec<InboxEntry>>,
}

/// One promise, and where it was broken.
#[derive(Debug, serde::Serialize)]
pub(super) struct PromiseVerdict {
    pub(super) promise: &'static str,
    /// How many things were looked at.
    pub(super) looked_at: u64,
    pub(super) findings: Vec<String>,
}

/// Sends every key once more, reads everything, and judges.
pub(super) async fn audit(
    client: &ShopClient,
    workload: &Workload,
) -> anyhow::Result<Vec<PromiseVerdict>> {
    let decided = workload.decided();
    let keys = replay(workload, &decided).await?;
    let ledger = Ledger::open(workload, &decided);
    let deadline = Instant::now() + SETTLE;
    loop {
        let observed = look(client, workload).await?;
        let mut verdicts = verify(&ledger, &observed);
        let is_clean = verdicts.iter().all(|verdict| verdict.findings.is_empty());
        // Followers may still be behind; a real fault stays.
        if is_clean || Instant::now() >= deadline {
            verdicts.insert(0, keys);
            return Ok(verdicts);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn replay(
    workload: &Workload,
    decided: &[DecidedOperation],
) -> anyhow::Result<PromiseVerdict> {
    let progress = &PhaseProgress::count("asking again", decided.len() as u64);
    let found: Vec<_> = stream::iter(decided)
        .map(|entry| async move {
            let (again, _) = entry.operation.done(workload).await?;
            progress.step();
            anyhow::Ok(differs(entry, &again))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(PromiseVerdict {
        promise: "each key led to one decision, replayed byte for byte",
        looked_at: decided.len() as u64,
        findings: found.into_iter().flatten().collect(),
    })
}

/// The difference between a key's first decision and its replay.
pub(super) fn differs(entry: &DecidedOperation, again: &Decision) -> Option<String> {
    let DecidedOperation { operation, decision: first } = entry;
    if first.status != again.status {
        let (was, is) = (first.status, again.status);
        return Some(format!(
            "{operation}: {was} was answered, {is} when asked again"
        ));
    }
    // What 202 accepted is answered as it is at the time.
    let is_same = if first.status == StatusCode::ACCEPTED {
        first.order() == again.order()
    } else {
        first.body == again.body
    };
    let text = |decision: &Decision| String::from_utf8_lossy(&decision.body).into_owned();
    if !is_same {
        let (was, is) = (text(first), text(again));
        return Some(format!(
            "{operation}: {was} was answered, {is} when asked again"
        ));
    }
    (!again.replayed).then(|| format!("{operation}: replayed without Idempotency-Replayed"))
}

async fn look(client: &ShopClient, workload: &Workload) -> anyhow::Result<Observed> {
    let staff = &workload.people[STAFF];
    let orders: Vec<Order> = client.all(staff, &["v1", "orders"]).await?;
    let progress = &PhaseProgress::count("reading histories", orders.len() as u64);
    let with_history = |mut order: Order| async move {
        let path = ["v1", "orders", &order.id, "history"];
        let answer = client.send_as(staff, client.request(Method::GET, &path));
        let history: History = answer.await?.expect(StatusCode::OK, "reading a history")?;
        order.history = history.items;
        progress.step();
        anyhow::Ok((PlacedOrderId::from(order.id.as_str()), order))
    };
    let orders = stream::iter(orders)
        .map(with_history)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    let mut levels = Vec::new();
    for product in 0..workload.products.len() {
        levels.push(workload.level(client, product).await?);
    }
    let mut inboxes = Vec::new();
    for buyer in &workload.people[1..] {
        inboxes.push(client.all(buyer, &["v1", "notifications"]).await?);
    }
    Ok(Observed { orders, levels, inboxes })
}

#[derive(Deserialize)]
struct History {
    items: Vec<HistoryEntry>,
}
