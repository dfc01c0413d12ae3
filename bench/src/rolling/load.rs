//! People who use a shop at a steady rate, and what they were answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Account, Answer, Client};
use crate::table::Table;

const BUYERS: usize = 8;
const PRODUCTS: usize = 20;
/// Of every product: nothing ever runs out.
const STOCK: u64 = 100_000_000;
/// Requests under way at once. More would only tell of this host's queue.
const UNDER_WAY_MAX: usize = 4096;

/// What was answered within a time.
#[derive(Default, Serialize)]
pub(super) struct Tally {
    pub(super) answers: BTreeMap<String, u64>,
    /// Neither a success nor retriable.
    pub(super) failed: u64,
    /// Refused with 503: nothing was written, come again.
    pub(super) again: u64,
    /// The longest wait for an answer.
    pub(super) longest_ms: u128,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.failed += other.failed;
        self.again += other.again;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }

    pub(super) fn rows(&self, table: &mut Table) {
        for (answer, &count) in &self.answers {
            table.count(answer, count);
        }
        table.row("longest wait, ms", self.longest_ms);
    }
}

/// Everyone who uses the shop.
pub(super) struct Load {
    /// Candid: every answer counts.
    client: Client,
    buyers: Vec<Account>,
    products: Vec<String>,
    /// Makes this run's keys its own.
    run: u32,
    tally: Mutex<Tally>,
    closing: AtomicBool,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Load {
    /// Registers the buyers and puts products on sale.
    pub(super) async fn prepare(
        client: &Client,
        staff_email: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let staff = Account::new(staff_email.into(), password.into());
        let mut buyers = Vec::new();
        for number in 1..=BUYERS {
            let email = format!("buyer{number}@rolling.example");
            let buyer = Account::new(email, password.into());
            client.register(&buyer, &format!("Buyer {number}")).await?;
            client.renew(&buyer, "").await?;
            buyers.push(buyer);
        }
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            let request = client.request(Method::POST, &["v1", "products"]);
            let request = request.json(&json!({
                "sku": format!("ROLLING-{number}"),
                "title": format!("Rolling lamp {number}"),
                "price": {"amount": 1_250, "currency": "EUR"},
                "status": "published",
                "stock": STOCK,
            }));
            let made = client.send_as(&staff, request).await?;
            let Named { id } = made.expect(StatusCode::CREATED, "making a product")?;
            products.push(id);
        }
        Ok(Self {
            client: client.candid()?,
            buyers,
            products,
            run: rand::random(),
            tally: Mutex::default(),
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
                self.tally().failed += 1;
                continue;
            }
            let load = self.clone();
            calls.spawn(async move { load.call(number).await });
        }
        calls.join_all().await;
    }

    /// Nobody asks for anything from now on.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// What was answered since the last time.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally())
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

    fn count(&self, what: &str, took: Duration, answer: anyhow::Result<Answer>) {
        let mut tally = self.tally();
        let said = match &answer {
            Ok(answer) if answer.status.is_success() => answer.status.to_string(),
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                tally.again += 1;
                format!("503 {}", answer.problem())
            }
            Ok(answer) => {
                tally.failed += 1;
                answer.describe()
            }
            Err(error) => {
                tally.failed += 1;
                format!("{error:#}")
            }
        };
        *tally.answers.entry(format!("{what} {said}")).or_default() += 1;
        tally.longest_ms = tally.longest_ms.max(took.as_millis());
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
