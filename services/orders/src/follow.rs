//! The handlers of other services' events.

use std::sync::Arc;
use std::time::Duration;

use mesh::{Event, Refusal};
use model::{Fact, OrderId};
use store::Tx;

use crate::customers::erasure;
use crate::domain::{Actor, OrderCause, OrderCommand, OrderStatus};
use crate::payments::revival;
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::waiters::Waiters;
use crate::{Error, rollback};

/// Follows products: its listings, and the stock of each order.
pub(crate) struct ProductsFollower {
    pub(crate) ledger: Ledger,
    pub(crate) stock_outcomes: Waiters<Arc<StoredOrder>>,
    pub(crate) stock_releases: Waiters<()>,
    pub(crate) unpaid_expire: Option<Duration>,
}

impl ProductsFollower {
    /// Handles an event of products.
    pub(crate) fn on_event(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        match &event.fact {
            Some(Fact::ProductCreated(listing) | Fact::ProductUpdated(listing)) => {
                tables::put_listing(tx, listing)?;
            }
            Some(Fact::ProductDeleted { product_id }) => tables::delete_listing(tx, *product_id)?,
            Some(Fact::StockReserved { order_id }) => {
                let reserved_until = self.unpaid_expire.map(|span| event.at.after(span));
                let command = OrderCommand::Confirm { reserved_until };
                self.record_stock_outcome(tx, event, *order_id, command)?;
            }
            Some(Fact::StockRefused { order_id, shortages }) => {
                let command = OrderCommand::Reject { shortages: shortages.clone() };
                self.record_stock_outcome(tx, event, *order_id, command)?;
            }
            Some(Fact::StockReleased { order_id }) if self.stock_releases.contains(*order_id) => {
                let (releases, id) = (self.stock_releases.clone(), *order_id);
                tx.on_visible(move || releases.wake(id, ()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Records the stock outcome of an order and wakes its waiting request as soon as
    /// readers see it; it is durable in products' log. An order that is not pending any
    /// more stays as it is.
    fn record_stock_outcome(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        id: OrderId,
        command: OrderCommand,
    ) -> Result<(), Refusal> {
        let cause = OrderCause::new(event.at, Actor::Products);
        let ledger = &self.ledger;
        let recorded = tables::find(tx, id)
            .and_then(|stored| revival::stock_outcome(tx, ledger, stored, command, cause));
        match recorded {
            Ok(stored) => {
                if self.stock_outcomes.contains(id) {
                    let outcomes = self.stock_outcomes.clone();
                    tx.on_visible(move || outcomes.wake(id, Arc::new(stored)));
                }
                Ok(())
            }
            Err(Error::Transition(_)) => {
                warn_of_refusal(tx, event, id)?;
                Ok(())
            }
            Err(Error::NotFound) if mesh::lost_events(tx)? => {
                rollback::settle(tx, &self.ledger.log, id, event.at)?;
                Ok(())
            }
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => Err(Refusal::Never(format!("{id}: {error}"))),
        }
    }
}

/// Warns of stock that is refused to an order that holds some: after a rollback products may
/// have less of it.
fn warn_of_refusal(tx: &Tx<'_>, event: &Event, id: OrderId) -> Result<(), store::Error> {
    let is_refusal = matches!(event.fact, Some(Fact::StockRefused { .. }));
    if is_refusal && tables::status(tx, id)?.is_some_and(OrderStatus::holds_stock) {
        tracing::warn!(
            order = %id,
            "products has no stock for an order that holds some; adjust the stock and accept the rollback of products again, or cancel the order"
        );
    }
    Ok(())
}

/// Handles an event of users.
pub(crate) fn on_users_event(tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
    if let Some(Fact::UserErased { user_id }) = &event.fact {
        erasure::erase_account(tx, *user_id, event.at)?;
    }
    Ok(())
}
