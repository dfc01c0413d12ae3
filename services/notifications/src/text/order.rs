//! What templates know of an order: the variable `order`.

use mesh::{Contact, OrderChange, OrderDetails, OrderLineDetails};
use model::{Money, OrderId, Time};
use serde::Serialize;

/// The lines of a postal address: under which of the names that front ends use a part of it
/// stands. Parts of one line are separated by blanks.
const ADDRESS_LINES: &[&[&str]] = &[
    &["name", "full_name", "first_name", "last_name"],
    &["company"],
    &["line1", "address1", "address", "street", "house_number"],
    &["line2", "address2"],
    &["postal_code", "postcode", "zip", "city"],
    &["region", "state", "province"],
    &["country"],
    &["phone"],
];

/// An order, for templates. Absent fields are `none`.
#[derive(Serialize)]
pub(crate) struct OrderData {
    id: OrderId,
    number: Option<String>,
    status: String,
    items: Vec<ItemData>,
    discount: Option<Money>,
    shipping: Option<Money>,
    shipping_method: Option<String>,
    tax: Option<Money>,
    /// Whether the tax is added to the prices.
    has_net_prices: bool,
    total: Money,
    refunded_total: Money,
    /// Lines of text.
    address: Vec<String>,
    note: Option<String>,
    carrier: Option<String>,
    tracking: Option<String>,
    tracking_url: Option<String>,
    /// Who made the change: `buyer`, `staff`, `products`, `payments` or `expiry`.
    by: Option<String>,
    /// Why.
    reason: Option<String>,
    placed_at: Time,
    buyer: Option<BuyerData>,
}

#[derive(Serialize)]
struct ItemData {
    sku: String,
    title: String,
    quantity: u32,
    unit_price: Money,
    line_total: Money,
    /// The units that there were, of a line that could not be reserved.
    available: Option<i64>,
}

/// The buyer, in messages to staff.
#[derive(Serialize)]
struct BuyerData {
    name: String,
    email: String,
}

impl OrderData {
    pub(crate) fn new(id: OrderId, details: OrderDetails) -> Self {
        let tracking = details.carrier.as_deref().zip(details.tracking.as_deref());
        let tracking_url =
            tracking.and_then(|(carrier, number)| model::tracking_url(carrier, number));
        let (by, reason) = match details.change {
            Some(OrderChange { by, reason }) => (Some(by), reason),
            None => (None, None),
        };
        Self {
            id,
            number: details.number,
            status: details.status,
            items: details.items.into_iter().map(ItemData::from).collect(),
            discount: details.charges.discount,
            shipping: details.charges.shipping,
            shipping_method: details.charges.shipping_method,
            tax: details.charges.tax,
            has_net_prices: details.charges.has_net_prices,
            total: details.total,
            refunded_total: details.refunded_total,
            address: address(details.shipping_address),
            note: details.note,
            carrier: details.carrier,
            tracking: details.tracking,
            tracking_url,
            by,
            reason,
            placed_at: details.placed_at,
            buyer: None,
        }
    }

    /// What people call it by: its number, or its id until it has one.
    pub(crate) fn name(&self) -> String {
        self.number.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// The same with its buyer, for staff.
    pub(crate) fn with_buyer(self, contact: Option<Contact>) -> Self {
        let buyer = contact.map(|Contact { name, email, .. }| BuyerData { name, email });
        Self { buyer, ..self }
    }
}

impl From<OrderLineDetails> for ItemData {
    fn from(line: OrderLineDetails) -> Self {
        let OrderLineDetails { sku, title, quantity, unit_price, line_total, available, .. } = line;
        Self { sku, title, quantity, unit_price, line_total, available }
    }
}

/// An address as it is written on a parcel; what has a name of the front end's own comes last.
fn address(mut parts: std::collections::BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for names in ADDRESS_LINES {
        let parts = names.iter().filter_map(|name| parts.remove(*name));
        let parts: Vec<_> = parts.filter(|part| !part.trim().is_empty()).collect();
        if !parts.is_empty() {
            lines.push(parts.join(" "));
        }
    }
    let others = parts.into_values().filter(|part| !part.trim().is_empty());
    lines.extend(others);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_on_a_parcel() {
        let parts = |parts: &[(&str, &str)]| {
            let parts = parts
                .iter()
                .map(|(name, part)| ((*name).into(), (*part).into()));
            address(parts.collect())
        };
        let german = [
            ("city", "Köln"),
            ("country", "DE"),
            ("floor", "3rd floor"),
            ("line1", "Domplatz 1"),
            ("line2", " "),
            ("name", "Ann Mori"),
            ("postal_code", "50667"),
        ];
        assert_eq!(
            parts(&german),
            ["Ann Mori", "Domplatz 1", "50667 Köln", "DE", "3rd floor"]
        );
        assert!(parts(&[]).is_empty());
    }
}
