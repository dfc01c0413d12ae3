//! Request and response bodies.
//!
//! A body becomes a domain value in its `read`, which collects every fault with the
//! pointer of its field. Bodies are `Serialize` too: the fingerprint of an
//! `Idempotency-Key` is a hash of the body as it was understood, so the names and the
//! order of their fields must stay.

mod payments;

use chassis::FieldError;
use model::{Currency, Money, OrderId, ProductId, Time, UserId};
use serde::{Deserialize, Serialize};

pub(crate) use self::payments::{WebhookBody, WebhookResponse};
use crate::domain::{self, Address, Order, OrderCommand, StatusChange};

/// `POST /v1/orders`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceOrderBody {
    pub(crate) items: Option<Vec<ItemBody>>,
    pub(crate) shipping_address: Option<Address>,
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemBody {
    pub(crate) product_id: Option<String>,
    pub(crate) quantity: Option<i64>,
}

/// The content of a request, checked as far as that is possible without the products.
#[derive(Debug, Clone)]
pub(crate) struct OrderContent {
    /// Each product once.
    pub(crate) items: Vec<RequestedItem>,
    pub(crate) shipping_address: Option<Address>,
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestedItem {
    /// Its position in the request, for the pointers of faults.
    pub(crate) position: usize,
    pub(crate) product_id: ProductId,
    pub(crate) quantity: u32,
}

impl PlaceOrderBody {
    /// Checks all that can be checked without the products. The quantities of a product
    /// that is named twice are added up.
    pub(crate) fn read(self) -> Result<OrderContent, Vec<FieldError>> {
        use domain::{
            ADDRESS_FIELDS_MAX as FIELDS, ADDRESS_NAME_CHARS_MAX as NAME,
            ADDRESS_VALUE_CHARS_MAX as VALUE, NOTE_CHARS_MAX,
        };
        let Self { items, shipping_address, note } = self;
        let mut faults = Vec::new();
        let items = read_items(items.unwrap_or_default(), &mut faults);
        bounded("/note", note.as_deref(), NOTE_CHARS_MAX, &mut faults);
        let too_large = |address: &Address| {
            let is_long = |(name, value): (&String, &String)| {
                name.chars().count() > NAME || value.chars().count() > VALUE
            };
            address.len() > FIELDS || address.iter().any(is_long)
        };
        if shipping_address.as_ref().is_some_and(too_large) {
            let detail = format!(
                "at most {FIELDS} fields; names of at most {NAME}, values of at most {VALUE} characters"
            );
            faults.push(FieldError::new("/shipping_address", detail));
        }
        if faults.is_empty() {
            Ok(OrderContent { items, shipping_address, note })
        } else {
            Err(faults)
        }
    }
}

fn read_items(bodies: Vec<ItemBody>, faults: &mut Vec<FieldError>) -> Vec<RequestedItem> {
    const LINES_MAX: usize = domain::LINES_MAX;
    const QUANTITY_MAX: u32 = domain::QUANTITY_MAX;
    if !(1..=LINES_MAX).contains(&bodies.len()) {
        let detail = format!("1..{LINES_MAX} items are needed");
        faults.push(FieldError::new("/items", detail));
        return Vec::new();
    }
    let bad_quantity = |position: usize| {
        let detail = format!("1..{QUANTITY_MAX} pieces of one product can be ordered");
        FieldError::new(format!("/items/{position}/quantity"), detail)
    };
    let mut items: Vec<RequestedItem> = Vec::with_capacity(bodies.len());
    for (position, body) in bodies.iter().enumerate() {
        let quantity = body.quantity.and_then(|count| u32::try_from(count).ok());
        let quantity = quantity.filter(|count| (1..=QUANTITY_MAX).contains(count));
        if quantity.is_none() {
            faults.push(bad_quantity(position));
        }
        let product_id = body.product_id.as_deref().and_then(|id| id.parse().ok());
        let Some(product_id) = product_id else {
            faults.push(unknown_product(position));
            continue;
        };
        let quantity = quantity.unwrap_or(0);
        let known = items.iter_mut().find(|item| item.product_id == product_id);
        match known {
            Some(item) if item.quantity + quantity > QUANTITY_MAX => {
                faults.push(bad_quantity(position));
            }
            Some(item) => item.quantity += quantity,
            None => items.push(RequestedItem { position, product_id, quantity }),
        }
    }
    items
}

/// The fault of an item whose product cannot be ordered.
pub(crate) fn unknown_product(position: usize) -> FieldError {
    let pointer = format!("/items/{position}/product_id");
    FieldError::new(pointer, "no product of this id is for sale")
}

fn bounded(pointer: &str, text: Option<&str>, chars_max: usize, faults: &mut Vec<FieldError>) {
    if text.is_some_and(|text| text.chars().count() > chars_max) {
        let detail = format!("at most {chars_max} characters");
        faults.push(FieldError::new(pointer, detail));
    }
}

/// A command as a body gives it, with the faults found in the body.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    pub(crate) command: OrderCommand,
    pub(crate) reason: Option<String>,
    /// The currency of an amount, which must be the order's.
    pub(crate) currency: Option<Currency>,
    pub(crate) faults: Vec<FieldError>,
}

impl CommandRequest {
    fn new(command: OrderCommand) -> Self {
        Self { command, reason: None, currency: None, faults: Vec::new() }
    }

    /// The same with a reason, which is required.
    fn because(mut self, reason: Option<String>) -> Self {
        const CHARS_MAX: usize = domain::REASON_CHARS_MAX;
        let text = reason.as_deref().unwrap_or_default();
        if text.trim().is_empty() || text.chars().count() > CHARS_MAX {
            let detail = format!("is required, 1..{CHARS_MAX} characters");
            self.faults.push(FieldError::new("/reason", detail));
        }
        Self { reason, ..self }
    }
}

/// The body of a command to an order.
pub(crate) trait CommandBody: Serialize {
    fn read(self) -> CommandRequest;
}

/// `POST /v1/orders/{id}/cancel`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBody {
    reason: Option<String>,
}

impl CommandBody for CancelBody {
    fn read(self) -> CommandRequest {
        CommandRequest::new(OrderCommand::Cancel).because(self.reason)
    }
}

/// `POST /v1/orders/{id}/pay`; may be absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayBody {}

impl CommandBody for PayBody {
    fn read(self) -> CommandRequest {
        CommandRequest::new(OrderCommand::Pay)
    }
}

/// `POST /v1/orders/{id}/ship`; may be absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShipBody {
    carrier: Option<String>,
    tracking: Option<String>,
}

impl CommandBody for ShipBody {
    fn read(self) -> CommandRequest {
        const CHARS_MAX: usize = domain::CARRIER_CHARS_MAX;
        let Self { carrier, tracking } = self;
        let mut faults = Vec::new();
        bounded("/carrier", carrier.as_deref(), CHARS_MAX, &mut faults);
        bounded("/tracking", tracking.as_deref(), CHARS_MAX, &mut faults);
        let command = OrderCommand::Ship { carrier, tracking };
        CommandRequest { faults, ..CommandRequest::new(command) }
    }
}

/// `POST /v1/orders/{id}/deliver`; may be absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliverBody {}

impl CommandBody for DeliverBody {
    fn read(self) -> CommandRequest {
        CommandRequest::new(OrderCommand::Deliver)
    }
}

/// `POST /v1/orders/{id}/refund`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundBody {
    amount: Option<AmountBody>,
    reason: Option<String>,
}

/// An amount in the order's currency: minor units, with or without the currency.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum AmountBody {
    Minor(i64),
    Money(Money),
}

impl CommandBody for RefundBody {
    fn read(self) -> CommandRequest {
        let (amount, currency) = match self.amount {
            None => (None, None),
            Some(AmountBody::Minor(amount)) => (Some(amount), None),
            Some(AmountBody::Money(Money { amount, currency })) => (Some(amount), Some(currency)),
        };
        let mut request = CommandRequest::new(OrderCommand::Refund { amount });
        if amount.is_some_and(|amount| amount < 1) {
            let fault = FieldError::new("/amount", "at least 1 minor unit");
            request.faults.push(fault);
        }
        CommandRequest { currency, ..request }.because(self.reason)
    }
}

/// An order.
#[derive(Debug, Serialize)]
pub(crate) struct OrderResponse<'a> {
    id: OrderId,
    user_id: UserId,
    status: &'static str,
    items: Vec<LineResponse<'a>>,
    total: Money,
    refunded_total: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_until: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Serialize)]
struct LineResponse<'a> {
    product_id: ProductId,
    sku: &'a str,
    title: &'a str,
    quantity: u32,
    unit_price: Money,
    line_total: Money,
}

impl<'a> OrderResponse<'a> {
    pub(crate) fn new(order: &'a Order) -> Self {
        let lines = order.lines.iter().map(|line| LineResponse {
            product_id: line.product_id,
            sku: &line.sku,
            title: &line.title,
            quantity: line.quantity,
            unit_price: line.unit_price,
            line_total: line.line_total,
        });
        let is_unpaid = order.status == domain::OrderStatus::Confirmed;
        Self {
            id: order.id,
            user_id: order.user_id,
            status: order.status.name(),
            items: lines.collect(),
            total: order.total,
            refunded_total: order.refunded_total,
            shipping_address: order.shipping_address.as_ref(),
            note: order.note.as_deref(),
            reserved_until: order.reserved_until.filter(|_| is_unpaid),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

/// `GET /v1/orders/{id}/history`.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryResponse {
    items: Vec<StatusChangeResponse>,
}

#[derive(Debug, Serialize)]
struct StatusChangeResponse {
    at: Time,
    from: Option<&'static str>,
    to: &'static str,
    by: String,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking: Option<String>,
}

impl HistoryResponse {
    pub(crate) fn new(changes: Vec<StatusChange>) -> Self {
        let items = changes.into_iter().map(|change| StatusChangeResponse {
            at: change.at,
            from: change.from.map(domain::OrderStatus::name),
            to: change.to.name(),
            by: change.by,
            reason: change.reason,
            refunded: change.refunded,
            carrier: change.carrier,
            tracking: change.tracking,
        });
        Self { items: items.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(product_id: &str, quantity: i64) -> ItemBody {
        ItemBody {
            product_id: Some(product_id.into()),
            quantity: Some(quantity),
        }
    }

    fn read(items: Vec<ItemBody>, note: Option<String>) -> Result<OrderContent, Vec<FieldError>> {
        PlaceOrderBody { items: Some(items), shipping_address: None, note }.read()
    }

    #[test]
    fn every_fault_is_reported() {
        let good = ProductId::new().to_string();
        let items = vec![
            item(&good, 0),
            item("prod_x", 1),
            item(&good, 1001),
            ItemBody { product_id: None, quantity: None },
        ];
        let faults = read(items, Some("x".repeat(1001))).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/items/0/quantity",
                "/items/1/product_id",
                "/items/2/quantity",
                "/items/3/quantity",
                "/items/3/product_id",
                "/note"
            ]
        );
        assert!(read(vec![], None).is_err());
        assert!(read(vec![item(&good, 1); 101], None).is_err());
    }

    #[test]
    fn quantities_of_a_product_are_added_up() {
        let lamp = ProductId::new().to_string();
        let content = read(vec![item(&lamp, 400), item(&lamp, 600)], None).unwrap();
        assert_eq!((content.items.len(), content.items[0].quantity), (1, 1000));
        assert!(read(vec![item(&lamp, 400), item(&lamp, 601)], None).is_err());
    }
}
