//! The payment webhook: signature verification, and the transaction of a message.
//!
//! **Invariants:** a signature (Standard Webhooks 1.0) is accepted within five minutes of
//! its timestamp, under any of the secrets, and is compared in constant time. A message
//! takes effect once, however often and in whatever order it is delivered. A payment that
//! pays no order is recorded and published as `payment.unmatched` for staff.

use axum::http::HeaderMap;
use mesh::{Cause, Draft};
use model::{Fact, Time};
use standardwebhooks::{HEADER_WEBHOOK_TIMESTAMP, Webhook};
use store::Tx;

use crate::domain::{
    Actor, HISTORY_ROWS_MAX, OrderCause, OrderCommand, OrderStatus, PaymentDetails, PaymentMessage,
    PaymentOutcome, PaymentResult, StatusChange,
};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::{Error, commands};

/// Entries of one order's history up to which failed payments are added to it, so that they
/// leave room for staff. The rest are only recorded in the payments' own table.
const FAILURES_ROWS_MAX: u16 = HISTORY_ROWS_MAX / 2;

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

    /// Whether one of the signatures in `headers` was made with one of the secrets.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        // The crate subtracts the timestamp from the time before it looks at the
        // signature: digits alone cannot overflow that.
        let timestamp = headers.get(HEADER_WEBHOOK_TIMESTAMP);
        let is_number =
            timestamp.is_some_and(|text| text.as_bytes().iter().all(u8::is_ascii_digit));
        is_number
            && self
                .0
                .iter()
                .any(|webhook| webhook.verify(body, headers).is_ok())
    }
}

/// Records a message and applies it; the outcome of the first delivery for every later one.
pub(crate) fn receive(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    message_id: &String,
    message: PaymentMessage,
    at: Time,
) -> Result<PaymentOutcome, Error> {
    if let Some(outcome) = tables::payment_outcome(tx, message_id)? {
        return Ok(outcome);
    }
    let order = match message.order_id.map(|id| tables::find(tx, id)) {
        None | Some(Err(Error::NotFound)) => None,
        Some(found) => Some(found?),
    };
    let cause = OrderCause::new(at, Actor::Payments).because(&message.reference);
    let outcome = match message.result {
        PaymentResult::Failed => {
            record_failure(tx, order, cause)?;
            PaymentOutcome::Failed
        }
        PaymentResult::Succeeded => {
            let outcome = message.outcome_for(order.as_ref().map(|stored| &stored.order));
            apply(tx, ledger, order, &message, outcome, &cause)?;
            outcome
        }
    };
    tables::insert_payment(tx, message_id, message, outcome, at)?;
    Ok(outcome)
}

fn apply(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    order: Option<StoredOrder>,
    message: &PaymentMessage,
    outcome: PaymentOutcome,
    cause: &OrderCause,
) -> Result<(), Error> {
    match (outcome, order) {
        (PaymentOutcome::Paid, Some(mut stored)) => {
            stored.order.payment = Some(message.reference.clone());
            let pay = OrderCommand::Pay(PaymentDetails::default());
            commands::apply(tx, ledger, stored, pay, cause)?;
        }
        (PaymentOutcome::Awaiting, Some(mut stored)) => {
            stored.order.payment = Some(message.reference.clone());
            tables::save(tx, &stored)?;
        }
        (PaymentOutcome::Unmatched(reason), order) => {
            let order = order.as_ref().map(|stored| &stored.order);
            let order_id = order.map(|order| order.id);
            let fact = Fact::PaymentUnmatched {
                order_id,
                user_id: order.map(|order| order.user_id),
                amount: message.amount,
                reason,
                reference: Some(message.reference.clone()),
            };
            let key = order_id.map_or_else(|| message.reference.clone(), |id| id.to_string());
            let log = &ledger.log;
            log.append(tx, Draft { key, fact, cause: Cause::own(cause.at) })?;
        }
        _ => {}
    }
    Ok(())
}

/// Adds a failed payment to the order's history. A pending order has no history rows:
/// its stock outcome comes before them.
fn record_failure(
    tx: &mut Tx<'_>,
    order: Option<StoredOrder>,
    cause: OrderCause,
) -> Result<(), Error> {
    let Some(mut stored) = order else {
        return Ok(());
    };
    let status = stored.order.status;
    if status == OrderStatus::Pending || stored.history_rows >= FAILURES_ROWS_MAX {
        return Ok(());
    }
    let reference = cause.reason.as_deref().unwrap_or_default();
    let reason = format!("payment failed: {reference}");
    let change = StatusChange::within(status, &cause.because(reason));
    tables::append_history(tx, &mut stored, &change)?;
    Ok(tables::save(tx, &stored)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE};

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
        assert!(verify(&at(0), &good, BODY));
        assert!(verify(&at(0), &sign(OLD, "msg_1", now), BODY));
        let foreign = sign([8; 24], "msg_1", now);
        let several = format!("v2,x v1,!! {foreign} {good}");
        assert!(verify(&at(0), &several, BODY));
        // A second may pass between the two clocks.
        assert!(verify(&at(-298), &sign(NEW, "msg_1", now - 298), BODY));
        assert!(verify(&at(298), &sign(NEW, "msg_1", now + 298), BODY));

        let refused = [
            (at(0), foreign.as_str(), BODY),
            (at(0), &sign(NEW, "msg_2", now), BODY),
            (at(0), &good, br#"{"type":"payment.failed"}"#),
            (at(1), &good, BODY),
            (at(-302), &sign(NEW, "msg_1", now - 302), BODY),
            (at(302), &sign(NEW, "msg_1", now + 302), BODY),
            ("soon".into(), &good, BODY),
            (i64::MAX.to_string(), &sign(NEW, "msg_1", i64::MAX), BODY),
            (i64::MIN.to_string(), &sign(NEW, "msg_1", i64::MIN), BODY),
            (at(0), &good.replace("v1,", "v1a,"), BODY),
            (at(0), "v1,", BODY),
            (at(0), "", BODY),
        ];
        for (timestamp, signatures, body) in refused {
            let accepted = verify(&timestamp, signatures, body);
            assert!(!accepted, "{timestamp} {signatures}");
        }
        let none = WebhookVerifier::new(vec![]);
        assert!(!none.verify(&headers(&at(0), &good), BODY));
    }
}
