//! Orders that expired and were paid after that: their stock is asked for again, and if
//! products reserves it they are confirmed and paid.
//!
//! The order stays cancelled until products has answered the event `order.restored`, as after
//! a rollback. **Invariant:** one payment revives an order; when its stock is gone, that payment is
//! listed as unmatched, and staff and the buyer are notified.

use model::{Fact, ItemOrdered, Mismatch};
use store::Tx;

use super::unmatched::{SUCCEEDED, UnmatchedPayment};
use crate::domain::{OrderCause, OrderCommand, PaymentMessage, Revival};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::{Error, commands};

/// The reason in the history of a revived order.
const PAID_LATE: &str = "paid after it had expired";

/// Asks products to reserve the stock of an expired order again, which a payment came for.
pub(super) fn begin(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    message: &PaymentMessage,
    cause: &OrderCause,
) -> Result<(), Error> {
    stored.order.payment = Some(message.reference.clone());
    stored.order.settlement.received = message.method;
    stored.order.settlement.revival = Revival::Awaited;
    tables::save(tx, &stored)?;
    let lines = stored.order.lines.iter();
    let items =
        lines.map(|line| ItemOrdered { product_id: line.product_id, quantity: line.quantity });
    let fact = Fact::OrderRestored { order_id: stored.order.id, items: items.collect() };
    Ok(tables::append_event(
        tx,
        &ledger.log,
        &stored.order,
        fact,
        cause,
    )?)
}

/// Records what products decided about the stock of an order: for its placing, or for its
/// revival.
pub(crate) fn stock_outcome(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    outcome: OrderCommand,
    cause: OrderCause,
) -> Result<StoredOrder, Error> {
    if stored.order.settlement.revival != Revival::Awaited {
        return commands::apply(tx, ledger, stored, outcome, &cause);
    }
    if matches!(outcome, OrderCommand::Confirm { .. }) {
        let cause = cause.because(PAID_LATE);
        return commands::apply(tx, ledger, stored, OrderCommand::Revive, &cause);
    }
    let settlement = &mut stored.order.settlement;
    (settlement.revival, settlement.received) = (Revival::No, None);
    commands::erase_if_overdue(tx, &mut stored.order)?;
    tables::save(tx, &stored)?;
    let reference = stored.order.payment.as_deref().unwrap_or_default();
    let unmatched = UnmatchedPayment {
        message_id: reference,
        kind: SUCCEEDED,
        named: None,
        order: Some(&stored.order),
        amount: stored.order.total,
        reference,
        reason: Mismatch::OrderOver,
    };
    unmatched.record(tx, ledger, cause.at)?;
    Ok(stored)
}
