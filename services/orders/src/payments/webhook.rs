//! The signed webhook of any provider: signature verification, and the transaction of a
//! message.
//!
//! **Invariants:** a signature (Standard Webhooks 1.0) is accepted within five minutes of
//! its timestamp, under any of the secrets, and is compared in constant time. A message
//! takes effect once, however often and in whatever order it is delivered, and none that is
//! signed is refused: what pays no order is listed as unmatched and published for staff.

use axum::http::{HeaderMap, HeaderValue};
use chassis::limits::HEADER_ID_BYTES_MAX;
use mesh::{Cause, Draft};
use model::{Fact, Mismatch, Time, now};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError};
use store::Tx;

use super::unmatched::{self, SUCCEEDED, UnmatchedPayment};
use super::{parts, revival};
use crate::domain::{
    Actor, HISTORY_ROWS_MAX, Order, OrderCause, OrderCommand, OrderStatus, PaymentDetails,
    PaymentMessage, PaymentOutcome, PaymentResult, StatusChange,
};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::{Error, commands};

/// Entries of one order's history up to which messages that change no order are added to it,
/// so that they leave room for staff. The rest are only recorded in the payments' own table.
const MESSAGES_ROWS_MAX: u16 = HISTORY_ROWS_MAX / 2;

/// Why a message is not taken for the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebhookFault {
    #[error("webhook-id must have 1..{HEADER_ID_BYTES_MAX} bytes")]
    Id,
    #[error("webhook-timestamp must be a number of seconds")]
    Timestamp,
    /// By so many seconds the message is older than this host's clock, or newer if negative.
    #[error("webhook-timestamp is {} s {} this host's clock; at most 300 s are accepted, so one of the two clocks is wrong, or the message is old", .0.abs(), if *.0 > 0 { "behind" } else { "before" })]
    Clock(i64),
    #[error("webhook-signature was made with none of the shop's secrets, or for other bytes")]
    Signature,
}

impl WebhookFault {
    /// The name in responses and log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Timestamp | Self::Clock(_) => "clock",
            Self::Signature => "signature",
        }
    }
}

/// Verifies signatures under the secrets that are valid now.
pub(crate) struct WebhookVerifier(Vec<Webhook>);

impl WebhookVerifier {
    pub(crate) fn new(secrets: Vec<Vec<u8>>) -> Self {
        let webhooks = secrets.into_iter().map(Webhook::from_bytes);
        Self(webhooks.filter_map(Result::ok).collect())
    }

    /// Whether no payment provider is configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of a message, if one of the signatures in `headers` was made with one of the
    /// secrets.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, WebhookFault> {
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
        let id = headers.get(HEADER_WEBHOOK_ID).and_then(text);
        let id = id
            .filter(|id| (1..=HEADER_ID_BYTES_MAX).contains(&id.len()))
            .ok_or(WebhookFault::Id)?;
        // The crate subtracts the timestamp from the time before it looks at the
        // signature: digits alone cannot overflow that.
        let timestamp = headers.get(HEADER_WEBHOOK_TIMESTAMP).and_then(text);
        let seconds = timestamp
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or(WebhookFault::Timestamp)?;
        let mut fault = WebhookFault::Signature;
        for webhook in &self.0 {
            match webhook.verify(body, headers) {
                Ok(()) => return Ok(id),
                Err(WebhookError::TimestampTooOldError | WebhookError::FutureTimestampError) => {
                    fault = WebhookFault::Clock((now().0 / 1000).saturating_sub(seconds));
                }
                Err(_) => {}
            }
        }
        Err(fault)
    }
}

/// A signed message, as far as it could be read.
#[derive(Debug)]
pub(crate) struct SignedMessage {
    pub(crate) id: String,
    /// Its type; `None` in a body that has none.
    pub(crate) kind: Option<String>,
    /// The order, as it names it.
    pub(crate) named: Option<String>,
    /// `None` if it could not be read as one about money.
    pub(crate) message: Option<PaymentMessage>,
}

/// Records a message and applies it; the outcome of the first delivery for every later one.
pub(crate) fn receive(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    signed: SignedMessage,
    at: Time,
) -> Result<PaymentOutcome, Error> {
    if let Some(outcome) = tables::payment_outcome(tx, &signed.id)? {
        return Ok(outcome);
    }
    let outcome = match &signed.message {
        Some(message) => apply(tx, ledger, &signed, message, at)?,
        None => {
            unmatched::record_unreadable(tx, ledger, &signed.id, signed.kind.as_deref(), at)?;
            PaymentOutcome::Unmatched(Mismatch::Unreadable)
        }
    };
    tables::insert_payment(tx, &signed.id, signed.message, outcome, at)?;
    Ok(outcome)
}

fn apply(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    signed: &SignedMessage,
    message: &PaymentMessage,
    at: Time,
) -> Result<PaymentOutcome, Error> {
    let order = match message.order_id.map(|id| tables::find(tx, id)) {
        None | Some(Err(Error::NotFound)) => None,
        Some(found) => Some(found?),
    };
    let cause = OrderCause::new(at, Actor::Payments).because(&message.reference);
    match message.result {
        PaymentResult::Succeeded => succeeded(tx, ledger, order, signed, message, cause),
        PaymentResult::Failed => {
            note(tx, order, "payment failed", cause)?;
            Ok(PaymentOutcome::Failed)
        }
        PaymentResult::Refunded | PaymentResult::Disputed => {
            report(tx, ledger, order, signed, message, cause)?;
            Ok(PaymentOutcome::Reported)
        }
    }
}

fn succeeded(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    order: Option<StoredOrder>,
    signed: &SignedMessage,
    message: &PaymentMessage,
    cause: OrderCause,
) -> Result<PaymentOutcome, Error> {
    if let Some(StoredOrder { order, .. }) = &order
        && parts::is_known(tx, order.id, message)?
    {
        return Ok(PaymentOutcome::Repeated);
    }
    let outcome = message.outcome_for(order.as_ref().map(|stored| &stored.order));
    match (outcome, order) {
        (PaymentOutcome::Paid, Some(mut stored)) => {
            if message.amount != stored.order.total {
                parts::complete(tx, &mut stored.order)?;
            }
            stored.order.payment = Some(message.reference.clone());
            let pay = OrderCommand::Pay(PaymentDetails::by(message.method));
            commands::apply(tx, ledger, stored, pay, &cause)?;
        }
        (PaymentOutcome::Awaiting, Some(mut stored)) => {
            stored.order.payment = Some(message.reference.clone());
            stored.order.settlement.received = message.method;
            tables::save(tx, &stored)?;
        }
        (PaymentOutcome::Reviving, Some(stored)) => {
            revival::begin(tx, ledger, stored, message, &cause)?;
        }
        (PaymentOutcome::Unmatched(reason), stored) => {
            let order = stored.as_ref().map(|stored| &stored.order);
            signed
                .unmatched(message, order, reason)
                .record(tx, ledger, cause.at)?;
            if let Some(mut stored) = stored {
                let listed = (cause.at, signed.id.clone());
                if parts::add(tx, &mut stored.order, message, listed)? {
                    tables::save(tx, &stored)?;
                    note(
                        tx,
                        Some(stored),
                        &format!("{} received, a part of the total", message.amount),
                        cause,
                    )?;
                }
            }
        }
        _ => {}
    }
    Ok(outcome)
}

/// Publishes for staff what happened to a payment at the provider.
fn report(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut order: Option<StoredOrder>,
    signed: &SignedMessage,
    message: &PaymentMessage,
    cause: OrderCause,
) -> Result<(), Error> {
    let PaymentMessage { amount, reference, .. } = message.clone();
    if let Some(stored) = &mut order
        && parts::take_back(tx, &mut stored.order, &reference)?
    {
        tables::save(tx, stored)?;
    }
    let order_id = order.as_ref().map(|stored| stored.order.id);
    let key = order_id.map_or_else(|| reference.clone(), |id| id.to_string());
    let (what, fact) = if message.result == PaymentResult::Refunded {
        let fact = Fact::PaymentRefunded { order_id, amount, reference };
        (format!("{amount} went back at the provider"), fact)
    } else {
        let fact = Fact::PaymentDisputed { order_id, amount, reference };
        (format!("{amount} disputed at the provider"), fact)
    };
    if order.is_none() {
        let reason = Mismatch::UnknownOrder;
        signed.unmatched(message, None, reason).list(tx, cause.at)?;
    }
    let draft = Draft { key, fact, cause: Cause::own(cause.at) };
    ledger.log.append(tx, draft)?;
    note(tx, order, &what, cause)
}

impl SignedMessage {
    fn unmatched<'a>(
        &'a self,
        message: &'a PaymentMessage,
        order: Option<&'a Order>,
        reason: Mismatch,
    ) -> UnmatchedPayment<'a> {
        UnmatchedPayment {
            message_id: &self.id,
            kind: self.kind.as_deref().unwrap_or(SUCCEEDED),
            named: self.named.as_deref(),
            order,
            amount: message.amount,
            reference: &message.reference,
            reason,
        }
    }
}

/// Adds a message that changes no order to the order's history. A pending order has no history
/// rows: its stock outcome comes before them.
fn note(
    tx: &mut Tx<'_>,
    order: Option<StoredOrder>,
    what: &str,
    cause: OrderCause,
) -> Result<(), Error> {
    let Some(mut stored) = order else {
        return Ok(());
    };
    let status = stored.order.status;
    if status == OrderStatus::Pending || stored.history_rows >= MESSAGES_ROWS_MAX {
        return Ok(());
    }
    let reference = cause.reason.as_deref().unwrap_or_default();
    let reason = format!("{what}: {reference}");
    let change = StatusChange::within(status, &cause.because(reason));
    tables::append_history(tx, &mut stored, &change)?;
    Ok(tables::save(tx, &stored)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standardwebhooks::HEADER_WEBHOOK_SIGNATURE;

    const OLD: [u8; 24] = [7; 24];
    const NEW: [u8; 24] = [9; 24];
    const BODY: &[u8] = br#"{"type":"payment.succeeded"}"#;

    fn sign(secret: [u8; 24], id: &str, seconds: i64) -> String {
        let webhook = Webhook::from_bytes(secret.to_vec()).unwrap();
        webhook.sign(id, seconds, BODY).unwrap()
    }

    fn headers(timestamp: &str, signatures: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, "msg_1".parse().unwrap());
        headers.insert(HEADER_WEBHOOK_TIMESTAMP, timestamp.parse().unwrap());
        headers.insert(HEADER_WEBHOOK_SIGNATURE, signatures.parse().unwrap());
        headers
    }

    #[test]
    fn only_signatures_of_the_secrets_are_accepted() {
        let verifier = WebhookVerifier::new(vec![OLD.to_vec(), NEW.to_vec()]);
        let verify = |timestamp: &str, signatures: &str, body: &[u8]| {
            verifier.verify(&headers(timestamp, signatures), body)
        };
        let now = model::now().0 / 1000;
        let at = |seconds: i64| (now + seconds).to_string();
        let good = sign(NEW, "msg_1", now);
        let foreign = sign([8; 24], "msg_1", now);
        let several = format!("v2,x v1,!! {foreign} {good}");
        // A second may pass between the two clocks.
        for (timestamp, signatures) in [
            (at(0), &good),
            (at(0), &sign(OLD, "msg_1", now)),
            (at(0), &several),
            (at(-298), &sign(NEW, "msg_1", now - 298)),
            (at(298), &sign(NEW, "msg_1", now + 298)),
        ] {
            assert_eq!(verify(&timestamp, signatures, BODY), Ok("msg_1".into()));
        }

        let refused = [
            (at(0), foreign.as_str(), BODY, "signature"),
            (at(0), &sign(NEW, "msg_2", now), BODY, "signature"),
            (at(0), &good, br#"{"type":"payment.failed"}"#, "signature"),
            (at(1), &good, BODY, "signature"),
            (at(-302), &sign(NEW, "msg_1", now - 302), BODY, "clock"),
            (at(302), &sign(NEW, "msg_1", now + 302), BODY, "clock"),
            ("soon".into(), &good, BODY, "clock"),
            (
                i64::MAX.to_string(),
                &sign(NEW, "msg_1", i64::MAX),
                BODY,
                "clock",
            ),
            (
                i64::MIN.to_string(),
                &sign(NEW, "msg_1", i64::MIN),
                BODY,
                "clock",
            ),
            (at(0), &good.replace("v1,", "v1a,"), BODY, "signature"),
            (at(0), "v1,", BODY, "signature"),
            (at(0), "", BODY, "signature"),
        ];
        for (timestamp, signatures, body, fault) in refused {
            let refused = verify(&timestamp, signatures, body).unwrap_err();
            assert_eq!(refused.name(), fault, "{timestamp} {signatures}");
        }
        let mut without_id = headers(&at(0), &good);
        without_id.remove(HEADER_WEBHOOK_ID);
        assert_eq!(verifier.verify(&without_id, BODY), Err(WebhookFault::Id));
        let slow = verify(&at(-3600), &sign(NEW, "msg_1", now - 3600), BODY).unwrap_err();
        assert!(
            slow.to_string().contains("s behind this host's clock"),
            "{slow}"
        );
        let none = WebhookVerifier::new(vec![]);
        assert!(none.verify(&headers(&at(0), &good), BODY).is_err());
    }
}
