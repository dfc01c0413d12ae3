//! Messages of the payment provider: matching them to orders, and their effect.
//!
//! **Invariants:** a message takes effect once, however often and in whatever order it
//! is delivered. A payment pays an order only if it has the order's amount and currency
//! and the order is unpaid; every other payment is recorded, published as
//! `payment.unmatched` for staff, and changes no order.

use mesh::{Draft, Log};
use model::{Fact, Mismatch, Money, Time};
use store::Tx;

use crate::domain::{Actor, Cause, Order, OrderCommand, OrderId, OrderStatus, StatusChange};
use crate::tables::{self, StoredOrder};
use crate::{Error, transitions};

/// Entries of one order's history up to which failed payments are added to it. The rest
/// are only recorded in the payments' own table.
const HISTORY_ROWS_MAX: u16 = 100;

/// A message of the payment provider.
#[derive(Debug, Clone)]
pub(crate) struct PaymentMessage {
    pub(crate) result: PaymentResult,
    /// The order it names; `None` for a text that is no order's id.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) amount: Money,
    /// The provider's id of the payment.
    pub(crate) reference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentResult {
    Succeeded,
    Failed,
}

/// The effect of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentOutcome {
    /// The order is paid.
    Paid,
    /// The order is pending; it is paid as soon as it is confirmed.
    Awaiting,
    /// The same payment has paid for the order before.
    Repeated,
    /// The payment failed.
    Failed,
    /// The payment pays no order.
    Unmatched(Mismatch),
}

/// Matches a payment that succeeded to the order it names.
fn match_payment(order: Option<&Order>, message: &PaymentMessage) -> PaymentOutcome {
    let Some(order) = order else {
        return PaymentOutcome::Unmatched(Mismatch::UnknownOrder);
    };
    if order.payment.as_ref() == Some(&message.reference) {
        return PaymentOutcome::Repeated;
    }
    let mismatch = match order.status {
        OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Refunded => {
            Mismatch::OrderOver
        }
        OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered => Mismatch::AlreadyPaid,
        _ if message.amount != order.total => Mismatch::WrongAmount,
        OrderStatus::Pending if order.payment.is_some() => Mismatch::AlreadyPaid,
        OrderStatus::Pending => return PaymentOutcome::Awaiting,
        OrderStatus::Confirmed => return PaymentOutcome::Paid,
    };
    PaymentOutcome::Unmatched(mismatch)
}

/// Records a message and applies it; the outcome of the first delivery for every later one.
pub(crate) fn receive(
    tx: &mut Tx<'_>,
    log: &Log,
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
    let cause = Cause::new(at, Actor::Payments).because(&message.reference);
    let outcome = match message.result {
        PaymentResult::Failed => {
            record_failure(tx, order, cause)?;
            PaymentOutcome::Failed
        }
        PaymentResult::Succeeded => {
            let outcome = match_payment(order.as_ref().map(|stored| &stored.order), &message);
            apply(tx, log, order, &message, outcome, &cause)?;
            outcome
        }
    };
    tables::insert_payment(tx, message_id, message, outcome, at)?;
    Ok(outcome)
}

fn apply(
    tx: &mut Tx<'_>,
    log: &Log,
    order: Option<StoredOrder>,
    message: &PaymentMessage,
    outcome: PaymentOutcome,
    cause: &Cause,
) -> Result<(), Error> {
    match (outcome, order) {
        (PaymentOutcome::Paid, Some(mut stored)) => {
            stored.order.payment = Some(message.reference.clone());
            transitions::apply(tx, log, stored, OrderCommand::Pay, cause)?;
        }
        (PaymentOutcome::Awaiting, Some(mut stored)) => {
            stored.order.payment = Some(message.reference.clone());
            tables::save(tx, &stored)?;
        }
        (PaymentOutcome::Unmatched(reason), order) => {
            let (amount, order_id) = (message.amount, order.map(|stored| stored.order.id));
            let fact = Fact::PaymentUnmatched { order_id, amount, reason };
            let key = order_id.map_or_else(|| message.reference.clone(), |id| id.to_string());
            log.append(tx, Draft { key, fact, at: cause.at, by: None, trace: None })?;
        }
        _ => {}
    }
    Ok(())
}

/// Adds a failed payment to the order's history. A pending order has no history rows:
/// its stock outcome comes before them.
fn record_failure(tx: &mut Tx<'_>, order: Option<StoredOrder>, cause: Cause) -> Result<(), Error> {
    let Some(mut stored) = order else {
        return Ok(());
    };
    let status = stored.order.status;
    if status == OrderStatus::Pending || stored.history_rows >= HISTORY_ROWS_MAX {
        return Ok(());
    }
    let reference = cause.reason.as_deref().unwrap_or_default();
    let reason = format!("payment failed: {reference}");
    let change = StatusChange::new(Some(status), status, &cause.because(reason));
    tables::append_history(tx, &mut stored, &change)?;
    Ok(tables::save(tx, &stored)?)
}
