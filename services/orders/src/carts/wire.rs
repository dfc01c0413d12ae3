//! Request bodies of carts.

use chassis::fields::{Fields, ReadFields};
use model::{Address, Email, ShippingMethodId};
use pricing::code_key;
use serde_json::value::RawValue;

use super::domain::{CODE_CHARS_MAX, CODES_MAX, CartFull, CartItem, CartPatch, NAME_CHARS_MAX};
use crate::domain::{LINES_MAX, NOTE_CHARS_MAX, QUANTITY_MAX};
use crate::terms::reading;
use crate::wire::{RequestedItem, at_most};

/// `POST /v1/carts`; without items an empty cart.
#[derive(Default)]
pub(super) struct NewCartBody(pub(super) Vec<CartItem>);

impl ReadFields for NewCartBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let mut items: Vec<CartItem> = Vec::new();
        for (pointer, raw) in fields.list("items", LINES_MAX) {
            let Some(NewItemBody(item)) = fields.object_at(&pointer, raw) else {
                continue;
            };
            let mut known = items.iter_mut();
            match known.find(|known| known.product_id == item.product_id) {
                None => items.push(item),
                Some(known) if known.quantity + item.quantity <= QUANTITY_MAX => {
                    known.quantity += item.quantity;
                }
                Some(known) => {
                    let full = CartFull::Quantity { present: known.quantity };
                    fields.fault(&format!("{pointer}/quantity"), full.to_string());
                }
            }
        }
        Some(Self(items))
    }
}

/// `POST /v1/carts/{id}/items`, and an item of a new cart.
pub(super) struct NewItemBody(pub(super) CartItem);

impl ReadFields for NewItemBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let RequestedItem { product_id, quantity, .. } = RequestedItem::read(fields)?;
        Some(Self(CartItem { product_id, quantity }))
    }
}

/// `PATCH /v1/carts/{id}/items/{product_id}`: the units, 0 to remove the product.
pub(super) struct ItemBody(pub(super) u32);

impl ReadFields for ItemBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require("quantity");
        reading::number(fields, "quantity", 0, QUANTITY_MAX).map(Self)
    }
}

/// `PATCH /v1/carts/{id}`, a merge patch: what is given replaces the whole former value, and a
/// `null` removes it.
pub(super) struct CartBody(pub(super) CartPatch);

impl ReadFields for CartBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self(CartPatch {
            email: fields.patched("email", email),
            name: fields.patched("name", reading::text::<NAME_CHARS_MAX>),
            shipping_address: address(fields, "shipping_address"),
            billing_address: address(fields, "billing_address"),
            shipping_method_id: fields.patched("shipping_method_id", method),
            codes: codes(fields),
            note: fields.patched("note", at_most::<NOTE_CHARS_MAX>),
        }))
    }
}

fn address(fields: &mut Fields<'_>, name: &str) -> Option<Option<Address>> {
    match fields.take_null(name) {
        true => Some(None),
        false => fields.object(name).map(Some),
    }
}

/// A method's id; whether it is offered shows when the cart is priced.
fn method(text: &str) -> Result<ShippingMethodId, String> {
    let id = text.parse();
    id.map_err(|_| "no shipping method has this id".into())
}

/// The codes, of equal ones the first.
fn codes(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    if fields.take_null("codes") {
        return Some(Vec::new());
    }
    if !fields.has("codes") {
        return None;
    }
    let mut codes: Vec<String> = Vec::new();
    let given: Vec<(String, &RawValue)> = fields.list("codes", CODES_MAX);
    for (pointer, raw) in given {
        let code = fields.parsed_at(&pointer, raw, reading::text::<CODE_CHARS_MAX>);
        let is_known = |code: &String| codes.iter().any(|known| code_key(known) == code_key(code));
        codes.extend(code.filter(|code| !is_known(code)));
    }
    Some(codes)
}

fn email(text: &str) -> Result<String, &'static str> {
    Email::choose(text).map(|email| email.to_string())
}

#[cfg(test)]
mod tests {
    use chassis::fields::BodyFault;
    use serde_json::{Value, json};

    use super::*;

    fn read<T: ReadFields>(body: &Value) -> Result<T, Vec<String>> {
        match Fields::read_text(body.to_string().as_bytes()) {
            Ok(read) => Ok(read),
            Err(BodyFault::Invalid(faults)) => {
                Err(faults.into_iter().map(|fault| fault.pointer).collect())
            }
            Err(BodyFault::Unreadable(why)) => Err(vec![why]),
        }
    }

    #[test]
    fn every_fault_of_a_change_has_its_place() {
        let faults = read::<CartBody>(&json!({
            "email": "x", "name": "", "shipping_address": {}, "shipping_method_id": "ship_x",
            "codes": ["SONNE", "", 1], "note": "x".repeat(1001),
        }));
        let mut pointers = faults.err().unwrap();
        pointers.retain(|pointer| !pointer.starts_with("/shipping_address/"));
        assert_eq!(
            pointers,
            [
                "/email",
                "/name",
                "/shipping_method_id",
                "/codes/1",
                "/codes/2",
                "/note"
            ]
        );
        let CartBody(patch) = read(&json!({ "codes": ["A", "a", "B"], "email": null })).unwrap();
        assert_eq!(patch.codes, Some(vec!["A".into(), "B".into()]));
        assert_eq!((patch.email, patch.note), (Some(None), None));
        assert!(read::<CartBody>(&json!({ "codes": vec!["x"; 11] })).is_err());
    }

    #[test]
    fn items_of_a_new_cart_add_up() {
        let lamp = model::ProductId::new();
        let item = |quantity: u32| json!({ "product_id": lamp, "quantity": quantity });
        let NewCartBody(items) = read(&json!({ "items": [item(1), item(2)] })).unwrap();
        assert_eq!(
            items.iter().map(|item| item.quantity).collect::<Vec<_>>(),
            [3]
        );
        let many = read::<NewCartBody>(&json!({ "items": [item(999), item(2)] }));
        assert_eq!(many.err().unwrap(), ["/items/1/quantity"]);
        assert!(read::<NewCartBody>(&json!({ "items": vec![item(1); 101] })).is_err());
        assert!(read::<NewCartBody>(&json!({})).unwrap().0.is_empty());
    }
}
