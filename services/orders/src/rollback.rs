//! Orders and stock that disagree after orders or products was rolled back.
//!
//! Products may hold stock for an order that is lost or was ended again, and none for one
//! that is confirmed again; an order may wait for an outcome that it has lost. `konbini accept-rollback` finds such orders, since no service can
//! alone, and orders publishes what makes products agree with it.

use mesh::{Cause, Draft, Log};
use model::{Fact, ItemOrdered, OrderId, Time};
use store::Tx;

use crate::domain::{OrderStatus, Revival};
use crate::{Error, tables};

/// Publishes that an order is lost and its stock is released, or that its stock is to be
/// reserved again. Does nothing for an order whose stock is about to change anyway, or whose
/// units have left: staff adjust the stock then.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    log: &Log,
    id: OrderId,
    at: Time,
) -> Result<(), store::Error> {
    let order = match tables::find(tx, id) {
        Ok(stored) => Some(stored.order),
        Err(Error::NotFound) => None,
        Err(Error::Store(error)) => return Err(error),
        Err(error) => {
            return Err(store::Error::Corrupt { table: "orders", why: error.to_string() });
        }
    };
    let fact = match order {
        None => Fact::OrderLost { order_id: id },
        Some(order) => match order.status {
            status
                if status.holds_stock()
                    || status == OrderStatus::Pending
                    || order.settlement.revival == Revival::Awaited =>
            {
                let items = order.lines.iter().map(|line| ItemOrdered {
                    product_id: line.product_id,
                    quantity: line.quantity,
                });
                Fact::OrderRestored { order_id: id, items: items.collect() }
            }
            OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Refunded => {
                Fact::OrderLost { order_id: id }
            }
            _ => return Ok(()),
        },
    };
    tracing::warn!(order = %id, fact = fact.kind(), "orders and stock disagreed after a rollback");
    let draft = Draft { key: id.to_string(), fact, cause: Cause::own(at) };
    log.append(tx, draft)?;
    Ok(())
}
