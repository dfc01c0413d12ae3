//! What the payment provider told, and what it meant for an order.
//!
//! | table | key → value |
//! | --- | --- |
//! | `payments` | the message's id → what it said and what came of it, for good |
//!
//! **Invariants:** a message takes effect once, however often and in whatever order
//! it is delivered. Money is taken for an order only if it is the order's amount and
//! currency and the order still wants it; all other money is kept on record and told
//! to staff, and changes no order.

use mesh::{Draft, Log};
use model::{Fact, Mismatch, Money, Time};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;
use crate::domain::{By, Cause, Change, Order, Status};
use crate::store::{self as orders, OrderId};

const PAYMENTS: Table<String, Payment> = Table::new("payments");

/// Failed tries to pay that are written in one order's history; the rest are only
/// on record here.
const FAILURES_IN_HISTORY_MAX: u16 = 100;

/// What a message said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) succeeded: bool,
    /// The order it names, if that is an order's id at all.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) amount: Money,
    /// The provider's own name for this payment.
    pub(crate) reference: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Payment {
    at: Time,
    message: Message,
    outcome: Outcome,
}

impl Record for Payment {}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The order is paid.
    Paid,
    /// The order is pending; it will be paid as soon as it is confirmed.
    Awaiting,
    /// This payment had paid for it already.
    Repeated,
    /// No money came.
    Failed,
    /// The money fits no order.
    Unmatched(Mismatch),
}

/// What a payment that succeeded means for the order it names.
fn outcome(order: Option<&Order>, message: &Message) -> Outcome {
    let Some(order) = order else {
        return Outcome::Unmatched(Mismatch::UnknownOrder);
    };
    if order.payment.as_ref() == Some(&message.reference) {
        return Outcome::Repeated;
    }
    let fits = message.amount == order.total;
    match order.status {
        Status::Rejected | Status::Cancelled | Status::Refunded => {
            Outcome::Unmatched(Mismatch::OrderOver)
        }
        Status::Paid | Status::Shipped | Status::Delivered => {
            Outcome::Unmatched(Mismatch::AlreadyPaid)
        }
        Status::Pending | Status::Confirmed if !fits => Outcome::Unmatched(Mismatch::WrongAmount),
        Status::Pending if order.payment.is_some() => Outcome::Unmatched(Mismatch::AlreadyPaid),
        Status::Pending => Outcome::Awaiting,
        Status::Confirmed => Outcome::Paid,
    }
}

/// Takes in a message and says what came of it; the same again for one that was
/// taken in before.
///
/// # Errors
/// When the store cannot be read or written.
pub(crate) fn receive(
    tx: &mut Tx<'_>,
    log: &Log,
    id: &str,
    message: Message,
    at: Time,
) -> Result<Outcome, Error> {
    let id = id.to_owned();
    if let Some(payment) = tx.get(PAYMENTS, &id)? {
        return Ok(payment.outcome);
    }
    let order = match message.order_id.map(|id| orders::find(tx, id)) {
        None | Some(Err(Error::NotFound)) => None,
        Some(found) => Some(found?),
    };
    let cause = Cause::new(at, By::Payments).because(&message.reference);
    let outcome = if message.succeeded {
        let outcome = outcome(order.as_ref(), &message);
        apply(tx, log, order, &message, outcome, cause)?;
        outcome
    } else {
        fail(tx, order, cause)?;
        Outcome::Failed
    };
    tx.put(PAYMENTS, &id, &Payment { at, message, outcome })?;
    Ok(outcome)
}

fn apply(
    tx: &mut Tx<'_>,
    log: &Log,
    order: Option<Order>,
    message: &Message,
    outcome: Outcome,
    cause: Cause,
) -> Result<(), Error> {
    match (outcome, order) {
        (Outcome::Paid, Some(mut order)) => {
            order.payment = Some(message.reference.clone());
            orders::change(tx, log, order, cause, Order::pay)?;
        }
        (Outcome::Awaiting, Some(mut order)) => {
            order.payment = Some(message.reference.clone());
            orders::note(tx, &mut order, None)?;
        }
        (Outcome::Unmatched(reason), order) => {
            let amount = message.amount;
            let order_id = order.as_ref().map(|order| order.id);
            let fact = Fact::PaymentUnmatched { order_id, amount, reason };
            let key = order_id.map_or_else(|| message.reference.clone(), |id| id.to_string());
            log.append(tx, Draft { key, fact, at: cause.at, by: None, trace: None })?;
        }
        (Outcome::Paid | Outcome::Awaiting | Outcome::Repeated | Outcome::Failed, _) => {}
    }
    Ok(())
}

/// Writes a failed try in the order's history. Between being placed and settled an
/// order has none to write in.
fn fail(tx: &mut Tx<'_>, order: Option<Order>, cause: Cause) -> Result<(), Error> {
    let Some(mut order) = order else {
        return Ok(());
    };
    if order.status == Status::Pending || order.changes >= FAILURES_IN_HISTORY_MAX {
        return Ok(());
    }
    let reason = format!(
        "payment failed: {}",
        cause.reason.as_deref().unwrap_or_default()
    );
    let change = Change::new(Some(order.status), order.status, cause.because(reason));
    Ok(orders::note(tx, &mut order, Some(&change))?)
}
