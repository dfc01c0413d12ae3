//! What orders does when it hears of others.

use std::sync::Arc;
use std::time::Duration;

use ::store::Tx;
use mesh::{Event, Log, Refusal};
use model::{Fact, Id, kinds};

use crate::domain::Order;
use crate::store::{self, Settlement};
use crate::waiters::Waiters;
use crate::{Error, sweep};

/// What is needed to take in what products says.
pub(crate) struct Settling {
    pub(crate) log: Log,
    pub(crate) settling: Waiters<Arc<Order>>,
    pub(crate) releasing: Waiters<()>,
    pub(crate) unpaid_expire: Option<Duration>,
}

/// Handles an event of products.
pub(crate) fn products(
    settling: Settling,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        match &event.fact {
            Some(Fact::ProductCreated(listing) | Fact::ProductUpdated(listing)) => {
                store::list(tx, listing)?;
            }
            Some(Fact::ProductDeleted { product_id }) => store::unlist(tx, *product_id)?,
            Some(Fact::StockReserved { order_id }) => {
                settling.settle(tx, event, *order_id, Settlement::Reserved)?;
            }
            Some(Fact::StockRefused { order_id, shortages }) => {
                settling.settle(tx, event, *order_id, Settlement::Refused(shortages))?;
            }
            Some(Fact::StockReleased { order_id }) => settling.released(tx, *order_id),
            _ => {}
        }
        Ok(())
    }
}

/// Handles an event of users.
pub(crate) fn users(tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
    if let Some(Fact::UserErased { user_id }) = &event.fact {
        sweep::forget(tx, *user_id)?;
    }
    Ok(())
}

impl Settling {
    /// Settles an order and wakes whoever waits for that, as soon as it can be read:
    /// what was decided is durable with products.
    fn settle(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        id: Id<kinds::Order>,
        settlement: Settlement<'_>,
    ) -> Result<(), Refusal> {
        match store::settle(tx, &self.log, id, settlement, self.unpaid_expire, event.at) {
            Ok(Some(order)) => {
                if self.settling.waits(id) {
                    let settling = self.settling.clone();
                    tx.on_visible(move || settling.wake(id, Arc::new(order)));
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => Err(Refusal::Never(format!("{id}: {error}"))),
        }
    }

    fn released(&self, tx: &mut Tx<'_>, id: Id<kinds::Order>) {
        if self.releasing.waits(id) {
            let releasing = self.releasing.clone();
            tx.on_visible(move || releasing.wake(id, ()));
        }
    }
}
