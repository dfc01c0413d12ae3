//! What a client wants, checked and priced.

use chassis::FieldError;
use model::{Id, Listing, Money, PublicationStatus, kinds};
use serde::{Deserialize, Serialize};

use super::{Address, Line, QUANTITY_MAX};

/// Lines of one order. Bounds the work of one reservation and the size of one
/// event.
const LINES_MAX: usize = 100;
/// Characters of a note.
const NOTE_CHARS_MAX: usize = 1000;
/// Fields of a shipping address, and characters of a name and a value. Together
/// with the note they keep an order's row inside a stored value.
const ADDRESS_FIELDS_MAX: usize = 20;
const ADDRESS_CHARS_MAX: (usize, usize) = (40, 200);

/// A request to place an order, checked as far as that is possible without
/// knowing the products.
#[derive(Debug, Clone)]
pub(crate) struct Placing {
    pub(crate) items: Vec<Item>,
    pub(crate) shipping_address: Option<Address>,
    pub(crate) note: Option<String>,
}

/// An item of a request, each product once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// Where it was named first, for whoever has to mend it.
    place: usize,
    pub(crate) product_id: Id<kinds::Product>,
    pub(crate) quantity: u32,
}

/// An item as it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemWanted {
    pub(crate) product_id: Option<String>,
    pub(crate) quantity: Option<i64>,
}

impl Placing {
    /// Checks everything that was sent; a product named twice is added up.
    ///
    /// # Errors
    /// Every field at fault.
    pub(crate) fn parse(
        items: Option<Vec<ItemWanted>>,
        shipping_address: Option<Address>,
        note: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let items = parse_items(items, &mut faults);
        if note
            .as_ref()
            .is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX)
        {
            faults.push(FieldError::new(
                "/note",
                format!("at most {NOTE_CHARS_MAX} characters"),
            ));
        }
        let too_long = |address: &Address| {
            address.len() > ADDRESS_FIELDS_MAX
                || address.iter().any(|(name, value)| {
                    name.chars().count() > ADDRESS_CHARS_MAX.0
                        || value.chars().count() > ADDRESS_CHARS_MAX.1
                })
        };
        if shipping_address.as_ref().is_some_and(too_long) {
            let (name, value) = ADDRESS_CHARS_MAX;
            faults.push(FieldError::new(
                "/shipping_address",
                format!("at most {ADDRESS_FIELDS_MAX} fields; names of at most {name}, values of at most {value} characters"),
            ));
        }
        if faults.is_empty() {
            Ok(Self { items, shipping_address, note })
        } else {
            Err(faults)
        }
    }
}

fn parse_items(items: Option<Vec<ItemWanted>>, faults: &mut Vec<FieldError>) -> Vec<Item> {
    let wanted = items.unwrap_or_default();
    if !(1..=LINES_MAX).contains(&wanted.len()) {
        faults.push(FieldError::new(
            "/items",
            format!("1..{LINES_MAX} items are needed"),
        ));
        return Vec::new();
    }
    let mut items: Vec<Item> = Vec::with_capacity(wanted.len());
    for (place, item) in wanted.iter().enumerate() {
        let product_id = item
            .product_id
            .as_deref()
            .map(str::parse::<Id<kinds::Product>>);
        let quantity = item
            .quantity
            .and_then(|quantity| u32::try_from(quantity).ok());
        let quantity = quantity.filter(|quantity| (1..=QUANTITY_MAX).contains(quantity));
        if quantity.is_none() {
            faults.push(bad_quantity(place));
        }
        let Some(Ok(product_id)) = product_id else {
            faults.push(unknown_product(place));
            continue;
        };
        let quantity = quantity.unwrap_or(0);
        match items
            .iter_mut()
            .find(|other| other.product_id == product_id)
        {
            Some(other) if other.quantity + quantity > QUANTITY_MAX => {
                faults.push(bad_quantity(place));
            }
            Some(other) => other.quantity += quantity,
            None => items.push(Item { place, product_id, quantity }),
        }
    }
    items
}

fn bad_quantity(place: usize) -> FieldError {
    FieldError::new(
        format!("/items/{place}/quantity"),
        format!("1..{QUANTITY_MAX} pieces of one product can be ordered"),
    )
}

fn unknown_product(place: usize) -> FieldError {
    FieldError::new(
        format!("/items/{place}/product_id"),
        "no product of this id is for sale",
    )
}

/// The lines at today's titles and prices, and their total. `listings` says of each
/// item what it is sold as.
///
/// # Errors
/// Every item that is not for sale; several currencies; a total that no amount
/// can hold.
pub(crate) fn price(
    items: &[Item],
    listings: impl IntoIterator<Item = Option<Listing>>,
) -> Result<(Vec<Line>, Money), Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut lines = Vec::with_capacity(items.len());
    for (item, listing) in items.iter().zip(listings) {
        let place = item.place;
        let Some(listing) = listing.filter(is_for_sale) else {
            faults.push(unknown_product(place));
            continue;
        };
        match listing.price.checked_mul(item.quantity) {
            Some(line_total) => lines.push(Line {
                product_id: item.product_id,
                sku: listing.sku,
                title: listing.title,
                quantity: item.quantity,
                unit_price: listing.price,
                line_total,
            }),
            None => faults.push(FieldError::new(
                format!("/items/{place}/quantity"),
                "the total is too large",
            )),
        }
    }
    let currency = lines.first().map(|line| line.unit_price.currency);
    if lines
        .iter()
        .any(|line| Some(line.unit_price.currency) != currency)
    {
        faults.push(FieldError::new(
            "/items",
            "all items of an order must have one currency",
        ));
    }
    let total = currency.and_then(|currency| {
        lines.iter().try_fold(Money::zero(currency), |sum, line| {
            sum.checked_add(line.line_total)
        })
    });
    match total {
        Some(total) if faults.is_empty() => Ok((lines, total)),
        None if faults.is_empty() => Err(vec![FieldError::new("/items", "the total is too large")]),
        _ => Err(faults),
    }
}

/// Whether a product can be ordered.
pub(crate) fn is_for_sale(listing: &Listing) -> bool {
    listing.status == PublicationStatus::Published
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(product_id: &str, quantity: i64) -> ItemWanted {
        ItemWanted {
            product_id: Some(product_id.into()),
            quantity: Some(quantity),
        }
    }

    fn listing(amount: i64, currency: &str) -> Listing {
        Listing {
            product_id: Id::new(),
            sku: "S".into(),
            title: "T".into(),
            price: Money { amount, currency: currency.parse().unwrap() },
            status: PublicationStatus::Published,
        }
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let good = Id::<kinds::Product>::new().to_string();
        let items = vec![
            wanted(&good, 0),
            wanted("prod_x", 1),
            wanted(&good, 1001),
            ItemWanted { product_id: None, quantity: None },
        ];
        let faults = Placing::parse(Some(items), None, Some("x".repeat(1001))).unwrap_err();
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
        assert!(Placing::parse(Some(vec![]), None, None).is_err());
        assert!(Placing::parse(Some(vec![wanted(&good, 1); 101]), None, None).is_err());
        let placing = Placing::parse(
            Some(vec![wanted(&good, 400), wanted(&good, 600)]),
            None,
            None,
        )
        .unwrap();
        assert_eq!((placing.items.len(), placing.items[0].quantity), (1, 1000));
        assert!(
            Placing::parse(
                Some(vec![wanted(&good, 400), wanted(&good, 601)]),
                None,
                None
            )
            .is_err()
        );
    }

    #[test]
    fn currencies_do_not_mix_and_totals_do_not_wrap() {
        let items = [1, 2].map(|quantity| Item { place: 0, product_id: Id::new(), quantity });
        let euros = price(
            &items,
            [250, 250].map(|amount| Some(listing(amount, "EUR"))),
        )
        .unwrap();
        assert_eq!(euros.1.amount, 750);
        let mixed = price(
            &items,
            ["EUR", "USD"].map(|currency| Some(listing(1, currency))),
        );
        assert_eq!(mixed.unwrap_err()[0].pointer, "/items");
        let huge = price(&items, [(); 2].map(|()| Some(listing(i64::MAX / 2, "EUR"))));
        assert_eq!(huge.unwrap_err()[0].detail, "the total is too large");
        let draft = price(
            &items,
            [(); 2]
                .map(|()| Some(Listing { status: PublicationStatus::Draft, ..listing(1, "EUR") })),
        );
        assert_eq!(draft.unwrap_err().len(), 2);
    }
}
