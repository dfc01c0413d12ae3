//! The transaction that applies a command to an order.
//!
//! **Invariant:** the order, its indexes, its history and its event change together.

use mesh::Log;
use model::{Fact, Mismatch};
use store::Tx;

use crate::Error;
use crate::domain::{Actor, AppliedTransition, Cause, OrderCommand, OrderStatus};
use crate::tables::{self, StoredOrder};

/// Applies a command and writes everything that follows from it.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    log: &Log,
    mut stored: StoredOrder,
    command: OrderCommand,
    cause: &Cause,
) -> Result<StoredOrder, Error> {
    let before = stored.order.status;
    // The history entry of a stock outcome is derived from the order.
    let is_stock_outcome = matches!(
        command,
        OrderCommand::Confirm { .. } | OrderCommand::Reject { .. }
    );
    let AppliedTransition { change, fact } = stored.order.apply(command, cause)?;
    if !is_stock_outcome {
        tables::append_history(tx, &mut stored, &change)?;
    }
    tables::update(tx, &stored, before)?;
    tables::append_event(tx, log, &stored.order, fact, cause)?;
    if before == OrderStatus::Pending {
        return apply_early_payment(tx, log, stored, cause);
    }
    Ok(stored)
}

/// Applies a payment that was received while the order was pending: it pays a confirmed
/// order, and matches no other.
fn apply_early_payment(
    tx: &mut Tx<'_>,
    log: &Log,
    stored: StoredOrder,
    cause: &Cause,
) -> Result<StoredOrder, Error> {
    let Some(reference) = &stored.order.payment else {
        return Ok(stored);
    };
    let cause = Cause::new(cause.at, Actor::Payments).because(reference);
    if stored.order.status == OrderStatus::Confirmed {
        return apply(tx, log, stored, OrderCommand::Pay, &cause);
    }
    let fact = Fact::PaymentUnmatched {
        order_id: Some(stored.order.id),
        amount: stored.order.total,
        reason: Mismatch::OrderOver,
    };
    tables::append_event(tx, log, &stored.order, fact, &cause)?;
    Ok(stored)
}
