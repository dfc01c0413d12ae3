//! The stage: a shop with one product, its staff and a buyer, and what was tried
//! on it so far.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::shop::Shop;

use super::Row;
use super::provider::{Message, Payment, Secrets};
use crate::client::{Account, Answer, Client};

pub(super) const PRICE: i64 = 2_500;
pub(super) const PIECES: i64 = 1_000;
/// What settles by itself does so by then.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Stage {
    pub(super) shop: Shop,
    pub(super) client: Client,
    staff: Account,
    buyer: Account,
    pub(super) secrets: Secrets,
    product: String,
    pub(super) rows: Vec<Row>,
    /// Messages that were answered as money that fits nothing.
    unmatched: usize,
}

impl Stage {
    pub(super) async fn begin(
        shop: Shop,
        client: Client,
        staff: Account,
        buyer: Account,
        secrets: Secrets,
    ) -> anyhow::Result<Self> {
        let request = client
            .request(Method::POST, &["v1", "products"])
            .json(&json!({
                "sku": "PAID-1",
                "title": "A lamp to pay for",
                "price": {"amount": PRICE, "currency": "EUR"},
                "status": "published",
                "stock": PIECES,
            }));
        let answer = client.send_as(&staff, request).await?;
        let made: Order = answer.expect(StatusCode::CREATED, "making a product")?;
        let (product, rows) = (made.id, Vec::new());
        Ok(Self {
            shop,
            client,
            staff,
            buyer,
            secrets,
            product,
            rows,
            unmatched: 0,
        })
    }

    /// What was tried, once staff was told of all money that fits nothing.
    pub(super) async fn end(mut self) -> anyhow::Result<Vec<Row>> {
        let deadline = Instant::now() + SETTLE;
        let told = loop {
            let path = ["v1", "notifications"];
            let inbox: Vec<Notice> = self.client.all(&self.staff, &path).await?;
            let told = inbox.iter().filter(|one| one.kind == "payment.unmatched");
            let told = told.count();
            if told >= self.unmatched || Instant::now() >= deadline {
                break told;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let (expected, got) = (self.unmatched.to_string(), told.to_string());
        let sent = "of all this, money that fits nothing, told to staff".into();
        self.rows.push(Row { sent, expected, got });
        self.shop.check()?;
        Ok(self.rows)
    }

    /// Sends a well-signed message and notes what came of it.
    pub(super) async fn tell(
        &mut self,
        sent: &str,
        message: &Message,
        about: &Payment,
        expected: &str,
    ) -> anyhow::Result<()> {
        let signature = message.signed_by(&self.secrets.present);
        let request = message.request(&self.client, &signature);
        self.send(sent, request, about, expected).await
    }

    pub(super) async fn send(
        &mut self,
        sent: &str,
        request: RequestBuilder,
        about: &Payment,
        expected: &str,
    ) -> anyhow::Result<()> {
        let answer = self.client.send(request).await?;
        let words = words(&answer);
        self.unmatched += usize::from(words.contains("unmatched"));
        let got = format!("{words} → {}", self.status(about).await?);
        let (sent, expected) = (sent.to_owned(), expected.to_owned());
        self.rows.push(Row { sent, expected, got });
        Ok(())
    }

    /// A confirmed order of one piece, and the payment it waits for.
    pub(super) async fn order(&self) -> anyhow::Result<Payment> {
        self.place(1, StatusCode::CREATED).await
    }

    pub(super) async fn place(&self, pieces: i64, expected: StatusCode) -> anyhow::Result<Payment> {
        let item = json!({"product_id": self.product, "quantity": pieces});
        let request = self
            .client
            .request(Method::POST, &["v1", "orders"])
            .json(&json!({"items": [item]}));
        let answer = self.client.send_as(&self.buyer, request).await?;
        let placed: Value = answer.expect(expected, "placing an order")?;
        let order_id = placed["id"].as_str().or(placed["order_id"].as_str());
        Ok(Payment {
            succeeded: true,
            order_id: order_id.context("an answer without an order")?.to_owned(),
            amount: PRICE * pieces,
            currency: "EUR",
            reference: format!("pay_{:016x}", rand::random::<u64>()),
        })
    }

    pub(super) async fn step(&self, payment: &Payment, step: &str) -> anyhow::Result<()> {
        let path = ["v1", "orders", &payment.order_id, step];
        let request = self.client.request(Method::POST, &path);
        let request = match step {
            "cancel" | "refund" => request.json(&json!({"reason": "tried"})),
            _ => request,
        };
        let answer = self.client.send_as(&self.staff, request).await?;
        ensure!(
            answer.status == StatusCode::OK,
            "{step} was answered {}",
            answer.describe()
        );
        Ok(())
    }

    pub(super) async fn status(&self, payment: &Payment) -> anyhow::Result<String> {
        let path = ["v1", "orders", &payment.order_id];
        let request = self.client.request(Method::GET, &path);
        let answer = self.client.send_as(&self.staff, request).await?;
        let order: Order = answer.expect(StatusCode::OK, "reading an order")?;
        order.status.context("an order without a status")
    }

    /// The order's state once it is `hoped` for, or when nothing more is to come.
    pub(super) async fn settled(&self, payment: &Payment, hoped: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let status = self.status(payment).await?;
            if status == hoped || Instant::now() >= deadline {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) async fn history(&self, payment: &Payment) -> anyhow::Result<Vec<Change>> {
        let path = ["v1", "orders", &payment.order_id, "history"];
        let request = self.client.request(Method::GET, &path);
        let answer = self.client.send_as(&self.staff, request).await?;
        let history: History = answer.expect(StatusCode::OK, "reading a history")?;
        Ok(history.items)
    }
}

/// The answer in a few words: its status, and what came of the message.
pub(super) fn words(answer: &Answer) -> String {
    let body: Value = answer.json().unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let problem = text("type").map(|kind| kind.replace("/problems/", ""));
    let words = [text("outcome"), text("reason"), problem];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{} {words}", answer.status.as_u16())
}

#[derive(Deserialize)]
struct Order {
    id: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Notice {
    kind: String,
}

#[derive(Deserialize)]
struct History {
    items: Vec<Change>,
}

#[derive(Deserialize)]
pub(super) struct Change {
    pub(super) to: String,
}
