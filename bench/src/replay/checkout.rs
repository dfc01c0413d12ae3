//! Places orders, so many at once, and counts every answer.
//!
//! Orders start in the order they are given. An order keeps its place among
//! those under way until it is settled, but its latency is that of the answer
//! to the checkout alone, which is what a customer waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::invoice::OrderPart;
use crate::client::{Credentials, ShopClient, ShopResponse};
use crate::progress::PhaseProgress;
use crate::series::Series;

/// How long an order answered 202 may take to settle.
const SETTLE: Duration = Duration::from_secs(30);
const SETTLE_POLL: Duration = Duration::from_millis(250);

/// How an order is counted that was refused for want of stock, at once or later.
pub(crate) const OUT_OF_STOCK: &str = "409 /problems/out-of-stock";
pub(crate) const REJECTED_LATER: &str = "202 then rejected";

/// Accounts by customer; `None` is the guest.
pub(crate) type Accounts = HashMap<Option<String>, Credentials>;

/// Registers the customers, unless an earlier run did, and logs them in.
///
/// E-mail and password follow from the customer's number, so that every run against the
/// same shop finds the accounts of earlier runs. The passwords protect nothing: the accounts
/// exist for measuring.
pub(crate) async fn open_accounts(
    client: &ShopClient,
    parts: &[OrderPart],
) -> anyhow::Result<Accounts> {
    let customers: BTreeSet<&Option<String>> = parts.iter().map(|part| &part.customer).collect();
    let credentials = |customer: &&Option<String>| {
        let number = customer.as_deref();
        let local = number.map_or_else(|| "guest".to_owned(), |number| format!("c{number}"));
        let password = format!("replayed invoices of {local}");
        Credentials::new(format!("{local}@replay.example"), password)
    };
    let accounts = client.log_in_all(customers.iter().map(credentials)).await?;
    Ok(customers.into_iter().cloned().zip(accounts).collect())
}

/// What became of the pieces of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The shop promised them in this run.
    Confirmed,
    /// The shop said no, or repeated an answer of an earlier run.
    NotHeld,
    /// The outcome is unknown: no answer, a 5xx, or never settled.
    Unknown,
}

/// One order's answer.
struct Placed {
    /// How it is counted, such as `409 /problems/out-of-stock`.
    outcome: String,
    fate: Fate,
    replayed: bool,
    latency: Duration,
}

/// Pieces of one product over all orders.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pieces {
    pub(crate) confirmed: i64,
    pub(crate) unknown: i64,
    /// In the smallest order that was refused as out of stock.
    pub(crate) refused_least: Option<i64>,
}

/// All answers, counted.
pub(crate) struct CheckoutCounts {
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) confirmed: u64,
    pub(crate) unknown: u64,
    /// Answers that the shop repeated because the run's id was used before.
    pub(crate) replayed: u64,
    /// Of each checkout, answered or not: leaving out those that timed out would flatter
    /// the rest.
    pub(crate) latency: Series,
    pub(crate) took: Duration,
    pub(crate) pieces: HashMap<Arc<str>, Pieces>,
}

impl CheckoutCounts {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            outcomes: BTreeMap::new(),
            confirmed: 0,
            unknown: 0,
            replayed: 0,
            latency: Series::new()?,
            took: Duration::ZERO,
            pieces: HashMap::new(),
        })
    }

    /// Orders sent.
    pub(crate) fn orders(&self) -> u64 {
        self.outcomes.values().sum()
    }

    fn add(&mut self, part: &OrderPart, placed: Placed) {
        let is_short = placed.outcome == OUT_OF_STOCK || placed.outcome == REJECTED_LATER;
        *self.outcomes.entry(placed.outcome).or_default() += 1;
        self.replayed += u64::from(placed.replayed);
        self.latency.record_lasting(placed.latency);
        for (product, pieces) in &part.items {
            let total = self.pieces.entry(Arc::clone(product)).or_default();
            let pieces = *pieces as i64;
            match placed.fate {
                Fate::Confirmed => total.confirmed += pieces,
                Fate::Unknown => total.unknown += pieces,
                Fate::NotHeld if is_short => {
                    let least = total.refused_least.unwrap_or(pieces);
                    total.refused_least = Some(least.min(pieces));
                }
                Fate::NotHeld => {}
            }
        }
        match placed.fate {
            Fate::Confirmed => self.confirmed += 1,
            Fate::Unknown => self.unknown += 1,
            Fate::NotHeld => {}
        }
    }
}

/// Places every part, `concurrency` at once.
pub(crate) async fn place_all(
    client: &ShopClient,
    accounts: &Accounts,
    parts: &[OrderPart],
    concurrency: usize,
    run_id: &str,
) -> anyhow::Result<CheckoutCounts> {
    let mut counts = CheckoutCounts::new()?;
    let progress = PhaseProgress::count("placing orders", parts.len() as u64);
    let started = Instant::now();
    let mut placed = stream::iter(parts)
        .map(|part| async move {
            let account = accounts
                .get(&part.customer)
                .context("a customer without an account")?;
            anyhow::Ok((part, place(client, account, part, run_id).await))
        })
        .buffer_unordered(concurrency);
    while let Some(done) = placed.next().await {
        let (part, placed) = done?;
        counts.add(part, placed);
        progress.step();
    }
    counts.took = started.elapsed();
    progress.finish();
    Ok(counts)
}

async fn place(
    client: &ShopClient,
    account: &Credentials,
    part: &OrderPart,
    run_id: &str,
) -> Placed {
    let items: Vec<Value> = part
        .items
        .iter()
        .map(|(product, pieces)| json!({"product_id": **product, "quantity": pieces}))
        .collect();
    let key = format!("replay-{}-{}-{run_id}", part.invoice, part.number);
    let request = client
        .request(Method::POST, &["v1", "orders"])
        .header("idempotency-key", key)
        .json(&json!({"items": items}));
    let started = Instant::now();
    let answer = client.send_as(account, request).await;
    let latency = started.elapsed();
    let (replayed, (outcome, fate)) = match &answer {
        Ok(answer) => (answer.replayed, verify(client, account, answer).await),
        Err(error) => (
            false,
            (format!("no answer: {}", error.root_cause()), Fate::Unknown),
        ),
    };
    // What an earlier run was promised is already in the stock it left behind.
    let fate = if replayed { Fate::NotHeld } else { fate };
    Placed { outcome, fate, replayed, latency }
}

#[derive(Deserialize)]
struct Order {
    id: String,
    status: String,
}

async fn verify(
    client: &ShopClient,
    account: &Credentials,
    answer: &ShopResponse,
) -> (String, Fate) {
    let code = answer.status.as_u16();
    if answer.status.is_server_error() {
        return (format!("{code} {}", answer.problem()), Fate::Unknown);
    }
    if !answer.status.is_success() {
        return (format!("{code} {}", answer.problem()), Fate::NotHeld);
    }
    let Some(order) = answer.json::<Order>() else {
        return (format!("{code} without an order"), Fate::Unknown);
    };
    if answer.status != StatusCode::ACCEPTED {
        return (format!("{code} {}", order.status), fate_of(&order.status));
    }
    match settle(client, account, &order.id).await {
        Ok(status) => (format!("{code} then {status}"), fate_of(&status)),
        Err(error) => (
            format!("{code} then lost: {}", error.root_cause()),
            Fate::Unknown,
        ),
    }
}

/// Asks for the order until it is no longer pending, or [`SETTLE`] is over.
async fn settle(
    client: &ShopClient,
    account: &Credentials,
    order_id: &str,
) -> anyhow::Result<String> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let request = client.request(Method::GET, &["v1", "orders", order_id]);
        let answer = client.send_as(account, request).await?;
        let order: Order = answer.expect(StatusCode::OK, "asking for a pending order")?;
        if order.status != "pending" || Instant::now() >= deadline {
            return Ok(order.status);
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}

fn fate_of(status: &str) -> Fate {
    match status {
        "confirmed" => Fate::Confirmed,
        "rejected" => Fate::NotHeld,
        _ => Fate::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_keeps_slow_answers_and_unknown_pieces() {
        let part = OrderPart {
            invoice: "489434".to_owned(),
            number: 1,
            customer: None,
            items: vec![(Arc::from("prod_A"), 7)],
        };
        let placed = |fate, millis| Placed {
            outcome: format!("{fate:?}"),
            fate,
            replayed: false,
            latency: Duration::from_millis(millis),
        };
        let mut counts = CheckoutCounts::new().unwrap();
        counts.add(&part, placed(Fate::Confirmed, 12));
        counts.add(&part, placed(Fate::NotHeld, 3));
        counts.add(&part, placed(Fate::Unknown, 30_000));
        let pieces = counts.pieces["prod_A"];
        assert_eq!((pieces.confirmed, pieces.unknown), (7, 7));
        assert_eq!(
            (counts.orders(), counts.confirmed, counts.unknown),
            (3, 1, 1)
        );
        let within = |quantile, expected_us: u64| {
            let latency_us = counts.latency.quantile(quantile).as_micros() as u64;
            let error_us = latency_us.abs_diff(expected_us);
            assert!(
                error_us <= expected_us / 500,
                "quantile {quantile} is {error_us} us off"
            );
        };
        within(0.5, 12_000);
        within(1.0, 30_000_000);
    }
}
