//! The tables of payments, and reading and writing them.

use model::{Id, Mismatch, Money, OrderId, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::domain::PaymentMethod;

pub(crate) type PaymentId = Id<kinds::Payment>;
/// When money came that pays no order, and the id of the message that told of it.
pub(crate) type UnmatchedPlace = (Time, String);

const ATTEMPTS: Table<(OrderId, PaymentId), AttemptRow> = Table::new("order_payments");
const UNMATCHED: Table<UnmatchedPlace, UnmatchedRow> = Table::new("payments_unmatched");

/// An attempt to pay an order.
#[derive(Debug, Serialize, Deserialize)]
struct AttemptRow {
    /// The name of its method.
    method: String,
}

/// Money that pays no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnmatchedRow {
    /// The type of the message that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// The order, as the message names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Money>,
    /// The provider's id of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    pub(crate) reason: Mismatch,
}

impl Record for AttemptRow {}
impl Record for UnmatchedRow {}

/// The attempts to pay an order, the oldest first: at most one of a method without a provider.
pub(crate) fn attempts(
    from: &impl Read,
    order: OrderId,
) -> Result<Vec<(PaymentId, PaymentMethod)>, store::Error> {
    let mut attempts = Vec::new();
    for row in from.scan(ATTEMPTS.prefix(&order))? {
        let ((_, id), AttemptRow { method }) = row?;
        attempts.extend(PaymentMethod::parse(&method).map(|method| (id, method)));
    }
    Ok(attempts)
}

pub(crate) fn insert_attempt(
    tx: &mut Tx<'_>,
    order: OrderId,
    id: PaymentId,
    method: PaymentMethod,
) -> Result<(), store::Error> {
    let row = AttemptRow { method: method.name().into() };
    tx.put(ATTEMPTS, &(order, id), &row)
}

/// The money that pays no order, from that place on, the latest first.
pub(crate) fn unmatched(
    from: &impl Read,
    after: Option<UnmatchedPlace>,
) -> Result<impl Iterator<Item = Result<(UnmatchedPlace, UnmatchedRow), store::Error>>, store::Error>
{
    let all = UNMATCHED.all();
    let span = match &after {
        Some(after) => all.before(after),
        None => all,
    };
    from.scan(span.newest_first())
}

pub(crate) fn put_unmatched(
    tx: &mut Tx<'_>,
    place: &UnmatchedPlace,
    row: &UnmatchedRow,
) -> Result<(), store::Error> {
    tx.put(UNMATCHED, place, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden bytes: a change here is a change of the stored format.
    #[test]
    fn golden_bytes() {
        let unreadable = UnmatchedRow {
            kind: None,
            order_id: None,
            amount: None,
            reference: None,
            reason: Mismatch::Unreadable,
        };
        let golden = b"\x01\x81\xa6reason\xaaunreadable";
        assert_eq!(store::encode(&unreadable).unwrap(), golden);
        assert_eq!(store::decode::<UnmatchedRow>(golden).unwrap(), unreadable);
        let attempt = AttemptRow { method: "transfer".into() };
        let golden = b"\x01\x81\xa6method\xa8transfer";
        assert_eq!(store::encode(&attempt).unwrap(), golden);
    }
}
