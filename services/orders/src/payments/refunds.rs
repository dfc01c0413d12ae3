//! Refunds by the provider that has the money: asked for here, and counted once it has sent it.
//!
//! **Invariant:** the order's settlement has the sum of the refunds that are pending here, and with
//! those that are done it is at most the payment.

use std::collections::BTreeMap;

use model::{ApiKeyId, Fact, Money, OrderId, Time, UserId};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use super::providers::calls::{CallQueue, Lane, ProviderRequest};
use super::tables::RefundId;
use crate::Error;
use crate::domain::{Actor, Order, OrderCause};
use crate::tables::StoredOrder;

const REFUNDS: Table<(OrderId, RefundId), RefundRow> = Table::new("order_refunds");

/// What became of a refund, each status after those that it may follow. What a provider answered
/// is applied late and in any order, so a refund takes on a later status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    /// The provider did not say in time what became of it. It may still say so.
    Unknown,
    /// The provider refused the call. Another call of it may have been done before.
    Refused,
    Succeeded,
    /// The provider could not make it, or has the money again.
    Failed,
}

impl RefundStatus {
    /// The name in responses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Refused | Self::Failed => "failed",
        }
    }
}

/// A refund that a provider is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundRow {
    pub(crate) amount: Money,
    pub(crate) status: RefundStatus,
    /// The name of the method.
    method: String,
    /// The provider's id of the payment.
    pub(crate) payment: String,
    /// The provider's id of the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// It succeeded and counts as no refund of the order, of which less was left by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) uncounted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<ApiKeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl Record for RefundRow {}

impl RefundRow {
    /// The cause of it, at the time at which it counts.
    pub(crate) fn cause(&self, at: Time) -> OrderCause {
        OrderCause {
            at,
            by: self.by.map_or(Actor::Payments, Actor::User),
            via: self.via,
            reason: self.reason.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// Asks the provider that has an order's money to send back `amount` in minor units, or all that
/// can be; the order has to be saved after it.
pub(crate) fn request(
    tx: &mut Tx<'_>,
    calls: &CallQueue,
    order: &mut Order,
    amount: Option<i64>,
    cause: &OrderCause,
) -> Result<(), Error> {
    let amount = order.require_refund(amount)?;
    ask(tx, calls, order, amount, cause)?;
    order.updated_at = cause.at;
    Ok(())
}

/// Asks the provider for what a cancellation promised, if that is anything.
pub(crate) fn after_cancel(
    tx: &mut Tx<'_>,
    calls: &CallQueue,
    stored: &mut StoredOrder,
    fact: &Fact,
    cause: &OrderCause,
) -> Result<(), store::Error> {
    match fact {
        Fact::OrderCancelled { refund_pending: Some(amount), .. } if amount.amount > 0 => {
            ask(tx, calls, &mut stored.order, *amount, cause)
        }
        _ => Ok(()),
    }
}

fn ask(
    tx: &mut Tx<'_>,
    calls: &CallQueue,
    order: &mut Order,
    amount: Money,
    cause: &OrderCause,
) -> Result<(), store::Error> {
    let (Some(method), Some(payment)) = (order.paid_by_provider(), order.payment.clone()) else {
        return Ok(());
    };
    let (order_id, refund_id) = (order.id, RefundId::new());
    let by = match cause.by {
        Actor::User(user) => Some(user),
        Actor::Guest(_) | Actor::Products | Actor::Expiry | Actor::Payments => None,
    };
    let row = RefundRow {
        amount,
        status: RefundStatus::Pending,
        method: method.name().to_owned(),
        payment,
        reference: None,
        uncounted: false,
        reason: cause.reason.clone(),
        by,
        via: cause.via,
        trace: cause.trace.clone(),
    };
    order.settlement.refund_pending += amount.amount;
    put(tx, order_id, refund_id, &row)?;
    let request = ProviderRequest::Refund { order_id, refund_id };
    calls.ask(tx, Lane::of(method), request, cause.at)
}

/// A refund of an order.
pub(crate) fn find(
    from: &impl Read,
    order: OrderId,
    id: RefundId,
) -> Result<Option<RefundRow>, store::Error> {
    from.get(REFUNDS, &(order, id))
}

/// The refunds of an order that its provider was asked for, the oldest first.
pub(crate) fn all(
    from: &impl Read,
    order: OrderId,
) -> Result<Vec<(RefundId, RefundRow)>, store::Error> {
    let rows = from.scan(REFUNDS.prefix(&order))?;
    rows.map(|row| row.map(|((_, id), row)| (id, row)))
        .collect()
}

/// The sums of the refunds that are pending, by order, in minor units.
pub(crate) fn pending(from: &impl Read) -> Result<BTreeMap<OrderId, i64>, store::Error> {
    let mut sums = BTreeMap::new();
    for row in from.scan(REFUNDS.all())? {
        let ((order, _), row) = row?;
        if row.status == RefundStatus::Pending {
            *sums.entry(order).or_default() += row.amount.amount;
        }
    }
    Ok(sums)
}

/// Erases the reasons that the buyer of an order gave. Who is no account is its guest.
pub(crate) fn erase_buyer(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    for (id, row) in all(tx, order.id)? {
        if row.reason.is_some() && (row.by.is_none() || row.by == order.buyer.user_id()) {
            put(tx, order.id, id, &RefundRow { reason: None, ..row })?;
        }
    }
    Ok(())
}

pub(crate) fn put(
    tx: &mut Tx<'_>,
    order: OrderId,
    id: RefundId,
    row: &RefundRow,
) -> Result<(), store::Error> {
    tx.put(REFUNDS, &(order, id), row)
}

#[cfg(test)]
mod tests {
    use store::{Options, Store};

    use super::*;
    use crate::domain::tests::order;

    fn row(reason: Option<&str>, by: Option<UserId>) -> RefundRow {
        RefundRow {
            amount: Money { amount: 5, currency: "EUR".parse().unwrap() },
            status: RefundStatus::Pending,
            method: "stripe".into(),
            payment: "pi_1".into(),
            reference: None,
            uncounted: false,
            reason: reason.map(Into::into),
            by,
            via: None,
            trace: None,
        }
    }

    #[tokio::test]
    async fn the_reasons_of_a_buyer_are_erased_and_those_of_staff_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let order = order(100);
        let (buyer, staff) = (order.buyer.user_id(), Some(UserId::new()));
        let erased = store.write(move |tx| {
            for (reason, by) in [
                ("as a guest", None),
                ("as a buyer", buyer),
                ("staff's", staff),
            ] {
                put(tx, order.id, RefundId::new(), &row(Some(reason), by))?;
            }
            erase_buyer(tx, &order)?;
            let left = all(tx, order.id)?
                .into_iter()
                .filter_map(|(_, row)| row.reason);
            Ok::<_, store::Error>(left.collect::<Vec<_>>())
        });
        assert_eq!(erased.await.unwrap(), ["staff's"]);
    }

    /// Golden bytes: a change here is a change of the stored format.
    #[test]
    fn golden_bytes() {
        let row = row(None, None);
        let golden = b"\x01\x84\xa6amount\x82\xa6amount\x05\xa8currency\xa3EUR\xa6status\xa7pending\xa6method\xa6stripe\xa7payment\xa4pi_1";
        assert_eq!(store::encode(&row).unwrap(), golden);
        assert_eq!(store::decode::<RefundRow>(golden).unwrap(), row);
    }
}
