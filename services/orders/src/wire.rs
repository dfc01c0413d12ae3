//! Request and response bodies.
//!
//! A request body is read with `chassis::fields`, which collects every fault with the
//! pointer of its field. **Invariant:** the value of a valid body is serialised to the same
//! text in every version: the fingerprint of an `Idempotency-Key` is a hash of it, so the
//! names and the order of its fields must stay.

mod charges;
mod commands;
mod responses;

use chassis::FieldError;
use chassis::fields::{Fields, ReadFields};
use model::{Address, ProductId, ShippingMethodId};
use pricing::{CODES_MAX, code_key};
use serde::Serialize;

pub(crate) use self::commands::{
    CancelBody, CommandRequest, CorrectionBody, DeliverBody, GivenAmount, NoteBody, PayBody,
    RefundBody, ShipBody, UndoStepBody, expected_total,
};
pub(crate) use self::responses::{
    CustomerResponse, HistoryEntryResponse, HistoryResponse, OrderResponse, OrderWithBuyer,
};
use crate::domain;

/// Characters of a code that a buyer gives: more than any promotion has.
const CODE_CHARS_MAX: usize = 100;

/// `POST /v1/orders`, checked as far as that is possible without the products.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderContent {
    /// Each product once.
    pub(crate) items: Vec<RequestedItem>,
    pub(crate) shipping_address: Option<Address>,
    pub(crate) note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) billing_address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shipping_method_id: Option<ShippingMethodId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) codes: Vec<String>,
    /// What the buyer agreed to pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_total: Option<GivenAmount>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RequestedItem {
    /// Its position in the request, for the pointers of faults.
    #[serde(skip)]
    pub(crate) position: usize,
    pub(crate) product_id: ProductId,
    pub(crate) quantity: u32,
}

impl ReadFields for OrderContent {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let items = items(fields);
        let note = fields.optional("note", at_most::<{ domain::NOTE_CHARS_MAX }>);
        let shipping_address = fields.object("shipping_address");
        let billing_address = fields.object("billing_address");
        let shipping_method_id = fields.optional("shipping_method_id", shipping_method_id);
        let codes = codes(fields);
        let expected_total = expected_total(fields);
        Some(Self {
            items,
            shipping_address,
            note,
            billing_address,
            shipping_method_id,
            codes,
            expected_total,
        })
    }
}

fn shipping_method_id(id: &str) -> Result<ShippingMethodId, &'static str> {
    id.parse()
        .map_err(|_| "there is no shipping method of this id")
}

/// Codes as they are compared: once each.
pub(crate) fn codes(fields: &mut Fields<'_>) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    for (pointer, raw) in fields.list("codes", CODES_MAX) {
        let code = fields.parsed_at(&pointer, raw, code);
        let is_new = |code: &String| codes.iter().all(|one| code_key(one) != code_key(code));
        codes.extend(code.filter(is_new));
    }
    codes
}

fn code(given: &str) -> Result<String, String> {
    let code = model::normalised(given);
    match (1..=CODE_CHARS_MAX).contains(&code.chars().count()) && model::is_legible(&code) {
        true => Ok(code.into_owned()),
        false => Err(format!("must have 1..{CODE_CHARS_MAX} legible characters")),
    }
}

/// The items; the quantities of a product that is named twice are added up.
fn items(fields: &mut Fields<'_>) -> Vec<RequestedItem> {
    let entries = fields.list("items", domain::LINES_MAX);
    if entries.is_empty() {
        let detail = format!("1..{} items are needed", domain::LINES_MAX);
        fields.fault("/items", detail);
    }
    let mut items: Vec<RequestedItem> = Vec::with_capacity(entries.len());
    for (position, (pointer, raw)) in entries.into_iter().enumerate() {
        let Some(item) = fields.object_at::<RequestedItem>(&pointer, raw) else {
            continue;
        };
        let RequestedItem { product_id, quantity: more, .. } = item;
        match items.iter_mut().find(|item| item.product_id == product_id) {
            Some(item) => match quantity((item.quantity + more).into()) {
                Ok(sum) => item.quantity = sum,
                Err(why) => fields.fault(&format!("{pointer}/quantity"), why),
            },
            None => items.push(RequestedItem { position, ..item }),
        }
    }
    items
}

impl ReadFields for RequestedItem {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require("quantity");
        let quantity = fields.parsed("quantity", quantity);
        let product_id = fields.required("product_id", |id| id.parse().map_err(|_| NOT_FOR_SALE));
        Some(Self { position: 0, product_id: product_id?, quantity: quantity? })
    }
}

fn quantity(count: i64) -> Result<u32, String> {
    const QUANTITY_MAX: u32 = domain::QUANTITY_MAX;
    let quantity = u32::try_from(count).ok();
    quantity
        .filter(|quantity| (1..=QUANTITY_MAX).contains(quantity))
        .ok_or_else(|| format!("1..{QUANTITY_MAX} pieces of one product can be ordered"))
}

const NOT_FOR_SALE: &str = "no product of this id is for sale";

/// The fault of an item whose product cannot be ordered.
pub(crate) fn unknown_product(position: usize) -> FieldError {
    FieldError::new(format!("/items/{position}/product_id"), NOT_FOR_SALE)
}

/// A text of at most that many characters.
pub(crate) fn at_most<const CHARS_MAX: usize>(text: &str) -> Result<String, String> {
    if text.chars().count() > CHARS_MAX {
        return Err(format!("at most {CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(items: &[Value], note: &str) -> Result<OrderContent, Vec<FieldError>> {
        let body = json!({ "items": items, "note": note }).to_string();
        let content = Fields::read_checked::<OrderContent>(body.as_bytes());
        content.unwrap().valid()
    }

    fn item(product_id: &str, quantity: i64) -> Value {
        json!({ "product_id": product_id, "quantity": quantity })
    }

    #[test]
    fn every_fault_is_reported() {
        let good = ProductId::new().to_string();
        let items = [
            item(&good, 0),
            item("prod_x", 1),
            item(&good, 1001),
            json!({}),
        ];
        let faults = read(&items, &"x".repeat(1001)).unwrap_err();
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
        assert!(read(&[], "").is_err());
        assert!(read(&vec![item(&good, 1); 101], "").is_err());
    }

    #[test]
    fn quantities_of_a_product_are_added_up() {
        let lamp = ProductId::new().to_string();
        let content = read(&[item(&lamp, 400), item(&lamp, 600)], "").unwrap();
        assert_eq!((content.items.len(), content.items[0].quantity), (1, 1000));
        assert!(read(&[item(&lamp, 400), item(&lamp, 601)], "").is_err());
    }
}
