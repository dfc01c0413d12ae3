//! Request bodies of commands to an order.
//!
//! **Invariant:** the value of a valid body is serialised to the same text in every version,
//! as [`wire`](super) says.

use chassis::fields::{Fields, ReadFields};
use model::{Currency, Money};
use serde::Serialize;

use super::at_most;
use crate::domain::{CARRIER_CHARS_MAX, OrderCommand, REASON_CHARS_MAX};

/// A command as a body gives it.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    pub(crate) command: OrderCommand,
    pub(crate) reason: Option<String>,
    /// The currency of an amount, which must be the order's.
    pub(crate) currency: Option<Currency>,
}

impl From<OrderCommand> for CommandRequest {
    fn from(command: OrderCommand) -> Self {
        Self { command, reason: None, currency: None }
    }
}

/// `POST /v1/orders/{id}/cancel`.
#[derive(Debug, Serialize)]
pub(crate) struct CancelBody {
    reason: String,
}

impl ReadFields for CancelBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reason = fields.required("reason", reason)?;
        Some(Self { reason })
    }
}

impl From<CancelBody> for CommandRequest {
    fn from(CancelBody { reason }: CancelBody) -> Self {
        let request = Self::from(OrderCommand::Cancel);
        Self { reason: Some(reason), ..request }
    }
}

/// `POST /v1/orders/{id}/pay`.
#[derive(Debug, Serialize)]
pub(crate) struct PayBody {}

impl ReadFields for PayBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }
}

impl From<PayBody> for CommandRequest {
    fn from(_: PayBody) -> Self {
        OrderCommand::Pay.into()
    }
}

/// `POST /v1/orders/{id}/ship`.
#[derive(Debug, Serialize)]
pub(crate) struct ShipBody {
    carrier: Option<String>,
    tracking: Option<String>,
}

impl ReadFields for ShipBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let carrier = fields.optional("carrier", at_most::<CARRIER_CHARS_MAX>);
        let tracking = fields.optional("tracking", at_most::<CARRIER_CHARS_MAX>);
        Some(Self { carrier, tracking })
    }
}

impl From<ShipBody> for CommandRequest {
    fn from(ShipBody { carrier, tracking }: ShipBody) -> Self {
        OrderCommand::Ship { carrier, tracking }.into()
    }
}

/// `POST /v1/orders/{id}/deliver`.
#[derive(Debug, Serialize)]
pub(crate) struct DeliverBody {}

impl ReadFields for DeliverBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }
}

impl From<DeliverBody> for CommandRequest {
    fn from(_: DeliverBody) -> Self {
        OrderCommand::Deliver.into()
    }
}

/// `POST /v1/orders/{id}/refund`.
#[derive(Debug, Serialize)]
pub(crate) struct RefundBody {
    amount: Option<RefundAmount>,
    /// `None` only in an invalid body, whose currency is checked all the same.
    reason: Option<String>,
}

/// An amount in the order's currency: minor units, with or without the currency.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum RefundAmount {
    Minor(i64),
    Money(Money),
}

impl ReadFields for RefundBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = amount(fields);
        let reason = fields.required("reason", reason);
        Some(Self { amount, reason })
    }
}

fn amount(fields: &mut Fields<'_>) -> Option<RefundAmount> {
    let raw = fields.raw("amount")?;
    let amount = if raw.get().starts_with('{') {
        fields.object_at("/amount", raw)?
    } else {
        RefundAmount::Minor(fields.value_at("/amount", raw)?)
    };
    let (RefundAmount::Minor(units) | RefundAmount::Money(Money { amount: units, .. })) = amount;
    if units < 1 {
        fields.fault("/amount", "at least 1 minor unit");
    }
    Some(amount)
}

/// Reads the form with the currency.
impl ReadFields for RefundAmount {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = fields.required_value("amount");
        let currency = fields.required_value("currency");
        Some(Self::Money(Money { amount: amount?, currency: currency? }))
    }
}

impl From<RefundBody> for CommandRequest {
    fn from(RefundBody { amount, reason }: RefundBody) -> Self {
        let (amount, currency) = match amount {
            None => (None, None),
            Some(RefundAmount::Minor(amount)) => (Some(amount), None),
            Some(RefundAmount::Money(Money { amount, currency })) => (Some(amount), Some(currency)),
        };
        Self { command: OrderCommand::Refund { amount }, reason, currency }
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > REASON_CHARS_MAX {
        return Err(format!("is required, 1..{REASON_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::wire::OrderContent;

    use super::*;

    /// The text of which the fingerprint of a valid body is a hash.
    fn hashed<T: ReadFields + Serialize>(body: &str) -> String {
        let body = Fields::read_checked::<T>(body.as_bytes()).unwrap();
        assert_eq!(body.faults, []);
        serde_json::to_string(&body).unwrap()
    }

    /// A changed text would refuse a repeated request whose key an earlier version stored.
    #[test]
    fn the_text_that_is_hashed_is_the_same_in_every_version() {
        let lamp = "prod_01h455vb4pex5vsknk084sn02q";
        let items = format!(r#"[{{"product_id":"{lamp}","quantity":2}}]"#);
        let order = format!(
            r#"{{"items":{items},"shipping_address":{{"city":"Kobe","name":"A"}},"note":"ring"}}"#
        );
        let spaced = order.replace(',', " , ").replace(':', " : ");
        assert_eq!(hashed::<OrderContent>(&spaced), order);
        assert_eq!(
            hashed::<OrderContent>(&format!(r#"{{"items":{items}}}"#)),
            format!(r#"{{"items":{items},"shipping_address":null,"note":null}}"#)
        );
        assert_eq!(hashed::<PayBody>("{}"), "{}");
        assert_eq!(hashed::<DeliverBody>("{}"), "{}");
        let cancel = r#"{"reason":"no"}"#;
        assert_eq!(hashed::<CancelBody>(cancel), cancel);
        let parcel = r#"{"carrier":"Yamato","tracking":"1"}"#;
        assert_eq!(hashed::<ShipBody>(parcel), parcel);
        let unknown_parcel = r#"{"carrier":null,"tracking":null}"#;
        assert_eq!(hashed::<ShipBody>("{}"), unknown_parcel);
        for amount in ["null", "300", r#"{"amount":300,"currency":"EUR"}"#] {
            let refund = format!(r#"{{"amount":{amount},"reason":"a scratch"}}"#);
            assert_eq!(hashed::<RefundBody>(&refund), refund);
        }
    }

    #[test]
    fn every_fault_of_a_refund_is_reported() {
        let pointers = |body: &str| {
            let body = Fields::read_checked::<RefundBody>(body.as_bytes()).unwrap();
            let faults = body.faults.into_iter();
            faults.map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(r#"{"amount":"1"}"#), ["/amount", "/reason"]);
        assert_eq!(
            pointers(r#"{"amount":{"amount":"1","currency":"euro"},"reason":" "}"#),
            ["/amount/amount", "/amount/currency", "/reason"]
        );
    }

    #[test]
    fn invalid_bodies_are_the_same_request_only_with_the_same_faults() {
        let hashed = |body: &str| {
            let body = Fields::read_checked::<ShipBody>(body.as_bytes()).unwrap();
            serde_json::to_string(&body).unwrap()
        };
        let (carrier, tracking) = (r#"{"carrier":1}"#, r#"{"tracking":1}"#);
        assert_eq!(hashed(carrier), hashed(carrier));
        assert_ne!(hashed(carrier), hashed(tracking));
        assert_ne!(hashed(carrier), hashed("{}"));
    }
}
