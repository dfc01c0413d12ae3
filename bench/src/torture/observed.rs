//! The observed state: orders, stock and inboxes, read over HTTP after the last operation.
//!
//! The verification compares it with the ledger and needs no shop for that.
//! **Invariant:** it holds what the shop answered, unchanged.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::operation::{PlacedOrderId, Total};
use super::setup::{STAFF, TortureSetup};
use crate::client::{ObservedStock, ShopClient};
use crate::progress::PhaseProgress;

const AT_ONCE: usize = 16;

/// An order, as read from the shop.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) items: Vec<OrderLine>,
    pub(super) total: Total,
    pub(super) refunded_total: Total,
    #[serde(default)]
    pub(super) codes: Vec<GivenCode>,
    #[serde(skip)]
    pub(super) history: Vec<HistoryEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OrderLine {
    pub(super) product_id: String,
    pub(super) quantity: i64,
}

/// A code that an order was placed with.
#[derive(Debug, Deserialize)]
pub(super) struct GivenCode {
    pub(super) code: String,
    pub(super) applied: bool,
}

impl Order {
    /// The entries of the history by which the order entered `status`, undone ones included.
    pub(super) fn entered(&self, status: &str) -> impl Iterator<Item = &HistoryEntry> {
        let is_into = move |change: &&HistoryEntry| {
            change.undone.is_none() && change.to == status && change.from.as_deref() != Some(status)
        };
        self.history.iter().filter(is_into)
    }

    /// The number of times that the order entered `status`, by its history.
    pub(super) fn times(&self, status: &str) -> usize {
        self.entered(status).count()
    }

    /// The number of times that entering `status` was undone.
    pub(super) fn undone(&self, status: &str) -> usize {
        let is_undone = |change: &&HistoryEntry| change.undone.as_deref() == Some(status);
        self.history.iter().filter(is_undone).count()
    }

    /// Whether the order entered `status` and that was not undone.
    pub(super) fn was(&self, status: &str) -> bool {
        self.times(status) > self.undone(status)
    }

    /// Whether it was placed with a code that applied.
    pub(super) fn has_discount(&self) -> bool {
        self.codes.iter().any(|code| code.applied)
    }
}

/// Money that pays no order, as staff read it.
#[derive(Debug, Deserialize)]
pub(super) struct KeptPayment {
    pub(super) amount: Option<Total>,
    pub(super) reference: Option<String>,
}

/// A line of an order's history.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryEntry {
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) by: String,
    pub(super) reason: Option<String>,
    pub(super) undone: Option<String>,
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
    pub(super) levels: Vec<ObservedStock>,
    /// By buyer, from 1; the staff's own is left out.
    pub(super) inboxes: Vec<Vec<InboxEntry>>,
    /// By code, as in the workload.
    pub(super) uses: Vec<u64>,
    pub(super) unmatched: Vec<KeptPayment>,
}

impl Observed {
    /// Reads everything that the audit compares.
    pub(super) async fn read(client: &ShopClient, setup: &TortureSetup) -> anyhow::Result<Self> {
        let staff = &setup.people[STAFF];
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
        for product in &setup.products {
            levels.push(client.stock(staff, &product.id).await?);
        }
        let mut inboxes = Vec::new();
        for buyer in &setup.people[1..] {
            inboxes.push(client.all(buyer, &["v1", "notifications"]).await?);
        }
        let mut uses = Vec::new();
        for code in &setup.codes {
            let path = ["v1", "promotions", &code.promotion];
            let answer = client.send_as(staff, client.request(Method::GET, &path));
            let promotion: Promotion = answer.await?.expect(StatusCode::OK, "reading a code")?;
            uses.push(promotion.uses);
        }
        let unmatched = client.all(staff, &["v1", "payments", "unmatched"]).await?;
        Ok(Self { orders, levels, inboxes, uses, unmatched })
    }
}

#[derive(Deserialize)]
struct Promotion {
    uses: u64,
}

#[derive(Deserialize)]
struct History {
    items: Vec<HistoryEntry>,
}
