//! What products does when it hears of orders.

use ::store::Tx;
use mesh::{Event, Fact, Log, Refusal};

use crate::store::{self, Cause};

/// The most lines an order may have here. orders allows fewer; more would not
/// fit a stored reservation, and trying again would not make them fit.
const LINES_MAX: usize = 500;

/// Handles an event of orders.
pub(crate) fn orders(
    log: Log,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        let Some(Fact::OrderPlaced { order_id, items, .. }) = &event.fact else {
            return Ok(());
        };
        if items.len() > LINES_MAX {
            let lines = items.len();
            let why = format!("{order_id} has {lines} lines; at most {LINES_MAX} are held");
            return Err(Refusal::Never(why));
        }
        let cause = Cause {
            at: event.at,
            by: event.by.clone(),
            trace: event.trace.clone(),
        };
        Ok(store::reserve(tx, &log, &cause, *order_id, items)?)
    }
}
