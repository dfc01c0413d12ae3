//! The audit from outside: what the shop shows after everything, held against
//! what it had acknowledged.
//!
//! It reads over HTTP only. **Invariant:** every key was decided, so what was
//! acknowledged is all that may have happened: whatever else an order, the stock
//! or an inbox shows is a finding that names it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::books::Books;
use super::deed::{OrderId, Outcome};
use super::judgement::judge;
use super::scene::{Entry, Level, Money, STAFF, Scene};
use crate::client::Client;
use crate::progress::Progress;

/// What services still tell each other after the last restart is through by then.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 16;

/// An order as the shop shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) items: Vec<Item>,
    pub(super) total: Money,
    pub(super) refunded_total: Money,
    #[serde(skip)]
    pub(super) history: Vec<Change>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) product_id: String,
    pub(super) quantity: i64,
}

/// A line of an order's history.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// An entry of an inbox.
#[derive(Debug, Deserialize)]
pub(super) struct Notice {
    pub(super) kind: String,
    pub(super) data: BTreeMap<String, serde_json::Value>,
}

/// All that the shop shows.
pub(super) struct Shown {
    pub(super) orders: HashMap<OrderId, Order>,
    /// By product, as in the scene.
    pub(super) levels: Vec<Level>,
    /// By buyer, from 1; the staff's own is left out.
    pub(super) inboxes: Vec<Vec<Notice>>,
}

/// One promise, and where it was broken.
#[derive(Debug, serde::Serialize)]
pub(super) struct Verdict {
    pub(super) promise: &'static str,
    /// How many things were looked at.
    pub(super) looked_at: u64,
    pub(super) findings: Vec<String>,
}

/// Sends every key once more, reads everything, and judges.
pub(super) async fn audit(client: &Client, scene: &Scene) -> anyhow::Result<Vec<Verdict>> {
    let ledger = scene.ledger();
    let keys = replay(scene, &ledger).await?;
    let books = Books::open(scene, &ledger);
    let deadline = Instant::now() + SETTLE;
    loop {
        let shown = look(client, scene).await?;
        let mut verdicts = judge(&books, &shown);
        let is_clean = verdicts.iter().all(|verdict| verdict.findings.is_empty());
        // Followers may still be behind; what is wrong for good stays wrong.
        if is_clean || Instant::now() >= deadline {
            verdicts.insert(0, keys);
            return Ok(verdicts);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn replay(scene: &Scene, ledger: &[Entry]) -> anyhow::Result<Verdict> {
    let progress = &Progress::count("asking again", ledger.len() as u64);
    let found: Vec<_> = stream::iter(ledger)
        .map(|entry| async move {
            let (again, _) = entry.deed.done(scene).await?;
            progress.step();
            anyhow::Ok(differs(entry, &again))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(Verdict {
        promise: "each key led to one outcome, and tells it again byte for byte",
        looked_at: ledger.len() as u64,
        findings: found.into_iter().flatten().collect(),
    })
}

/// In which way the shop now tells another story under a key.
pub(super) fn differs(entry: &Entry, again: &Outcome) -> Option<String> {
    let Entry { deed, outcome: first } = entry;
    if first.status != again.status {
        let (was, is) = (first.status, again.status);
        return Some(format!("{deed}: {was} was answered, {is} when asked again"));
    }
    // What 202 accepted is answered as it is at the time.
    let is_same = if first.status == StatusCode::ACCEPTED {
        first.order() == again.order()
    } else {
        first.body == again.body
    };
    let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.body).into_owned();
    if !is_same {
        let (was, is) = (text(first), text(again));
        return Some(format!("{deed}: {was} was answered, {is} when asked again"));
    }
    (!again.replayed).then(|| format!("{deed}: told again without Idempotency-Replayed"))
}

async fn look(client: &Client, scene: &Scene) -> anyhow::Result<Shown> {
    let staff = &scene.people[STAFF];
    let orders: Vec<Order> = client.all(staff, &["v1", "orders"]).await?;
    let progress = &Progress::count("reading histories", orders.len() as u64);
    let with_history = |mut order: Order| async move {
        let path = ["v1", "orders", &order.id, "history"];
        let answer = client.send_as(staff, client.request(Method::GET, &path));
        let history: History = answer.await?.expect(StatusCode::OK, "reading a history")?;
        order.history = history.items;
        progress.step();
        anyhow::Ok((OrderId::from(order.id.as_str()), order))
    };
    let orders = stream::iter(orders)
        .map(with_history)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    let mut levels = Vec::new();
    for product in 0..scene.products.len() {
        levels.push(scene.level(client, product).await?);
    }
    let mut inboxes = Vec::new();
    for buyer in &scene.people[1..] {
        inboxes.push(client.all(buyer, &["v1", "notifications"]).await?);
    }
    Ok(Shown { orders, levels, inboxes })
}

#[derive(Deserialize)]
struct History {
    items: Vec<Change>,
}
