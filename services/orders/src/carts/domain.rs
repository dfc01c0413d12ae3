//! The cart: items, details, merging. Pure: no I/O, no clock.
//!
//! **Invariant:** a cart that is changed by these functions, with details within their bounds, has
//! at most [`CART_BYTES_MAX`] bytes as a row.

use std::time::Duration;

use model::{Address, OrderId, ProductId, ShippingMethodId, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::{LINES_MAX, QUANTITY_MAX};

/// Bytes of a cart as a row: a test makes the largest one.
#[cfg(test)]
pub(super) const CART_BYTES_MAX: usize = 16 * 1024;
/// Codes of a cart: pricing tries their combinations.
pub(super) const CODES_MAX: usize = pricing::CODES_MAX;
/// Characters of a code that somebody tries; no valid one is longer.
pub(super) const CODE_CHARS_MAX: usize = 50;
/// Characters of the buyer's name, as of an account's.
pub(super) const NAME_CHARS_MAX: usize = 100;
/// How long a cart is kept that its holder does not ask for.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a use moves the end of a cart, which is two rows of an index.
pub(super) const TOUCHED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A cart in its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cart {
    /// The account that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<UserId>,
    /// The MAC of its token; `None` once it is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<[u8; 16]>,
    /// Each product once, in the order in which they were added.
    pub(super) items: Vec<CartItem>,
    pub(super) details: CartDetails,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    /// When it is deleted, unless it is used before.
    pub(super) until: Time,
    /// The order that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order_id: Option<OrderId>,
}

impl store::Record for Cart {}

/// Some units of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CartItem {
    pub(super) product_id: ProductId,
    pub(super) quantity: u32,
}

/// What the holder sets beside the items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CartDetails {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shipping_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) billing_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shipping_method_id: Option<ShippingMethodId>,
    /// As they were given, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) codes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// Changes of details: a field that is `None` stays as it is.
#[derive(Debug, Default)]
pub(crate) struct CartPatch {
    pub(super) email: Option<Option<String>>,
    pub(super) name: Option<Option<String>>,
    pub(super) shipping_address: Option<Option<Address>>,
    pub(super) billing_address: Option<Option<Address>>,
    pub(super) shipping_method_id: Option<Option<ShippingMethodId>>,
    pub(super) codes: Option<Vec<String>>,
    pub(super) note: Option<Option<String>>,
}

/// Why some units do not fit into a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CartFull {
    #[error("a cart has at most {LINES_MAX} products")]
    Lines,
    #[error("1..{QUANTITY_MAX} pieces of one product can be ordered; {present} are in the cart")]
    Quantity { present: u32 },
}

impl Cart {
    /// An empty cart.
    pub(super) fn new(owner: Option<UserId>, token: [u8; 16], now: Time) -> Self {
        Self {
            owner,
            token: Some(token),
            items: Vec::new(),
            details: CartDetails::default(),
            created_at: now,
            updated_at: now,
            until: now.after(IDLE_MAX),
            order_id: None,
        }
    }

    /// Adds units of a product to those that are there.
    pub(super) fn add(&mut self, added: CartItem) -> Result<(), CartFull> {
        let Some(place) = self.place(added.product_id) else {
            if self.items.len() >= LINES_MAX {
                return Err(CartFull::Lines);
            }
            self.items.push(added);
            return Ok(());
        };
        let item = &mut self.items[place];
        let sum = item.quantity.saturating_add(added.quantity);
        if sum > QUANTITY_MAX {
            return Err(CartFull::Quantity { present: item.quantity });
        }
        item.quantity = sum;
        Ok(())
    }

    /// Sets the units of a product, none to remove it. Returns whether the cart has them now.
    pub(super) fn set(&mut self, product_id: ProductId, quantity: u32) -> bool {
        match self.place(product_id) {
            Some(place) if quantity == 0 => {
                self.items.remove(place);
                true
            }
            Some(place) => {
                self.items[place].quantity = quantity;
                true
            }
            None => quantity == 0,
        }
    }

    fn place(&self, product_id: ProductId) -> Option<usize> {
        let mut items = self.items.iter();
        items.position(|item| item.product_id == product_id)
    }

    /// Takes in an earlier cart: quantities add up, and of the details those count that this one
    /// does not have. Returns what does not fit.
    pub(super) fn merge(&mut self, earlier: Self) -> Vec<CartItem> {
        let mut left_out = Vec::new();
        for CartItem { product_id, quantity } in earlier.items {
            let fitting = match self.place(product_id) {
                Some(place) => quantity.min(QUANTITY_MAX - self.items[place].quantity),
                None => quantity,
            };
            let fits = fitting > 0 && self.add(CartItem { product_id, quantity: fitting }).is_ok();
            let rest = if fits { quantity - fitting } else { quantity };
            if rest > 0 {
                left_out.push(CartItem { product_id, quantity: rest });
            }
        }
        self.details.complete(earlier.details);
        left_out
    }

    /// Moves its end, if that was not done for a day. Returns whether it moved.
    pub(super) fn touch(&mut self, now: Time) -> bool {
        let until = now.after(IDLE_MAX);
        let moves = until.since(self.until) >= TOUCHED_EVERY;
        if moves {
            self.until = until;
        }
        moves
    }
}

impl CartDetails {
    /// Sets what the patch has.
    pub(super) fn apply(&mut self, patch: CartPatch) {
        fn set<T>(field: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *field = given;
            }
        }
        set(&mut self.email, patch.email);
        set(&mut self.name, patch.name);
        set(&mut self.shipping_address, patch.shipping_address);
        set(&mut self.billing_address, patch.billing_address);
        set(&mut self.shipping_method_id, patch.shipping_method_id);
        set(&mut self.codes, patch.codes);
        set(&mut self.note, patch.note);
    }

    /// Takes what is absent here from other details.
    fn complete(&mut self, other: Self) {
        let Self {
            email,
            name,
            shipping_address,
            billing_address,
            shipping_method_id,
            codes,
            note,
        } = other;
        self.email = self.email.take().or(email);
        self.name = self.name.take().or(name);
        self.shipping_address = self.shipping_address.take().or(shipping_address);
        self.billing_address = self.billing_address.take().or(billing_address);
        self.shipping_method_id = self.shipping_method_id.or(shipping_method_id);
        self.note = self.note.take().or(note);
        for code in codes {
            let is_known = |known: &String| pricing::code_key(known) == pricing::code_key(&code);
            if self.codes.len() < CODES_MAX && !self.codes.iter().any(is_known) {
                self.codes.push(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;
    use crate::domain::NOTE_CHARS_MAX;

    fn cart(items: &[(ProductId, u32)]) -> Cart {
        let mut cart = Cart::new(None, [255; 16], Time(1));
        for (product_id, quantity) in items {
            let item = CartItem { product_id: *product_id, quantity: *quantity };
            cart.add(item).unwrap();
        }
        cart
    }

    fn quantities(items: &[CartItem]) -> Vec<(ProductId, u32)> {
        let pair = |item: &CartItem| (item.product_id, item.quantity);
        items.iter().map(pair).collect()
    }

    #[test]
    fn quantities_add_up_to_the_bound_and_lines_to_theirs() {
        let (lamp, chair): (ProductId, ProductId) = (Id::new(), Id::new());
        let mut few = cart(&[(lamp, 400)]);
        few.add(CartItem { product_id: lamp, quantity: 600 })
            .unwrap();
        let more = few.add(CartItem { product_id: lamp, quantity: 1 });
        assert_eq!(more, Err(CartFull::Quantity { present: 1000 }));
        assert!(few.set(lamp, 3) && !few.set(chair, 3));
        assert_eq!(quantities(&few.items), [(lamp, 3)]);
        assert!(few.set(lamp, 0) && few.set(chair, 0));
        assert!(few.items.is_empty());

        let many: Vec<_> = (0..LINES_MAX).map(|_| (Id::new(), 1)).collect();
        let mut many = cart(&many);
        let more = many.add(CartItem { product_id: lamp, quantity: 1 });
        assert_eq!(more, Err(CartFull::Lines));
    }

    #[test]
    fn a_merge_names_what_does_not_fit() {
        let ids: Vec<ProductId> = (0..LINES_MAX).map(|_| Id::new()).collect();
        let (lamp, chair): (ProductId, ProductId) = (ids[0], Id::new());
        for (now, earlier, merged, left_out) in [
            (vec![(lamp, 1)], vec![(lamp, 2)], vec![(lamp, 3)], vec![]),
            (vec![], vec![(lamp, 2)], vec![(lamp, 2)], vec![]),
            (
                vec![(lamp, 999)],
                vec![(chair, 1), (lamp, 2)],
                vec![(lamp, 1000), (chair, 1)],
                vec![(lamp, 1)],
            ),
            (
                ids.iter().map(|id| (*id, 1)).collect(),
                vec![(chair, 5), (lamp, 1)],
                ids.iter()
                    .map(|id| (*id, 1 + u32::from(*id == lamp)))
                    .collect(),
                vec![(chair, 5)],
            ),
        ] {
            let mut into = cart(&now);
            let rest = into.merge(cart(&earlier));
            assert_eq!(quantities(&into.items), merged);
            assert_eq!(quantities(&rest), left_out);
        }
    }

    #[test]
    fn a_merge_keeps_the_details_of_the_later_cart() {
        let mut into = cart(&[]);
        into.details.email = Some("new@example.org".into());
        into.details.codes = vec!["SONNE".into()];
        let mut earlier = cart(&[]);
        earlier.details.email = Some("old@example.org".into());
        earlier.details.note = Some("ring".into());
        earlier.details.codes = vec!["sonne".into(), "regen".into()];
        into.merge(earlier);
        assert_eq!(into.details.email.as_deref(), Some("new@example.org"));
        assert_eq!(into.details.note.as_deref(), Some("ring"));
        assert_eq!(into.details.codes, ["SONNE", "regen"]);
    }

    #[test]
    fn a_use_moves_the_end_once_a_day() {
        let day = Duration::from_secs(24 * 3600);
        let mut cart = cart(&[]);
        let first = cart.until;
        let almost = Time(1).after(day.saturating_sub(Duration::from_millis(1)));
        assert!(!cart.touch(almost) && cart.until == first);
        assert!(
            !cart.touch(Time(0)),
            "a clock that was set back moves nothing"
        );
        assert!(cart.touch(Time(1).after(day)) && cart.until == first.after(day));
    }

    /// Also the exact bytes on disk: a change of a name is a change of format.
    #[test]
    fn the_largest_cart_fits_its_bound() {
        let wide = |chars: usize| "𝄞".repeat(chars);
        let mut address = Address {
            name: wide(200),
            company: Some(wide(200)),
            line1: wide(100),
            line2: Some(String::new()),
            postal_code: Some(String::new()),
            city: String::new(),
            region: Some(String::new()),
            country: "DE".parse().unwrap(),
            phone: Some(String::new()),
        };
        address.city = "x".repeat(Address::BYTES_MAX - address.len_bytes());
        let many: Vec<_> = (0..LINES_MAX).map(|_| (Id::new(), QUANTITY_MAX)).collect();
        let mut cart = cart(&many);
        cart.owner = Some(Id::new());
        cart.details = CartDetails {
            email: Some("x".repeat(254)),
            name: Some(wide(NAME_CHARS_MAX)),
            shipping_address: Some(address.clone()),
            billing_address: Some(address),
            shipping_method_id: Some(Id::new()),
            codes: vec![wide(CODE_CHARS_MAX); CODES_MAX],
            note: Some(wide(NOTE_CHARS_MAX)),
        };
        let bytes = store::encode(&cart).unwrap();
        assert!(bytes.len() <= CART_BYTES_MAX, "{}", bytes.len());
        assert_eq!(store::decode::<Cart>(&bytes).unwrap(), cart);
    }

    #[test]
    fn golden_bytes() {
        let lamp = "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let mut cart = cart(&[(lamp, 2)]);
        cart.token = Some([1; 16]);
        cart.until = Time(3);
        let mut golden = b"\x01\x86\xa5token\xdc\x00\x10".to_vec();
        golden.extend_from_slice(&[1; 16]);
        golden.extend_from_slice(b"\xa5items\x91\x82\xaaproduct_id\xc4\x10");
        golden.extend_from_slice(lamp.uuid().as_bytes());
        golden.extend_from_slice(b"\xa8quantity\x02\xa7details\x80\xaacreated_at\x01");
        golden.extend_from_slice(b"\xaaupdated_at\x01\xa5until\x03");
        assert_eq!(store::encode(&cart).unwrap(), golden);
        assert_eq!(store::decode::<Cart>(&golden).unwrap(), cart);
    }
}
