//! Followers of orders: reservations are made, released and shipped.
//!
//! **Invariant:** reservations are made and ended in the order of the events: an order
//! that was cancelled while it was pending has its units reserved first and then released.

use ::store::Tx;
use mesh::{Cause, Event, Refusal};
use model::Fact;

use crate::effects::Effects;
use crate::stock;

/// The most lines of an order. orders allows fewer; more would not fit a stored
/// reservation, and a retry would not change that.
const LINES_MAX: usize = 500;

/// Applies an event of orders.
pub(crate) fn orders(
    effects: Effects,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        let cause = || cause(event);
        match &event.fact {
            Some(
                Fact::OrderPlaced { order_id, items, .. } | Fact::OrderRestored { order_id, items },
            ) => {
                if items.len() > LINES_MAX {
                    let lines = items.len();
                    let why = format!("{order_id} has {lines} lines; at most {LINES_MAX} are held");
                    return Err(Refusal::Never(why));
                }
                stock::reserve(tx, &effects, &cause(), *order_id, items)?;
            }
            Some(Fact::OrderCancelled { order_id, .. }) => {
                stock::release(tx, &effects, &cause(), *order_id)?;
                stock::append_released(tx, &effects, &cause(), *order_id)?;
            }
            Some(Fact::OrderLost { order_id }) => {
                let held = stock::release(tx, &effects, &cause(), *order_id)?;
                if held {
                    stock::append_released(tx, &effects, &cause(), *order_id)?;
                }
            }
            // After shipping there is no reservation; staff book returned units.
            Some(Fact::OrderRefunded { order_id, in_full: true, .. }) => {
                let held = stock::release(tx, &effects, &cause(), *order_id)?;
                if held {
                    stock::append_released(tx, &effects, &cause(), *order_id)?;
                }
            }
            Some(Fact::OrderShipped { order_id, .. }) => {
                stock::ship(tx, &effects, &cause(), *order_id)?;
            }
            Some(Fact::OrderStepUndone { order_id, items, .. }) if !items.is_empty() => {
                stock::undo_shipment(tx, &effects, &cause(), *order_id, items)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Refuses an order whose event the operator skipped: its buyer waits for the outcome.
pub(crate) fn skipped(
    effects: Effects,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        if let Some(Fact::OrderPlaced { order_id, .. }) = &event.fact {
            stock::refuse(tx, &effects, &cause(event), *order_id)?;
        }
        Ok(())
    }
}

fn cause(event: &Event) -> Cause {
    Cause {
        at: event.at,
        by: event.by.clone(),
        via: event.via.clone(),
        trace: event.trace.clone(),
    }
}
