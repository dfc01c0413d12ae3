//! Deeds: what somebody asks of the shop under a key of its own, and how long
//! they go on asking.
//!
//! **Invariant:** a deed is repeated, word for word and under the same key, until
//! the shop has decided it; an answer that decides nothing is never taken for one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::scene::Scene;
use crate::client::Answer;

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two tries; a killed process is back soon.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// The answer to a twin: nothing is decided yet.
const IN_FLIGHT: &str = "/problems/idempotency-key-in-flight";

pub(super) type OrderId = Arc<str>;

/// Pieces of one of the scene's products.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) product: usize,
    pub(super) pieces: i64,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Place(Vec<Line>),
    Step(OrderId, Step),
    Move(Line),
}

impl Act {
    pub(super) fn is_placing(&self) -> bool {
        matches!(self, Self::Place(_))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Step(_, step) => step.name(),
            Self::Move(_) => "move stock",
        }
    }
}

/// What an order can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Cancel,
    Pay,
    Ship,
    Deliver,
    /// Of an amount in minor units, or of the rest.
    Refund(Option<i64>),
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pay => "pay",
            Self::Ship => "ship",
            Self::Deliver => "deliver",
            Self::Refund(_) => "refund",
        }
    }

    fn body(self) -> Option<serde_json::Value> {
        match self {
            Self::Cancel => Some(json!({"reason": "tortured"})),
            Self::Pay | Self::Deliver => None,
            Self::Ship => Some(json!({"carrier": "Yamato"})),
            Self::Refund(None) => Some(json!({"reason": "tortured"})),
            Self::Refund(Some(amount)) => Some(json!({"amount": amount, "reason": "tortured"})),
        }
    }
}

/// Who asks for what, under which key.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// Index among the scene's people.
    pub(super) who: usize,
    pub(super) key: String,
    pub(super) act: Act,
}

/// What the shop decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether it came with `Idempotency-Replayed: true`.
    pub(super) replayed: bool,
}

impl Outcome {
    /// The order that the answer is about.
    pub(super) fn order(&self) -> Option<OrderId> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let id = body["id"].as_str().or(body["order_id"].as_str())?;
        Some(id.into())
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What was asked of which order, and under which key.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, key) = (self.act.name(), &self.key);
        match &self.act {
            Act::Step(order, _) => write!(f, "{order}: {what} under {key}"),
            Act::Place(_) | Act::Move(_) => write!(f, "{what} under {key}"),
        }
    }
}

impl Deed {
    /// Asks until it is decided; the outcome, and how many tries that took.
    ///
    /// # Errors
    /// An answer that no key may lead to, or none within [`TIMEOUT`].
    pub(super) async fn done(&self, scene: &Scene) -> anyhow::Result<(Outcome, u64)> {
        let deadline = Instant::now() + TIMEOUT;
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.request(scene);
            let sent = scene.client.send_as(&scene.people[self.who], request).await;
            let said = match sent {
                Ok(answer) if is_decided(&answer) => return Ok((outcome(&answer), tries)),
                Ok(answer) if is_out_of_contract(&answer) => {
                    bail!("{self} was answered {}", answer.describe())
                }
                Ok(answer) => answer.describe(),
                // Whether anything came of it is unknown: the key will tell.
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= deadline {
                bail!("{self} was never decided, {tries} tries; the last: {said}");
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    fn request(&self, scene: &Scene) -> RequestBuilder {
        let product = |line: &Line| &*scene.products[line.product].id;
        let post = |segments: &[&str]| scene.client.request(Method::POST, segments);
        let request = match &self.act {
            Act::Place(lines) => {
                let item = |line| json!({"product_id": product(line), "quantity": line.pieces});
                let items: Vec<_> = lines.iter().map(item).collect();
                post(&["v1", "orders"]).json(&json!({"items": items}))
            }
            Act::Step(order, step) => {
                let request = post(&["v1", "orders", order, step.name()]);
                match step.body() {
                    Some(body) => request.json(&body),
                    None => request,
                }
            }
            Act::Move(line) => post(&["v1", "products", product(line), "stock"])
                .json(&json!({"delta": line.pieces, "reason": "tortured"})),
        };
        request.header("idempotency-key", &self.key)
    }
}

fn is_decided(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::CONFLICT => answer.problem() != IN_FLIGHT,
        status => status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Not reached, not up, not ready, or throttled: ask again. Anything else, 500
/// too, says that the shop has lost or misread what it was told before.
fn is_out_of_contract(answer: &Answer) -> bool {
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

fn outcome(answer: &Answer) -> Outcome {
    Outcome {
        status: answer.status.as_u16(),
        body: answer.body().to_vec(),
        replayed: answer.replayed,
    }
}
