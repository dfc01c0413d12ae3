//! Uses of promotions, counted in the transactions that place and end orders.
//!
//! | table | key → value |
//! | --- | --- |
//! | `promotion_uses` | promotion → the orders that use it |
//! | `promotion_uses_by_buyer` | promotion, customer → the orders of that buyer that use it |
//!
//! **Invariant:** an order counts from its placing until it is rejected or cancelled, and only
//! the one writer counts. So a cap is exact, whoever races for the last use. An order that is
//! revived counts again, whatever the cap: it was paid at the price that it was placed at.

use model::{CustomerId, PromotionId};
use pricing::UsesLeft;
use store::{Read, Table, Tx};

use crate::domain::Order;

const USES: Table<PromotionId, u64> = Table::new("promotion_uses");
const USES_BY_BUYER: Table<(PromotionId, CustomerId), u64> = Table::new("promotion_uses_by_buyer");

/// How often a promotion is used.
pub(crate) fn uses(from: &impl Read, id: PromotionId) -> Result<u64, store::Error> {
    Ok(from.get(USES, &id)?.unwrap_or(0))
}

/// How often a promotion may be used; `None` for a cap that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) in_all: Option<u32>,
    pub(crate) by_buyer: Option<u32>,
}

/// Whether a promotion can be used once more, by the customers that its buyer is known as.
pub(crate) fn uses_left(
    from: &impl Read,
    id: PromotionId,
    caps: Caps,
    buyers: &[CustomerId],
) -> Result<UsesLeft, store::Error> {
    if let Some(most) = caps.in_all
        && uses(from, id)? >= most.into()
    {
        return Ok(UsesLeft::None);
    }
    let Some(most) = caps.by_buyer else {
        return Ok(UsesLeft::Some);
    };
    let mut used = 0;
    for buyer in buyers {
        used += from.get(USES_BY_BUYER, &(id, *buyer))?.unwrap_or(0);
    }
    Ok(match used >= most.into() {
        true => UsesLeft::NoneForBuyer,
        false => UsesLeft::Some,
    })
}

/// Counts the promotions of a new order, or of one that is revived.
pub(crate) fn spend(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    count(tx, order, |used| used + 1)
}

/// Gives back the uses of an order that ends without a sale.
pub(crate) fn give_back(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    count(tx, order, |used| used.saturating_sub(1))
}

fn count(tx: &mut Tx<'_>, order: &Order, next: impl Fn(u64) -> u64) -> Result<(), store::Error> {
    for id in &order.charges.promotions {
        let used = next(uses(tx, *id)?);
        match used {
            0 => tx.delete(USES, id)?,
            _ => tx.put(USES, id, &used)?,
        }
        let key = (*id, order.buyer.customer_id());
        let used = next(tx.get(USES_BY_BUYER, &key)?.unwrap_or(0));
        match used {
            0 => tx.delete(USES_BY_BUYER, &key)?,
            _ => tx.put(USES_BY_BUYER, &key, &used)?,
        }
    }
    Ok(())
}
