//! Orders that are paid in parts: several payments of the signed webhook that add up to the
//! total, such as a gift card beside a card.
//!
//! A part is listed as unmatched like every payment of another amount, and staff are told, until
//! the parts add up; then they pay the order and are listed no more. So an order that ends before
//! that holds no money of its own.
//!
//! **Invariant:** `partly_paid` of an order's settlement is the sum of its parts while it waits
//! for a payment, and never more than its total.

use model::OrderId;
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use super::tables::{self, UnmatchedPlace};
use crate::domain::{Order, PaymentMessage};

/// By the reference of the payment.
const PARTS: Table<(OrderId, String), PartRow> = Table::new("payment_parts");

/// Parts of an order. A payment beyond them is unmatched for good, unless it is of the total.
const PARTS_MAX: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
struct PartRow {
    /// In minor units of the order's currency.
    amount: i64,
    /// Where it is listed as unmatched until it pays the order.
    listed: UnmatchedPlace,
}

impl Record for PartRow {}

/// Whether a payment of that amount is known as a part of the order.
pub(super) fn is_known(
    from: &impl Read,
    order: OrderId,
    message: &PaymentMessage,
) -> Result<bool, store::Error> {
    let part = from.get(PARTS, &(order, message.reference.clone()))?;
    Ok(part.is_some_and(|part| part.amount == message.amount.amount))
}

/// Takes a payment that is listed there as a part of its order; `false` if it is none.
pub(super) fn add(
    tx: &mut Tx<'_>,
    order: &mut Order,
    message: &PaymentMessage,
    listed: UnmatchedPlace,
) -> Result<bool, store::Error> {
    if !order.takes_part(message) {
        return Ok(false);
    }
    let key = (order.id, message.reference.clone());
    let made = tx.scan(PARTS.prefix(&order.id))?.take(PARTS_MAX).count();
    if made == PARTS_MAX || tx.contains(PARTS, &key)? {
        return Ok(false);
    }
    let amount = message.amount.amount;
    order.settlement.partly_paid += amount;
    tx.put(PARTS, &key, &PartRow { amount, listed })?;
    Ok(true)
}

/// Removes from the list of unmatched payments the parts that pay the order; the reference of the
/// last one.
pub(crate) fn complete(tx: &mut Tx<'_>, order: &mut Order) -> Result<Option<String>, store::Error> {
    order.settlement.partly_paid = 0;
    let mut parts = Vec::new();
    for part in tx.scan(PARTS.prefix(&order.id))? {
        let ((_, reference), PartRow { listed, .. }) = part?;
        parts.push((listed, reference));
    }
    for (place, _) in &parts {
        tables::delete_unmatched(tx, place)?;
    }
    Ok(parts.into_iter().max().map(|(_, reference)| reference))
}

/// Takes a part back that went back at its provider, or may; `false` if it pays its order
/// already, or is none. It stays listed.
pub(super) fn take_back(
    tx: &mut Tx<'_>,
    order: &mut Order,
    reference: &str,
) -> Result<bool, store::Error> {
    let key = (order.id, reference.to_owned());
    if order.settlement.partly_paid == 0 {
        return Ok(false);
    }
    let Some(part) = tx.get(PARTS, &key)? else {
        return Ok(false);
    };
    order.settlement.partly_paid -= part.amount;
    tx.delete(PARTS, &key)?;
    Ok(true)
}
