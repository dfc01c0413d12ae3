//! The steady load of a rolling restart, and the counts of its responses.
//!
//! **Invariant:** every request is counted once: as a success, retriable, or failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Credentials, NewProduct, ShopClient, ShopResponse};
use crate::table::ReportTable;

const BUYERS: usize = 8;
const PRODUCTS: usize = 20;
/// Of every product: nothing ever runs out.
const STOCK: i64 = 100_000_000;
/// Requests in flight. More would measure this host's queue only.
const UNDER_WAY_MAX: usize = 4096;

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

/// The shop's users under load.
pub(super) struct SteadyLoad {
    /// Without retries: every response counts.
    client: ShopClient,
    buyers: Vec<Credentials>,
    products: Vec<String>,
    /// Makes this run's keys its own.
    run: u32,
    counts: Mutex<ResponseCounts>,
    closing: AtomicBool,
}

impl SteadyLoad {
    /// Registers the buyers and puts products on sale.
    pub(super) async fn prepare(
        client: &ShopClient,
        staff_email: &str,
        password: &str,
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
        Ok(Self {
            client: client.without_retries()?,
            buyers,
            products,
            run: rand::random(),
            counts: Mutex::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Sends `rate` requests a second until closed, and waits for the last answers.
    pub(super) async fn run(self: Arc<Self>, rate: u32) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut calls = JoinSet::new();
        for number in 0.. {
            ticks.tick().await;
            if self.closing.load(Ordering::Relaxed) {
                break;
            }
            while calls.try_join_next().is_some() {}
            if calls.len() >= UNDER_WAY_MAX {
                self.counts.lock().failed += 1;
                continue;
            }
            let load = self.clone();
            calls.spawn(async move { load.call(number).await });
        }
        calls.join_all().await;
    }

    /// Stops the load.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// The counts since the last call.
    pub(super) fn take(&self) -> ResponseCounts {
        std::mem::take(&mut *self.counts.lock())
    }

    /// Of ten requests six look at a product, two at an account, two order.
    async fn call(&self, number: usize) {
        let product = &self.products[number % self.products.len()];
        let buyer = &self.buyers[number % self.buyers.len()];
        let start = Instant::now();
        let (what, answer) = match number % 10 {
            0..6 => {
                let request = self
                    .client
                    .request(Method::GET, &["v1", "products", product]);
                let answer = self.client.send(request).await;
                ("product", answer.map_err(anyhow::Error::from))
            }
            6..8 => {
                let request = self.client.request(Method::GET, &["v1", "users", "me"]);
                ("account", self.client.send_as(buyer, request).await)
            }
            _ => {
                let key = format!("{:08x}-{number}", self.run);
                let item = json!({"product_id": product, "quantity": 1});
                let request = self.client.request(Method::POST, &["v1", "orders"]);
                let request = request
                    .header("idempotency-key", key)
                    .json(&json!({"items": [item]}));
                ("order", self.client.send_as(buyer, request).await)
            }
        };
        self.count(what, start.elapsed(), answer);
    }

    fn count(&self, what: &str, took: Duration, answer: anyhow::Result<ShopResponse>) {
        let mut counts = self.counts.lock();
        let said = match &answer {
            Ok(answer) if answer.status.is_success() => answer.status.to_string(),
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                counts.again += 1;
                format!("503 {}", answer.problem())
            }
            Ok(answer) => {
                counts.failed += 1;
                answer.describe()
            }
            Err(error) => {
                counts.failed += 1;
                format!("{error:#}")
            }
        };
        *counts.answers.entry(format!("{what} {said}")).or_default() += 1;
        counts.longest_ms = counts.longest_ms.max(took.as_millis());
    }
}
