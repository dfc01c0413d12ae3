//! What orders does when it hears of others.

use std::sync::Arc;

use ::store::Tx;
use mesh::{Event, Fact, Id, Log, Refusal, Shortage, kinds};

use crate::Error;
use crate::domain::Step;
use crate::store;
use crate::waiters::Waiters;

/// Handles an event of products.
pub(crate) fn products(
    log: Log,
    waiters: Arc<Waiters>,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        match &event.fact {
            Some(Fact::ProductCreated(listing) | Fact::ProductUpdated(listing)) => {
                store::list(tx, listing)?;
            }
            Some(Fact::ProductDeleted { product_id }) => store::unlist(tx, *product_id)?,
            Some(Fact::StockReserved { order_id }) => {
                settle(
                    tx,
                    &log,
                    &waiters,
                    event,
                    *order_id,
                    Step::StockReserved,
                    &[],
                )?;
            }
            Some(Fact::StockRefused { order_id, shortages }) => {
                settle(
                    tx,
                    &log,
                    &waiters,
                    event,
                    *order_id,
                    Step::StockRefused,
                    shortages,
                )?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn settle(
    tx: &mut Tx<'_>,
    log: &Log,
    waiters: &Arc<Waiters>,
    event: &Event,
    order: Id<kinds::Order>,
    step: Step,
    shortages: &[Shortage],
) -> Result<(), Refusal> {
    match store::settle(tx, log, order, step, shortages, event.at) {
        Ok(Some(_)) => {
            let waiters = waiters.clone();
            tx.on_durable(move || waiters.wake(order));
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(Error::Store(error)) => Err(error.into()),
        Err(error) => Err(Refusal::Never(format!("{order}: {error}"))),
    }
}
