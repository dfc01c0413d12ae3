//! Places orders, so many at once or as they came, and counts every answer.
//!
//! Orders start in the order they are given. An order that was answered 202 is asked for once
//! all are placed; its latency is that of the answer to the checkout alone, which is what a
//! customer waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::invoice::OrderPart;
use crate::client::{Credentials, ServerErrors, ShopClient, problem_kind};
use crate::load::{
    Judgement, LoadOperation, LoadPlan, LoadRequest, LoadResponse, Measured, Requests,
};
use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::shop::AccountTokens;

/// How long an order answered 202 may take to settle.
const SETTLE: Duration = Duration::from_secs(30);
const SETTLE_POLL: Duration = Duration::from_millis(250);
/// Orders asked for concurrently.
const CALLS_AT_ONCE: usize = 16;
/// Tries of an order that is refused with 429 or 503: nothing was written.
const TRIES_MAX: u32 = 5;
/// The upper bound of `Retry-After`.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

/// How an order is counted that was refused for want of stock, at once or later.
pub(crate) const OUT_OF_STOCK: &str = "409 /problems/out-of-stock";
pub(crate) const REJECTED_LATER: &str = "202 then rejected";

/// The customers of the orders, logged in; `None` is the guest.
pub(crate) struct Accounts {
    by_customer: HashMap<Option<String>, usize>,
    tokens: AccountTokens,
}

impl Accounts {
    pub(crate) fn len(&self) -> usize {
        self.by_customer.len()
    }
}

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
    let tokens = AccountTokens::of(client, accounts).await?;
    Ok(Accounts {
        by_customer: customers.into_iter().cloned().zip(0..).collect(),
        tokens,
    })
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
    /// The 5xx responses.
    pub(crate) faults: ServerErrors,
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
            faults: ServerErrors::default(),
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

/// Places every part by `plan`, and waits until each has settled.
pub(crate) async fn place_all(
    client: &ShopClient,
    accounts: Accounts,
    parts: Vec<OrderPart>,
    plan: LoadPlan,
    run_id: &str,
) -> anyhow::Result<(CheckoutCounts, Measured)> {
    let count = parts.len() as u64;
    let requests = CheckoutRequests {
        acting: vec![Turn::default(); plan.workers],
        accounts,
        parts,
        run_id: run_id.to_owned(),
        next: 0,
        counts: CheckoutCounts::new()?,
        pending: Vec::new(),
        progress: PhaseProgress::count("placing orders", count),
    };
    let (requests, measured) = plan.run(requests).await?;
    let CheckoutRequests { accounts, parts, mut counts, pending, progress, .. } = requests;
    progress.finish();
    let (accounts, parts) = (&accounts, &parts);
    let mut settled = stream::iter(pending)
        .map(|(part, mut placed, order)| async move {
            let account = accounts.by_customer[&parts[part].customer];
            let token = accounts.tokens.get(account);
            (placed.outcome, placed.fate) = match settle(client, &token, &order).await {
                Ok(status) => (format!("202 then {status}"), fate_of(&status)),
                Err(error) => (
                    format!("202 then lost: {}", error.root_cause()),
                    Fate::Unknown,
                ),
            };
            (part, placed)
        })
        .buffer_unordered(CALLS_AT_ONCE);
    while let Some((part, placed)) = settled.next().await {
        counts.add(&parts[part], placed);
    }
    drop(settled);
    let sent = counts.orders();
    ensure!(sent == count, "only {sent} of {count} orders were sent");
    Ok((counts, measured))
}

/// Every part once, in order.
struct CheckoutRequests {
    accounts: Accounts,
    parts: Vec<OrderPart>,
    run_id: String,
    next: usize,
    /// What each worker is about.
    acting: Vec<Turn>,
    counts: CheckoutCounts,
    /// Those that have to settle: the part, its answer so far, and the order's id.
    pending: Vec<(usize, Placed, String)>,
    progress: PhaseProgress,
}

#[derive(Clone, Default)]
struct Turn {
    part: usize,
    tries: u32,
}

impl Requests for CheckoutRequests {
    fn kinds(&self) -> Vec<String> {
        vec!["order".to_owned()]
    }

    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let part = self.parts.get(self.next)?;
        self.acting[worker] = Turn { part: self.next, tries: 1 };
        self.next += 1;
        let account = self.accounts.by_customer[&part.customer];
        let items: Vec<(&str, u64)> = part
            .items
            .iter()
            .map(|(product, pieces)| (&**product, *pieces))
            .collect();
        request.order(&self.accounts.tokens.get(account), &items);
        let OrderPart { invoice, number, .. } = part;
        let run_id = &self.run_id;
        let key = write!(
            request.fields,
            "idempotency-key: replay-{invoice}-{number}-{run_id}\r\n"
        );
        key.expect("a String takes any text");
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let turn = &mut self.acting[operation.worker];
        let (outcome, fate, order) = match &operation.response {
            Ok(response) => {
                if response.status >= 500 {
                    let status = response.status;
                    let described =
                        || format!("/v1/orders: {status} {}", problem_kind(response.body));
                    self.counts.faults.add(described);
                }
                if matches!(response.status, 429 | 503) && turn.tries < TRIES_MAX {
                    turn.tries += 1;
                    let seconds = response.retry_after.unwrap_or(1);
                    return Judgement::Again(Duration::from_secs(seconds).min(RETRY_WAIT_MAX));
                }
                outcome(response)
            }
            Err(error) => (format!("no answer: {error}"), Fate::Unknown, None),
        };
        let replayed = operation
            .response
            .as_ref()
            .is_ok_and(|response| response.is_replayed);
        let latency = operation.response_time;
        // What an earlier run was promised is already in the stock it left behind.
        let fate = if replayed { Fate::NotHeld } else { fate };
        let placed = Placed { outcome, fate, replayed, latency };
        let part = turn.part;
        match order {
            Some(order) => self.pending.push((part, placed, order)),
            None => self.counts.add(&self.parts[part], placed),
        }
        self.progress.step();
        Judgement::of(fate != Fate::Unknown)
    }
}

#[derive(Deserialize)]
struct Order {
    id: String,
    status: String,
}

/// How a response is counted, and the order whose outcome is still to come.
fn outcome(response: &LoadResponse<'_>) -> (String, Fate, Option<String>) {
    let status = response.status;
    if !(200..300).contains(&status) {
        let fate = if status >= 500 { Fate::Unknown } else { Fate::NotHeld };
        return (
            format!("{status} {}", problem_kind(response.body)),
            fate,
            None,
        );
    }
    match response.json::<Order>() {
        None => (format!("{status} without an order"), Fate::Unknown, None),
        Some(order) if status == 202 => (String::new(), Fate::NotHeld, Some(order.id)),
        Some(order) => (
            format!("{status} {}", order.status),
            fate_of(&order.status),
            None,
        ),
    }
}

/// Asks for the order until it is no longer pending, or [`SETTLE`] is over.
async fn settle(client: &ShopClient, token: &str, order_id: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let request = client.request(Method::GET, &["v1", "orders", order_id]);
        let answer = client.send(request.bearer_auth(token)).await?;
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
