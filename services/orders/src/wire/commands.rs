//! Request bodies of commands to an order.
//!
//! **Invariant:** the value of a valid body is serialised to the same text in every version,
//! as [`wire`](super) says.

use chassis::fields::{Fields, ReadFields};
use model::{Currency, Money};
use serde::Serialize;

use super::at_most;
use crate::domain::{
    CARRIER_CHARS_MAX, Correction, METHOD_CHARS_MAX, NOTE_CHARS_MAX, OrderAddress, OrderCommand,
    Parcel, PaymentDetails, REASON_CHARS_MAX, REFERENCE_BYTES_MAX,
};

/// A command as a body gives it.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    pub(crate) command: OrderCommand,
    pub(crate) reason: Option<String>,
    /// The currency of an amount, which must be the order's.
    pub(crate) currency: Option<Currency>,
    /// An amount that must be the order's total, in minor units.
    pub(crate) total: Option<i64>,
    /// Whether the money of a refund was sent otherwise, so that no provider is asked to.
    pub(crate) by_hand: bool,
}

impl From<OrderCommand> for CommandRequest {
    fn from(command: OrderCommand) -> Self {
        Self {
            command,
            reason: None,
            currency: None,
            total: None,
            by_hand: false,
        }
    }
}

/// `POST /v1/orders/{id}/cancel`.
#[derive(Debug, Serialize)]
pub(crate) struct CancelBody {
    reason: String,
}

impl ReadFields for CancelBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reason = fields.required("reason", filled::<REASON_CHARS_MAX>)?;
        Some(Self { reason })
    }
}

impl From<CancelBody> for CommandRequest {
    fn from(CancelBody { reason }: CancelBody) -> Self {
        let request = Self::from(OrderCommand::Cancel);
        Self { reason: Some(reason), ..request }
    }
}

/// `POST /v1/orders/{id}/pay`. Without a field it has the text of earlier versions.
#[derive(Debug, Serialize)]
pub(crate) struct PayBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<GivenAmount>,
}

impl ReadFields for PayBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reference = fields.optional("reference", reference);
        let method = fields.optional("method", at_most::<METHOD_CHARS_MAX>);
        let amount = amount(fields);
        Some(Self { reference, method, amount })
    }
}

impl From<PayBody> for CommandRequest {
    fn from(PayBody { reference, method, amount }: PayBody) -> Self {
        let details = PaymentDetails { reference, method, amount: None };
        let currency = amount.and_then(GivenAmount::currency);
        let total = amount.map(GivenAmount::units);
        Self { currency, total, ..Self::from(OrderCommand::Pay(details)) }
    }
}

/// A text of 1 to so many bytes, as a provider's reference has.
fn reference(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > REFERENCE_BYTES_MAX {
        return Err(format!("must have 1..{REFERENCE_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
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
        OrderCommand::Ship(Parcel { carrier, tracking }).into()
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

/// `POST /v1/orders/{id}/undo`.
#[derive(Debug, Serialize)]
pub(crate) struct UndoStepBody {
    reason: String,
}

impl ReadFields for UndoStepBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reason = fields.required("reason", filled::<REASON_CHARS_MAX>)?;
        Some(Self { reason })
    }
}

impl From<UndoStepBody> for CommandRequest {
    fn from(UndoStepBody { reason }: UndoStepBody) -> Self {
        let request = Self::from(OrderCommand::Undo { step: None });
        Self { reason: Some(reason), ..request }
    }
}

/// `POST /v1/orders/{id}/refund`.
#[derive(Debug, Serialize)]
pub(crate) struct RefundBody {
    amount: Option<GivenAmount>,
    /// `None` only in an invalid body, whose currency is checked all the same.
    reason: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_hand: bool,
}

/// An amount in the order's currency: minor units, with or without the currency.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum GivenAmount {
    Minor(i64),
    Money(Money),
}

impl ReadFields for RefundBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = amount(fields);
        let reason = fields.required("reason", filled::<REASON_CHARS_MAX>);
        let by_hand = fields.value("by_hand").unwrap_or(false);
        Some(Self { amount, reason, by_hand })
    }
}

fn amount(fields: &mut Fields<'_>) -> Option<GivenAmount> {
    let amount = given_amount(fields, "amount")?;
    if amount.units() < 1 {
        fields.fault("/amount", "at least 1 minor unit");
    }
    Some(amount)
}

/// The total that the buyer agreed to.
pub(crate) fn expected_total(fields: &mut Fields<'_>) -> Option<GivenAmount> {
    given_amount(fields, "expected_total")
}

fn given_amount(fields: &mut Fields<'_>, name: &str) -> Option<GivenAmount> {
    let raw = fields.raw(name)?;
    let pointer = format!("/{name}");
    if raw.get().starts_with('{') {
        return fields.object_at(&pointer, raw);
    }
    fields.value_at(&pointer, raw).map(GivenAmount::Minor)
}

/// Reads the form with the currency.
impl ReadFields for GivenAmount {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = fields.required_value("amount");
        let currency = fields.required_value("currency");
        Some(Self::Money(Money { amount: amount?, currency: currency? }))
    }
}

impl GivenAmount {
    fn units(self) -> i64 {
        match self {
            Self::Minor(amount) | Self::Money(Money { amount, .. }) => amount,
        }
    }

    /// Whether it is this amount.
    pub(crate) fn is(self, money: Money) -> bool {
        self.units() == money.amount && self.currency().is_none_or(|known| known == money.currency)
    }

    fn currency(self) -> Option<Currency> {
        match self {
            Self::Minor(_) => None,
            Self::Money(money) => Some(money.currency),
        }
    }
}

impl From<RefundBody> for CommandRequest {
    fn from(RefundBody { amount, reason, by_hand }: RefundBody) -> Self {
        let currency = amount.and_then(GivenAmount::currency);
        let amount = amount.map(GivenAmount::units);
        Self {
            reason,
            currency,
            by_hand,
            ..Self::from(OrderCommand::Refund { amount })
        }
    }
}

/// `PATCH /v1/orders/{id}`, a merge patch: an address that is given replaces the whole former
/// one, and a `null` removes a field.
pub(crate) struct CorrectionBody(pub(crate) Correction);

impl ReadFields for CorrectionBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let shipping_address = match fields.take_null("shipping_address") {
            true => Some(None),
            false => {
                let address = fields.object("shipping_address");
                address.map(|address| Some(OrderAddress::Typed(address)))
            }
        };
        let carrier = fields.patched("carrier", at_most::<CARRIER_CHARS_MAX>);
        let tracking = fields.patched("tracking", at_most::<CARRIER_CHARS_MAX>);
        Some(Self(Correction { shipping_address, carrier, tracking }))
    }
}

/// `POST /v1/orders/{id}/notes`.
#[derive(Debug, Serialize)]
pub(crate) struct NoteBody {
    pub(crate) text: String,
}

impl ReadFields for NoteBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let text = fields.required("text", filled::<NOTE_CHARS_MAX>);
        Some(Self { text: text? })
    }
}

/// A text with something in it, of at most that many characters.
fn filled<const CHARS_MAX: usize>(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > CHARS_MAX {
        return Err(format!("is required, 1..{CHARS_MAX} characters"));
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
        let address = r#"{"name":"A","line1":"Sannomiya 1","city":"Kobe","country":"JP"}"#;
        let order = format!(r#"{{"items":{items},"shipping_address":{address},"note":"ring"}}"#);
        let spaced = order.replace(',', " , ").replace(':', " : ");
        assert_eq!(hashed::<OrderContent>(&spaced), order);
        assert_eq!(
            hashed::<OrderContent>(&format!(r#"{{"items":{items}}}"#)),
            format!(r#"{{"items":{items},"shipping_address":null,"note":null}}"#)
        );
        assert_eq!(hashed::<PayBody>("{}"), "{}");
        let transfer = r#"{"reference":"R1","method":"transfer","amount":300}"#;
        assert_eq!(hashed::<PayBody>(transfer), transfer);
        assert_eq!(hashed::<DeliverBody>("{}"), "{}");
        let cancel = r#"{"reason":"no"}"#;
        assert_eq!(hashed::<CancelBody>(cancel), cancel);
        assert_eq!(hashed::<UndoStepBody>(cancel), cancel);
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
