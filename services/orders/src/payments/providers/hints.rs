//! Webhooks of payment providers: each is a hint that a payment changed, and has it fetched.
//!
//! **Invariant:** a hint is acknowledged once the fetch that it asks for is durable.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use chassis::Problem;
use model::{OrderId, now};
use store::Tx;

use super::HintFault;
use super::calls::{self, Lane, ProviderRequest};
use crate::domain::PaymentMethod;
use crate::payments::tables::{self, Attempt, AttemptStatus};
use crate::{Error, OrdersState};

/// `Retry-After` while as many hints about unknown payments wait as may.
const FULL_RETRY_SECONDS: &str = "60";

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HintOutcome {
    /// The payment will be fetched.
    Accepted,
    /// It is about no payment.
    Ignored,
}

/// Why a provider's request is refused.
#[derive(Debug)]
pub(crate) enum HintRefusal {
    /// The method is not set up, or has no secret.
    NotConfigured,
    NotProven(HintFault),
    Other(Problem),
}

impl OrdersState {
    /// Receives a provider's webhook.
    pub(crate) async fn hint(
        &self,
        method: PaymentMethod,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<HintOutcome, HintRefusal> {
        let provider = self.providers.find(method);
        let provider = provider.ok_or(HintRefusal::NotConfigured)?;
        let id = match provider.read_hint(headers, body, now()) {
            Ok(Some(id)) => id,
            Ok(None) => return Ok(HintOutcome::Ignored),
            Err(HintFault::NotConfigured) => return Err(HintRefusal::NotConfigured),
            Err(fault) => return Err(HintRefusal::NotProven(fault)),
        };
        self.request_fetch(method, id)
            .await
            .map_err(HintRefusal::Other)?;
        Ok(HintOutcome::Accepted)
    }

    /// Requests a payment from its provider, as soon as it may be fetched again.
    async fn request_fetch(&self, method: PaymentMethod, id: String) -> Result<(), Problem> {
        let of_store = |error: store::Error| Problem::from(Error::from(error));
        let known = tables::find_at_provider(&self.store, method, &id).map_err(of_store)?;
        let (lane, order_id, fetched_at) = match known {
            Some((order_id, payment_id)) => {
                let attempt = tables::attempt(&self.store, order_id, payment_id);
                let attempt = attempt.map_err(of_store)?;
                let at_provider = attempt.and_then(|attempt| attempt.at_provider);
                let fetched_at = at_provider.and_then(|attempt| attempt.fetched_at);
                (Lane::of(method), Some(order_id), fetched_at)
            }
            None if calls::has_room(&self.store, method).map_err(of_store)? => {
                (Lane::unknown(method), None, None)
            }
            None => return Err(full()),
        };
        let queue = self.ledger.calls.clone();
        let request = ProviderRequest::Fetch { id, order_id };
        let hint = move |tx: &mut Tx<'_>| queue.hint(tx, lane, request, fetched_at, now());
        self.store.write(hint).await.map_err(of_store)
    }

    /// Requests the pending attempts of an order that may be fetched now, and returns whether there
    /// are any.
    pub(crate) async fn fetch_pending(
        &self,
        order_id: OrderId,
        attempts: &[Attempt],
    ) -> Result<bool, Problem> {
        let (mut asked, now) = (false, now());
        for attempt in attempts {
            let Some(at_provider) = &attempt.at_provider else {
                continue;
            };
            let is_recent = calls::after_pause(at_provider.fetched_at, now) > now;
            let is_pending = at_provider.status == AttemptStatus::Pending;
            if let Some(id) = &at_provider.provider_id
                && is_pending
                && !is_recent
                && self.providers.find(attempt.method).is_some()
            {
                tracing::debug!(order = %order_id, "a pending payment is fetched");
                self.request_fetch(attempt.method, id.clone()).await?;
                asked = true;
            }
        }
        Ok(asked)
    }
}

fn full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-hints",
        "Too many payments wait to be fetched",
        "nothing was written; send it again later",
    )
    .header(RETRY_AFTER, FULL_RETRY_SECONDS)
}
