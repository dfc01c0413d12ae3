//! What products does when it hears of orders.
//!
//! **Invariant:** a reservation is made and ended in the order in which orders
//! said so, whatever orders thought of the answer meanwhile: an order that was
//! cancelled while it was pending has its pieces held first and then freed.

use ::store::Tx;
use mesh::{Event, Refusal};
use model::Fact;

use crate::stock;
use crate::store::{Cause, Effects};

/// The most lines an order may have here. orders allows fewer; more would not
/// fit a stored reservation, and trying again would not make them fit.
const LINES_MAX: usize = 500;

/// Handles an event of orders.
pub(crate) fn orders(
    effects: Effects,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        let cause = || cause(event);
        match &event.fact {
            Some(Fact::OrderPlaced { order_id, items, .. }) => {
                if items.len() > LINES_MAX {
                    let lines = items.len();
                    let why = format!("{order_id} has {lines} lines; at most {LINES_MAX} are held");
                    return Err(Refusal::Never(why));
                }
                stock::reserve(tx, &effects, &cause(), *order_id, items)?;
            }
            Some(Fact::OrderCancelled { order_id, .. }) => {
                stock::release(tx, &effects, &cause(), *order_id)?;
                stock::tell_released(tx, &effects, &cause(), *order_id)?;
            }
            // Once it was shipped nothing is held any more; what comes back is
            // counted in by staff.
            Some(Fact::OrderRefunded { order_id, in_full: true, .. }) => {
                let held = stock::release(tx, &effects, &cause(), *order_id)?;
                if held {
                    stock::tell_released(tx, &effects, &cause(), *order_id)?;
                }
            }
            Some(Fact::OrderShipped { order_id, .. }) => {
                stock::ship(tx, &effects, &cause(), *order_id)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// In place of an order that the operator gave up: its buyer waits for word.
pub(crate) fn given_up(
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
        trace: event.trace.clone(),
    }
}
