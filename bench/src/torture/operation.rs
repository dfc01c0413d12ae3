//! Operations: requests under an idempotency key of their own, and their retries.
//!
//! **Invariant:** an operation is repeated, byte for byte and under the same key, until the
//! shop has decided it; a response that decides nothing is never taken for a decision.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::setup::{PRICE, TortureSetup};
use crate::client::ShopResponse;
use crate::payments::provider::{Payment, ProviderMessage};

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two tries; a killed process is back soon.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// The answer to a twin: nothing is decided yet.
const IN_FLIGHT: &str = "/problems/idempotency-key-in-flight";

pub(crate) type PlacedOrderId = Arc<str>;

/// A cart to be completed.
#[derive(Clone, Debug)]
pub(crate) struct FilledCart {
    pub(super) id: Arc<str>,
    /// Of a guest's cart; one without is its account's.
    pub(super) token: Option<Arc<str>>,
}

/// Pieces of one of the workload's products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedProduct {
    pub(crate) product: usize,
    pub(crate) pieces: i64,
}

/// An amount of money in an answer, in minor units.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Total {
    pub(super) amount: i64,
}

/// Products and the code given with them.
#[derive(Clone, Debug)]
pub(crate) struct OrderedBasket {
    pub(crate) lines: Vec<OrderedProduct>,
    /// Index among the workload's codes.
    pub(crate) code: Option<usize>,
}

/// Money that the provider reports for an order.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) order: PlacedOrderId,
    pub(crate) amount: i64,
}

/// The amount of these lines; a code takes a tenth off.
pub(super) fn total(lines: &[OrderedProduct], has_code: bool) -> i64 {
    let price = |line: &OrderedProduct| PRICE * (line.product as i64 + 1) * line.pieces;
    let gross: i64 = lines.iter().map(price).sum();
    if has_code { gross / 10 * 9 } else { gross }
}

impl OrderedBasket {
    /// As the shop's bodies have them.
    pub(super) fn items(&self, setup: &TortureSetup) -> Vec<serde_json::Value> {
        let item = |line: &OrderedProduct| {
            let product_id = &setup.products[line.product].id;
            json!({"product_id": product_id, "quantity": line.pieces})
        };
        self.lines.iter().map(item).collect()
    }

    pub(super) fn codes<'a>(&self, setup: &'a TortureSetup) -> Vec<&'a str> {
        let code = self.code.map(|code| setup.codes[code].code.as_str());
        code.into_iter().collect()
    }
}

/// The action that an operation requests.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Place(OrderedBasket),
    /// Completes a cart that has this content.
    Complete(FilledCart, OrderedBasket),
    OrderStep(PlacedOrderId, OrderStep),
    /// Under the operation's key as the id of the message and of the payment.
    Receive(Receipt),
    Move(OrderedProduct),
}

impl Action {
    pub(crate) fn is_placing(&self) -> bool {
        matches!(self, Self::Place(_) | Self::Complete(..))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Complete(FilledCart { token: Some(_), .. }, _) => "complete a guest's cart",
            Self::Complete(..) => "complete a cart",
            Self::Receive(_) => "receive a payment",
            Self::OrderStep(_, step) => step.name(),
            Self::Move(_) => "move stock",
        }
    }
}

/// The steps of an order's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStep {
    Cancel,
    Pay,
    Ship,
    Deliver,
    /// Of an amount in minor units, or of the rest.
    Refund(Option<i64>),
    Undo,
}

impl OrderStep {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pay => "pay",
            Self::Ship => "ship",
            Self::Deliver => "deliver",
            Self::Refund(_) => "refund",
            Self::Undo => "undo",
        }
    }

    fn body(self) -> Option<serde_json::Value> {
        match self {
            Self::Cancel | Self::Undo => Some(json!({"reason": "tortured"})),
            Self::Pay | Self::Deliver => None,
            Self::Ship => Some(json!({"carrier": "Yamato"})),
            Self::Refund(None) => Some(json!({"reason": "tortured"})),
            Self::Refund(Some(amount)) => Some(json!({"amount": amount, "reason": "tortured"})),
        }
    }
}

/// Who asks for what, under which key.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Index among the workload's people.
    pub(crate) who: usize,
    pub(crate) key: String,
    pub(crate) action: Action,
}

/// What the shop decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether it came with `Idempotency-Replayed: true`.
    pub(super) replayed: bool,
}

impl Decision {
    /// The order that the answer is about.
    pub(crate) fn order(&self) -> Option<PlacedOrderId> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let id = body["id"].as_str().or(body["order_id"].as_str())?;
        Some(id.into())
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Names the action, its order and its key.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, key) = (self.action.name(), &self.key);
        match &self.action {
            Action::OrderStep(order, _) | Action::Receive(Receipt { order, .. }) => {
                write!(f, "{order}: {what} under {key}")
            }
            Action::Place(_) | Action::Complete(..) | Action::Move(_) => {
                write!(f, "{what} under {key}")
            }
        }
    }
}

impl Operation {
    /// Asks until it is decided; the decision, and how many tries that took.
    ///
    /// # Errors
    /// An answer that no key may lead to, or none within [`TIMEOUT`].
    pub(super) async fn done(&self, setup: &TortureSetup) -> anyhow::Result<(Decision, u64)> {
        let deadline = Instant::now() + TIMEOUT;
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.request(setup);
            let sent = match self.buyer() {
                Some(buyer) => setup.client.send_as(&setup.people[buyer], request).await,
                None => setup.client.send(request).await.map_err(Into::into),
            };
            let said = match sent {
                Ok(answer) if is_decided(&answer) => return Ok((decision(&answer), tries)),
                Ok(answer) if is_out_of_contract(&answer) => {
                    bail!("{self} was answered {}", answer.describe())
                }
                Ok(answer) => answer.describe(),
                // The outcome is unknown; the retry finds it by the key.
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= deadline {
                bail!("{self} was never decided, {tries} tries; the last: {said}");
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Whose account asks; `None` for a guest.
    pub(super) fn buyer(&self) -> Option<usize> {
        let is_guest = matches!(&self.action, Action::Complete(cart, _) if cart.token.is_some());
        (!is_guest).then_some(self.who)
    }

    fn request(&self, setup: &TortureSetup) -> RequestBuilder {
        let product = |line: &OrderedProduct| &*setup.products[line.product].id;
        let post = |segments: &[&str]| setup.client.request(Method::POST, segments);
        let request = match &self.action {
            Action::Place(basket) => {
                let body = json!({"items": basket.items(setup), "codes": basket.codes(setup)});
                post(&["v1", "orders"]).json(&body)
            }
            Action::Complete(FilledCart { id, token }, _) => {
                let request = post(&["v1", "carts", id, "complete"]);
                match token {
                    Some(token) => request.header("cart-token", &**token),
                    None => request,
                }
            }
            Action::Receive(Receipt { order, amount }) => {
                let payment = Payment {
                    succeeded: true,
                    order_id: order.to_string(),
                    amount: *amount,
                    currency: "EUR",
                    reference: self.key.clone(),
                };
                let message = ProviderMessage { id: self.key.clone(), ..payment.message() };
                return message.request(&setup.client, &message.signed_by(&setup.secrets.present));
            }
            Action::OrderStep(order, step) => {
                let request = post(&["v1", "orders", order, step.name()]);
                match step.body() {
                    Some(body) => request.json(&body),
                    None => request,
                }
            }
            Action::Move(line) => post(&["v1", "products", product(line), "stock"])
                .json(&json!({"delta": line.pieces, "reason": "tortured"})),
        };
        request.header("idempotency-key", &self.key)
    }
}

fn is_decided(answer: &ShopResponse) -> bool {
    match answer.status {
        StatusCode::CONFLICT => answer.problem() != IN_FLIGHT,
        status => status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Not reached, not up, not ready, or throttled: ask again. Anything else, 500
/// too, means that the shop lost or misread an earlier operation.
fn is_out_of_contract(answer: &ShopResponse) -> bool {
    !matches!(
        answer.status,
        StatusCode::UNAUTHORIZED
            | StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn decision(answer: &ShopResponse) -> Decision {
    Decision {
        status: answer.status.as_u16(),
        body: answer.body().to_vec(),
        replayed: answer.replayed,
    }
}
