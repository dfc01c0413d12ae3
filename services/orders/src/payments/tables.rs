//! The tables of payments, and reading and writing them.

use model::{Id, Mismatch, Money, OrderId, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::domain::{Order, PaymentMethod};

pub(crate) type PaymentId = Id<kinds::Payment>;
pub(crate) type RefundId = Id<kinds::Refund>;
/// When money came that pays no order, and the id of the message about it.
pub(crate) type UnmatchedPlace = (Time, String);

const ATTEMPTS: Table<(OrderId, PaymentId), AttemptRow> = Table::new("order_payments");
/// By the name of the method and the provider's id, of a session or a payment.
const AT_PROVIDER: Table<(String, String), AtProviderRow> = Table::new("payments_at_provider");
const UNMATCHED: Table<UnmatchedPlace, UnmatchedRow> = Table::new("payments_unmatched");

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AttemptStatus {
    Pending,
    Succeeded,
    /// The provider refused the payment, or the attempt.
    Failed,
    /// The order was paid otherwise or is over, or the buyer gave it up at the provider.
    Cancelled,
    /// The buyer did not pay at the provider in time.
    Expired,
}

impl AttemptStatus {
    /// The name in responses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Of an attempt by a method without a provider: it is pending for as long as its order waits
    /// for a payment.
    pub(super) fn of(method: PaymentMethod, order: &Order) -> Self {
        match order.settlement.received {
            Some(received) if received == method => Self::Succeeded,
            _ if order.is_payable() => Self::Pending,
            _ => Self::Cancelled,
        }
    }
}

/// An attempt to pay an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: PaymentId,
    pub(crate) method: PaymentMethod,
    /// `None` without a provider.
    pub(crate) at_provider: Option<ProviderAttempt>,
}

impl Attempt {
    /// What became of it.
    pub(crate) fn status(&self, order: &Order) -> AttemptStatus {
        let at_provider = self.at_provider.as_ref().map(|attempt| attempt.status);
        at_provider.unwrap_or_else(|| AttemptStatus::of(self.method, order))
    }
}

/// An attempt as its provider has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProviderAttempt {
    pub(crate) status: AttemptStatus,
    /// Where the provider sends the buyer afterwards, until it has been asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_url: Option<String>,
    /// The provider's id of it; `None` until the provider has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider_id: Option<String>,
    /// Where the buyer pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redirect_url: Option<String>,
    /// The provider's id of its payment, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// When the provider was last asked about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetched_at: Option<Time>,
}

impl ProviderAttempt {
    /// One that the provider does not know of yet.
    pub(crate) fn new(return_url: String) -> Self {
        Self {
            status: AttemptStatus::Pending,
            return_url: Some(return_url),
            provider_id: None,
            redirect_url: None,
            reference: None,
            fetched_at: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct AttemptRow {
    /// The name of its method.
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_provider: Option<ProviderAttempt>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct AtProviderRow {
    order_id: OrderId,
    payment_id: PaymentId,
}

/// Money that pays no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnmatchedRow {
    /// The type of the message about it.
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
impl Record for AtProviderRow {}
impl Record for UnmatchedRow {}

/// The attempts to pay an order, the oldest first: at most one of a method without a provider,
/// and one that is pending of a method with one.
pub(crate) fn attempts(from: &impl Read, order: OrderId) -> Result<Vec<Attempt>, store::Error> {
    let mut attempts = Vec::new();
    for row in from.scan(ATTEMPTS.prefix(&order))? {
        let ((_, id), row) = row?;
        attempts.extend(of_row(id, row));
    }
    Ok(attempts)
}

fn of_row(id: PaymentId, AttemptRow { method, at_provider }: AttemptRow) -> Option<Attempt> {
    let method = PaymentMethod::parse(&method)?;
    Some(Attempt { id, method, at_provider })
}

/// An attempt to pay an order.
pub(crate) fn attempt(
    from: &impl Read,
    order: OrderId,
    id: PaymentId,
) -> Result<Option<Attempt>, store::Error> {
    let row = from.get(ATTEMPTS, &(order, id))?;
    Ok(row.and_then(|row| of_row(id, row)))
}

/// Writes an attempt, and what finds it by the provider's ids.
pub(crate) fn put_attempt(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    attempt: &Attempt,
) -> Result<(), store::Error> {
    let method = attempt.method.name();
    let at_provider = attempt.at_provider.clone();
    let ids = at_provider
        .iter()
        .flat_map(|at_provider| [&at_provider.provider_id, &at_provider.reference]);
    for id in ids.flatten() {
        let row = AtProviderRow { order_id, payment_id: attempt.id };
        tx.put(AT_PROVIDER, &(method.to_owned(), id.clone()), &row)?;
    }
    let row = AttemptRow { method: method.into(), at_provider };
    tx.put(ATTEMPTS, &(order_id, attempt.id), &row)
}

/// The attempt, and its order, of which a provider has that id.
pub(crate) fn find_at_provider(
    from: &impl Read,
    method: PaymentMethod,
    provider_id: &str,
) -> Result<Option<(OrderId, PaymentId)>, store::Error> {
    let key = (method.name().to_owned(), provider_id.to_owned());
    let row = from.get(AT_PROVIDER, &key)?;
    Ok(row.map(|row| (row.order_id, row.payment_id)))
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

pub(super) fn delete_unmatched(
    tx: &mut Tx<'_>,
    place: &UnmatchedPlace,
) -> Result<(), store::Error> {
    tx.delete(UNMATCHED, place)
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
        // The row of an earlier version, and of a method without a provider.
        let attempt = AttemptRow { method: "transfer".into(), at_provider: None };
        let golden = b"\x01\x81\xa6method\xa8transfer";
        assert_eq!(store::encode(&attempt).unwrap(), golden);
        let read = store::decode::<AttemptRow>(golden).unwrap();
        assert_eq!((read.method.as_str(), read.at_provider), ("transfer", None));
        let at_provider = ProviderAttempt::new("https://a".into());
        let attempt = AttemptRow { method: "stripe".into(), at_provider: Some(at_provider) };
        let golden = b"\x01\x82\xa6method\xa6stripe\xabat_provider\x82\xa6status\xa7pending\xaareturn_url\xa9https://a";
        assert_eq!(store::encode(&attempt).unwrap(), golden);
        let read = store::decode::<AttemptRow>(golden).unwrap();
        assert_eq!(read.at_provider, attempt.at_provider);
    }
}
