//! Money that pays no order: listed for staff, who are told, and so is the order's owner.

use mesh::{Cause, Draft};
use model::{Fact, Mismatch, Money, Time};
use store::Tx;

use super::tables::{self, UnmatchedRow};
use crate::domain::{Order, PaymentMessage};
use crate::sales::Ledger;
use crate::tables::{PaymentRow, unmatched};

/// The type of a message about a payment that succeeded.
pub(crate) const SUCCEEDED: &str = "payment.succeeded";

/// Bytes of the type of a message and of the order that it names, as they are kept.
const NAMED_BYTES_MAX: usize = 100;

/// Payments that came and pay no order.
pub(crate) struct UnmatchedPayment<'a> {
    /// Of the provider's message, or of the payment if the message is not at hand.
    pub(crate) message_id: &'a str,
    pub(crate) kind: &'a str,
    /// The order, as the message names it.
    pub(crate) named: Option<&'a str>,
    /// The order, if it exists.
    pub(crate) order: Option<&'a Order>,
    pub(crate) amount: Money,
    pub(crate) reference: &'a str,
    pub(crate) reason: Mismatch,
}

impl UnmatchedPayment<'_> {
    /// Lists the payment, and publishes it for those who are told.
    pub(crate) fn record(
        &self,
        tx: &mut Tx<'_>,
        ledger: &Ledger,
        at: Time,
    ) -> Result<(), store::Error> {
        self.list(tx, at)?;
        let order_id = self.order.map(|order| order.id);
        let fact = Fact::PaymentUnmatched {
            order_id,
            user_id: self.order.and_then(|order| order.buyer.user_id()),
            amount: self.amount,
            reason: self.reason,
            reference: Some(self.reference.to_owned()),
        };
        let key = order_id.map_or_else(|| self.reference.to_owned(), |id| id.to_string());
        let draft = Draft { key, fact, cause: Cause::own(at) };
        ledger.log.append(tx, draft)?;
        Ok(())
    }

    /// Lists the payment.
    pub(crate) fn list(&self, tx: &mut Tx<'_>, at: Time) -> Result<(), store::Error> {
        let named = match (self.named, self.order) {
            (Some(named), _) => Some(shortened(named)),
            (None, order) => order.map(|order| order.id.to_string()),
        };
        let row = UnmatchedRow {
            kind: Some(shortened(self.kind)),
            order_id: named,
            amount: Some(self.amount),
            reference: Some(self.reference.to_owned()),
            reason: self.reason,
        };
        tables::put_unmatched(tx, &(at, self.message_id.to_owned()), &row)
    }
}

/// Lists a message that could not be read as one about money, and publishes it for staff.
pub(crate) fn record_unreadable(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    message_id: &str,
    kind: Option<&str>,
    at: Time,
) -> Result<(), store::Error> {
    let kind = kind.map(shortened);
    let row = UnmatchedRow {
        kind: kind.clone(),
        order_id: None,
        amount: None,
        reference: None,
        reason: Mismatch::Unreadable,
    };
    tables::put_unmatched(tx, &(at, message_id.to_owned()), &row)?;
    let fact = Fact::PaymentUnreadable { message_id: message_id.to_owned(), message_type: kind };
    let draft = Draft { key: message_id.to_owned(), fact, cause: Cause::own(at) };
    ledger.log.append(tx, draft)?;
    Ok(())
}

/// Lists a payment that an earlier version received.
pub(crate) fn list_known(
    tx: &mut Tx<'_>,
    message_id: String,
    row: PaymentRow,
) -> Result<(), store::Error> {
    let Some((at, Some(message), reason)) = unmatched(row) else {
        return Ok(());
    };
    let PaymentMessage { order_id, amount, reference, .. } = message;
    let row = UnmatchedRow {
        kind: None,
        order_id: order_id.map(|id| id.to_string()),
        amount: Some(amount),
        reference: Some(reference),
        reason,
    };
    tables::put_unmatched(tx, &(at, message_id), &row)
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(NAMED_BYTES_MAX)].to_owned()
}
