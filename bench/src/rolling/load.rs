//! The steady load of a rolling restart, and the counts of its responses.
//!
//! **Invariant:** every request is counted once: as a success, retriable, or failed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::client::{Credentials, NewProduct, ShopClient, problem_kind};
use crate::load::{Judgement, LoadOperation, LoadRequest, Requests};
use crate::shop::AccountTokens;
use crate::table::ReportTable;

const BUYERS: usize = 8;
const PRODUCTS: usize = 20;
/// Of every product: nothing ever runs out.
const STOCK: i64 = 100_000_000;
/// For how many seconds requests have connections while none is answered.
const AWAY_SECONDS: usize = 2;
/// Connections of a shop's gateway, unless it is configured otherwise.
const WORKERS_MAX: usize = 4096;
/// What is asked for; of ten requests six look at a product, two at an account, two order.
const KINDS: [&str; 3] = ["product", "account", "order"];
const SHARES: [usize; 10] = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2];

/// The responses of one interval.
#[derive(Default, Serialize)]
pub(super) struct ResponseCounts {
    pub(super) answers: BTreeMap<String, u64>,
    /// Neither a success nor retriable.
    pub(super) failed: u64,
    /// Refused with 503: nothing was written, retry.
    pub(super) again: u64,
    /// The longest wait for an answer.
    pub(super) longest_ms: u128,
}

impl ResponseCounts {
    pub(super) fn add(&mut self, other: Self) {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.failed += other.failed;
        self.again += other.again;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }

    pub(super) fn rows(&self, table: &mut ReportTable) {
        for (answer, &count) in &self.answers {
            table.count(answer, count);
        }
        table.row("longest wait, ms", self.longest_ms);
    }
}

/// Requests in flight at most, so that none waits for a connection while a service is away.
pub(super) fn workers(rate: u32) -> usize {
    (rate as usize * AWAY_SECONDS).clamp(1, WORKERS_MAX)
}

/// What the load and its observer share.
#[derive(Default)]
pub(super) struct SteadyCounts {
    counts: Mutex<ResponseCounts>,
    is_closing: AtomicBool,
}

impl SteadyCounts {
    /// Stops the load.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// The counts since the last call.
    pub(super) fn take(&self) -> ResponseCounts {
        std::mem::take(&mut *self.counts.lock())
    }
}

/// The shop's users under load. None of their requests is tried again.
pub(super) struct SteadyLoad {
    buyers: AccountTokens,
    products: Vec<String>,
    /// Makes this run's keys its own.
    run: u32,
    number: usize,
    counts: Arc<SteadyCounts>,
}

impl SteadyLoad {
    /// Registers the buyers and puts products on sale.
    pub(super) async fn prepare(
        client: &ShopClient,
        staff_email: &str,
        password: &str,
        counts: Arc<SteadyCounts>,
    ) -> anyhow::Result<Self> {
        let staff = Credentials::new(staff_email.into(), password.into());
        let account =
            |number| Credentials::new(format!("buyer{number}@rolling.example"), password.into());
        let buyers = client.log_in_all((1..=BUYERS).map(account)).await?;
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            let product = NewProduct {
                sku: format!("ROLLING-{number}"),
                title: format!("Rolling lamp {number}"),
                price: 1_250,
                stock: STOCK,
            };
            products.push(client.create_product(&staff, product).await?);
        }
        let buyers = AccountTokens::of(client, buyers).await?;
        Ok(Self { buyers, products, run: rand::random(), number: 0, counts })
    }
}

impl Requests for SteadyLoad {
    fn kinds(&self) -> Vec<String> {
        KINDS.map(str::to_owned).into()
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        if self.counts.is_closing.load(Ordering::Relaxed) {
            return None;
        }
        let (run, number) = (self.run, self.number);
        self.number += 1;
        let product = self.products[number % self.products.len()].as_str();
        let buyer = self.buyers.get(number % self.buyers.len());
        let kind = SHARES[number % SHARES.len()];
        match KINDS[kind] {
            "product" => {
                request.get(&format!("/v1/products/{product}"));
            }
            "account" => {
                request.get("/v1/users/me").bearer(&buyer);
            }
            _ => {
                request.order(&buyer, &[(product, 1)]);
                let key = write!(request.fields, "idempotency-key: {run:08x}-{number}\r\n");
                key.expect("a String takes any text");
            }
        }
        Some(kind)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let mut counts = self.counts.counts.lock();
        let (said, judgement) = match &operation.response {
            Ok(response) if (200..300).contains(&response.status) => {
                (response.status.to_string(), Judgement::Expected)
            }
            Ok(response) if response.status == 503 => {
                counts.again += 1;
                (
                    format!("503 {}", problem_kind(response.body)),
                    Judgement::Expected,
                )
            }
            _ => (operation.describe(), Judgement::Failed),
        };
        counts.failed += u64::from(judgement == Judgement::Failed);
        let what = KINDS[operation.kind];
        *counts.answers.entry(format!("{what} {said}")).or_default() += 1;
        counts.longest_ms = counts.longest_ms.max(operation.response_time.as_millis());
        judgement
    }
}
