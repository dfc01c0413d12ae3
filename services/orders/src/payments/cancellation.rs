//! A buyer's cancellation of a paid order: a request to staff, unless the settings let it
//! cancel the order at once.
//!
//! **Invariant:** a request changes no status and promises no money; staff are told once.

use model::Fact;
use store::Tx;

use crate::Error;
use crate::domain::{Order, OrderCause, OrderStatus, StatusChange, require_room};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};

/// What a buyer's cancellation of a paid order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaidCancellation {
    /// It asks staff to cancel the order.
    IsRequested,
    /// It cancels the order, and staff or a provider are asked to send the money back.
    IsDone,
}

impl PaidCancellation {
    /// Whether a buyer's cancellation of this order is a request.
    pub(crate) fn is_request(self, order: &Order) -> bool {
        let holds_money = order.status == OrderStatus::Paid && order.total.amount > 0;
        self == Self::IsRequested && holds_money
    }
}

/// Records a buyer's request to cancel a paid order, if it is the first.
pub(crate) fn request(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    cause: &OrderCause,
) -> Result<StoredOrder, Error> {
    let order = &mut stored.order;
    if order.settlement.cancel_requested_at.is_some() {
        return Ok(stored);
    }
    require_room(stored.history_rows)?;
    order.settlement.cancel_requested_at = Some(cause.at);
    order.updated_at = cause.at;
    let change = StatusChange::within(order.status, cause);
    let fact = Fact::OrderCancelRequested { order_id: order.id, user_id: order.user_id };
    tables::append_history(tx, &mut stored, &change)?;
    tables::save(tx, &stored)?;
    tables::append_event(tx, &ledger.log, &stored.order, fact, cause)?;
    Ok(stored)
}
