//! Order numbers: what people call an order by, on the phone and on a transfer.
//!
//! A number is taken in the placing transaction, so no two orders have one, and an order that is
//! rejected keeps its own. Orders of earlier versions get theirs in order of age from a backfill,
//! which is how an order that is placed meanwhile gets its own, too.
//!
//! | table | key → value |
//! | --- | --- |
//! | `order_numbers` | 0 → the next number |

use std::sync::Arc;

use chassis::{Backfill, Context};
use model::OrderId;
use store::{Read, Table, Tx};

use crate::config::OrdersConfig;
use crate::domain::OrderNumber;
use crate::lists::TABLES_OF_RUNS;
use crate::tables::{self, ORDERS, OrderRow};

const NEXT: Table<u16, u64> = Table::new("order_numbers");

/// Gives orders their numbers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Numbers {
    prefix: Arc<str>,
    start: u64,
    /// Completes the orders of earlier versions.
    pub(crate) backfill: Backfill<OrderId, OrderRow>,
}

impl Numbers {
    pub(crate) fn new(settings: &OrdersConfig) -> Self {
        Self {
            prefix: settings.number_prefix.as_str().into(),
            start: settings.number_start,
            backfill: Backfill::new("numbers of orders", ORDERS, TABLES_OF_RUNS),
        }
    }

    /// Completes the orders of earlier versions.
    pub(crate) async fn start(&self, ctx: &Context) -> Result<(), store::Error> {
        let numbers = self.clone();
        let complete = move |tx: &mut Tx<'_>, _, row| numbers.complete(tx, row);
        self.backfill.start(ctx, complete).await
    }

    /// The number of a new order; `None` where the backfill will give it one.
    pub(crate) fn take(
        &self,
        tx: &mut Tx<'_>,
        id: OrderId,
    ) -> Result<Option<OrderNumber>, store::Error> {
        match self.backfill.covers(tx, &id)? {
            true => self.next(tx).map(Some),
            false => Ok(None),
        }
    }

    fn next(&self, tx: &mut Tx<'_>) -> Result<OrderNumber, store::Error> {
        let value = tx.get(NEXT, &0)?.unwrap_or(0).max(self.start);
        tx.put(NEXT, &0, &(value + 1))?;
        Ok(OrderNumber { prefix: self.prefix.to_string(), value })
    }

    /// Writes what an order of an earlier version lacks.
    pub(crate) fn complete(&self, tx: &mut Tx<'_>, row: OrderRow) -> Result<(), store::Error> {
        let mut stored = tables::with_lines(tx, row)?;
        match &stored.order.number {
            // Kept when a store of which a part was lost is completed anew.
            Some(number) => {
                let next = tx.get(NEXT, &0)?.unwrap_or(0).max(number.value + 1);
                tx.put(NEXT, &0, &next)?;
            }
            None => stored.order.number = Some(self.next(tx)?),
        }
        tables::complete(tx, &mut stored)
    }
}
