//! The setup of the payment scenarios: a shop with one product, staff and a buyer, and the
//! checks made so far.
//!
//! **Invariant:** every message that is sent becomes one check.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::shop::Shop;

use super::WebhookCheck;
use super::provider::{Payment, ProviderMessage, WebhookSecrets};
use crate::client::{Credentials, NewProduct, ShopClient, ShopResponse};

pub(super) const PRICE: i64 = 2_500;
pub(super) const PIECES: i64 = 1_000;
/// What settles by itself does so by then.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Setup {
    pub(super) shop: Shop,
    pub(super) client: ShopClient,
    staff: Credentials,
    buyer: Credentials,
    pub(super) secrets: WebhookSecrets,
    product: String,
    pub(super) rows: Vec<WebhookCheck>,
    /// Messages that were answered as money that fits nothing.
    unmatched: usize,
}

impl Setup {
    pub(super) async fn begin(
        shop: Shop,
        client: ShopClient,
        staff: Credentials,
        buyer: Credentials,
        secrets: WebhookSecrets,
    ) -> anyhow::Result<Self> {
        let product = NewProduct {
            sku: "PAID-1".into(),
            title: "A lamp to pay for".into(),
            price: PRICE,
            stock: PIECES,
        };
        let product = client.create_product(&staff, product).await?;
        Ok(Self {
            shop,
            client,
            staff,
            buyer,
            secrets,
            product,
            rows: Vec::new(),
            unmatched: 0,
        })
    }

    /// The checks, once staff were notified of every unmatched payment.
    pub(super) async fn end(mut self) -> anyhow::Result<Vec<WebhookCheck>> {
        let deadline = Instant::now() + SETTLE;
        let notified = loop {
            let path = ["v1", "notifications"];
            let inbox: Vec<InboxEntry> = self.client.all(&self.staff, &path).await?;
            let kinds = ["payment.unmatched", "payment.unreadable"];
            let notices = inbox
                .iter()
                .filter(|one| kinds.contains(&one.kind.as_str()));
            let notified = notices.count();
            if notified >= self.unmatched || Instant::now() >= deadline {
                break notified;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let (expected, got) = (self.unmatched.to_string(), notified.to_string());
        let sent = "notifications of unmatched payments to staff".into();
        self.rows.push(WebhookCheck { sent, expected, got });
        self.shop.check()?;
        Ok(self.rows)
    }

    /// Sends a message with a valid signature and checks its effect.
    pub(super) async fn send_signed(
        &mut self,
        sent: &str,
        message: &ProviderMessage,
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
        let outcome = summary(&answer);
        self.unmatched += usize::from(outcome.contains("unmatched"));
        let got = format!("{outcome} → {}", self.status(about).await?);
        let (sent, expected) = (sent.to_owned(), expected.to_owned());
        self.rows.push(WebhookCheck { sent, expected, got });
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
        let order: OrderBody = answer.expect(StatusCode::OK, "reading an order")?;
        Ok(order.status)
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

    pub(super) async fn history(&self, payment: &Payment) -> anyhow::Result<Vec<StatusChange>> {
        let path = ["v1", "orders", &payment.order_id, "history"];
        let request = self.client.request(Method::GET, &path);
        let answer = self.client.send_as(&self.staff, request).await?;
        let history: History = answer.expect(StatusCode::OK, "reading a history")?;
        Ok(history.items)
    }
}

/// The response in short: its status, and the outcome of the message.
pub(super) fn summary(answer: &ShopResponse) -> String {
    let body: Value = answer.json().unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let problem = text("type").map(|kind| kind.replace("/problems/", ""));
    let parts = [text("outcome"), text("reason"), problem];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{} {parts}", answer.status.as_u16())
}

#[derive(Deserialize)]
struct OrderBody {
    status: String,
}

#[derive(Deserialize)]
struct InboxEntry {
    kind: String,
}

#[derive(Deserialize)]
struct History {
    items: Vec<StatusChange>,
}

#[derive(Deserialize)]
pub(super) struct StatusChange {
    pub(super) to: String,
}
