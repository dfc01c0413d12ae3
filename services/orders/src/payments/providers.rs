//! Payment providers: what the shop asks of them, and the queue of the calls that ask it.
//!
//! | module | holds |
//! | --- | --- |
//! | `client` | requests to a provider's API, and what their status says |
//! | `stripe`, `stripe_units` | Stripe Checkout; amounts in its units |
//! | `mollie` | Mollie Payments |
//! | `calls` | the queue's rows |
//! | `worker` | the delivery of a call |
//! | `applying` | the transactions that apply what a provider answered |
//! | `hints` | webhooks |
//!
//! **Invariants:** what a provider is asked for is a row before it is asked, with an id of which
//! the provider does the same once, so a repeat after a crash is the same call. A webhook and the
//! buyer's return apply nothing: they ask for a fetch, whose answer is applied as the messages of
//! the signed webhook are, once for each of the provider's ids.

pub(crate) mod applying;
pub(crate) mod calls;
mod client;
pub(crate) mod hints;
mod mollie;
mod stripe;
mod stripe_units;
#[cfg(test)]
mod tests;
pub(crate) mod worker;

use std::sync::Arc;

use axum::http::HeaderMap;
use futures::future::BoxFuture;
use model::{Money, OrderId, Time};

use self::mollie::Mollie;
use self::stripe::Stripe;
use super::refunds::RefundStatus;
use super::tables::{AttemptStatus, PaymentId, RefundId};
use crate::config::PaymentsConfig;
use crate::domain::PaymentMethod;

/// A payment provider.
pub(crate) trait PaymentProvider: Send + Sync {
    fn method(&self) -> PaymentMethod;

    /// Whether it can collect this amount.
    ///
    /// # Errors
    /// A sentence for the buyer that says why not.
    fn require_payable(&self, amount: Money) -> Result<(), String>;

    /// Opens a payment, under the attempt's id: to do so again opens no second one.
    fn begin<'a>(
        &'a self,
        payment: &'a PaymentToBegin,
    ) -> BoxFuture<'a, Result<BegunPayment, CallFault>>;

    /// A payment as the provider has it, by any of its ids; `None` for an id that it
    /// does not know.
    fn fetch<'a>(&'a self, id: &'a str)
    -> BoxFuture<'a, Result<Option<FetchedPayment>, CallFault>>;

    /// Sends money back, under the refund's id. A provider forgets such an id after some hours,
    /// so the refund is looked for among those of the payment first.
    fn refund<'a>(
        &'a self,
        refund: &'a RefundToMake,
    ) -> BoxFuture<'a, Result<FetchedRefund, CallFault>>;

    /// Ends an open payment, so that the buyer cannot pay it any more.
    ///
    /// # Errors
    /// Also when it is not open, as while the buyer's bank is paying it.
    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CallFault>>;

    /// Verifies a webhook's request, and reads which payment it is about; `None` if about none.
    ///
    /// # Errors
    /// When it is not the provider's.
    fn read_hint(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Time,
    ) -> Result<Option<String>, HintFault>;
}

/// What a provider needs to open a payment.
#[derive(Debug, Clone)]
pub(crate) struct PaymentToBegin {
    pub(crate) order_id: OrderId,
    pub(crate) payment_id: PaymentId,
    /// What the buyer calls the order by.
    pub(crate) order_name: String,
    pub(crate) amount: Money,
    pub(crate) return_url: String,
}

/// A payment that the provider has opened.
#[derive(Debug, Clone)]
pub(crate) struct BegunPayment {
    pub(crate) id: String,
    pub(crate) redirect_url: Option<String>,
}

/// A payment as the provider has it.
#[derive(Debug, Clone)]
pub(crate) struct FetchedPayment {
    /// The provider's id of what the buyer was sent to.
    pub(crate) id: String,
    /// The provider's id of the payment, which refunds name.
    pub(crate) reference: String,
    pub(crate) status: AttemptStatus,
    pub(crate) amount: Money,
    /// The order that it was opened for, as it names it.
    pub(crate) order_id: Option<String>,
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) refunds: Vec<FetchedRefund>,
    pub(crate) disputes: Vec<FetchedDispute>,
}

/// A refund as the provider has it.
#[derive(Debug, Clone)]
pub(crate) struct FetchedRefund {
    pub(crate) id: String,
    /// The shop's id of it, unless it was made at the provider.
    pub(crate) refund_id: Option<RefundId>,
    pub(crate) status: RefundStatus,
    pub(crate) amount: Money,
}

/// A dispute or chargeback.
#[derive(Debug, Clone)]
pub(crate) struct FetchedDispute {
    pub(crate) id: String,
    pub(crate) amount: Money,
}

/// What a provider needs to send money back.
#[derive(Debug, Clone)]
pub(crate) struct RefundToMake {
    pub(crate) order_id: OrderId,
    pub(crate) refund_id: RefundId,
    /// The provider's id of the payment.
    pub(crate) payment: String,
    pub(crate) amount: Money,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallFault {
    /// It may be answered later: the provider is not reached, busy or broken, or the shop's key
    /// is not accepted.
    #[error("{0}")]
    Later(String),
    /// It will not be done.
    #[error("{0}")]
    Refused(String),
}

/// Why a request is not taken for a provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HintFault {
    #[error("no secret for the webhook of this provider is set up")]
    NotConfigured,
    #[error("the signature has no time")]
    Timestamp,
    /// By so many seconds it is older than this host's clock, or newer if negative.
    #[error("it was signed {} s {} this host's clock; at most {TOLERANCE_SECONDS} s are accepted, so one of the two clocks is wrong, or the request is old", .0.abs(), if *.0 > 0 { "before" } else { "after" })]
    Clock(i64),
    #[error("it was signed with none of the shop's secrets, or has other bytes")]
    Signature,
}

impl HintFault {
    /// The name in responses and log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "configuration",
            Self::Timestamp | Self::Clock(_) => "clock",
            Self::Signature => "signature",
        }
    }
}

/// Seconds by which the time of a signature may differ from this host's clock, either way: what
/// Stripe's own libraries accept of the past.
const TOLERANCE_SECONDS: i64 = 300;

/// The providers that the settings have a key for.
#[derive(Clone, Default)]
pub(crate) struct Providers(Arc<Vec<Box<dyn PaymentProvider>>>);

impl Providers {
    /// `public_url` is the shop's address on the web, which providers call.
    pub(crate) fn new(
        config: &PaymentsConfig,
        public_url: Option<&str>,
    ) -> Result<Self, chassis::Error> {
        let mut providers: Vec<Box<dyn PaymentProvider>> = Vec::new();
        if let Some(keys) = config.stripe.keys()? {
            providers.push(Box::new(Stripe::new(keys, &config.stripe.api_url)?));
        }
        if let Some(key) = config.mollie.key()? {
            let webhook = public_url.map(|url| format!("{url}/v1/payments/mollie/webhook"));
            providers.push(Box::new(Mollie::new(
                &key,
                &config.mollie.api_url,
                webhook,
            )?));
        }
        Ok(Self(Arc::new(providers)))
    }

    pub(crate) fn find(&self, method: PaymentMethod) -> Option<&dyn PaymentProvider> {
        let found = self.0.iter().find(|provider| provider.method() == method);
        found.map(|provider| &**provider)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = PaymentMethod> {
        self.0.iter().map(|provider| provider.method())
    }
}
