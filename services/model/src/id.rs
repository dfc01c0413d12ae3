//! Typed ids: a prefix that says what it names and a UUIDv7, as TypeID writes
//! them (`order_01h455vb4pex5vsknk084sn02q`; TypeID specification 0.3).
//!
//! **Invariant:** ids made one after another in a process sort in that order, so
//! a table keyed by id is a table in order of creation.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::Time;

/// Bits of a UUIDv7 after its milliseconds since 1970 (RFC 9562 §5.7).
const RANDOM_BITS: u32 = 80;
/// The last millisecond that a UUIDv7 can have.
const MILLIS_MAX: u128 = (1 << 48) - 1;

/// What an id names. Implemented by the empty types in [`kinds`].
pub trait Kind: StaticType {}

/// The kinds of things that have ids.
pub mod kinds {
    use super::{Kind, StaticType};

    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {$(
            $(#[$doc])*
            #[derive(Debug, Default, Clone, Copy)]
            pub struct $name;
            impl StaticType for $name { const TYPE: &'static str = $prefix; }
            impl Kind for $name {}
        )*};
    }
    kinds! {
        /// A person's account.
        User = "user",
        /// A family of tokens made by one login.
        Session = "sess",
        /// A key with which a program uses the API.
        ApiKey = "key",
        /// A requested change of an account's e-mail address.
        EmailChange = "change",
        /// An entry of an account's address book.
        Address = "addr",
        /// Something sold.
        Product = "prod",
        /// A cart: the items of an order that is not placed yet.
        Cart = "cart",
        /// A purchase.
        Order = "order",
        /// An attempt to pay an order.
        Payment = "pay",
        /// Money that a payment provider is asked to send back.
        Refund = "refund",
        /// A message in a person's inbox.
        Notification = "notif",
        /// An outbound mail.
        Mail = "mail",
        /// Somebody else's program that is told of events.
        Webhook = "hook",
        /// One event on its way to such a program.
        Message = "msg",
        /// A person who buys, as staff see them.
        Customer = "cust",
        /// A way to send goods, with its prices.
        ShippingMethod = "ship",
        /// A rate of tax at a place.
        TaxRate = "tax",
        /// An offer that takes something off.
        Promotion = "promo",
    }
}

/// The id of an account.
pub type UserId = Id<kinds::User>;
/// The id of a customer: a guest's own, or an account's under another prefix.
pub type CustomerId = Id<kinds::Customer>;
/// The id of a session.
pub type SessionId = Id<kinds::Session>;
/// The id of an API key.
pub type ApiKeyId = Id<kinds::ApiKey>;
/// The id of a requested change of address.
pub type EmailChangeId = Id<kinds::EmailChange>;
/// The id of an entry of an address book.
pub type AddressId = Id<kinds::Address>;
/// The id of a product.
pub type ProductId = Id<kinds::Product>;
/// The id of a cart.
pub type CartId = Id<kinds::Cart>;
/// The id of an order.
pub type OrderId = Id<kinds::Order>;
/// The id of a shipping method.
pub type ShippingMethodId = Id<kinds::ShippingMethod>;
/// The id of a tax rate.
pub type TaxRateId = Id<kinds::TaxRate>;
/// The id of a promotion.
pub type PromotionId = Id<kinds::Promotion>;

/// An id of one kind. On the wire its TypeID text; in stored records and keys
/// its 16 bytes.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// The id that nothing has.
    pub const NIL: Self = Self { uuid: Uuid::nil(), kind: PhantomData };

    /// A fresh id, later in order than every one this process made before.
    #[expect(
        clippy::new_without_default,
        reason = "a default id would be a surprise: each is unique"
    )]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// The id with these 16 bytes, for derived ids that must come out the same
    /// when an event is handled again.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// The least id that can be made at that moment: what was made before it sorts before.
    pub fn first_at(at: Time) -> Self {
        let millis = u128::try_from(at.0).unwrap_or(0).min(MILLIS_MAX);
        Self::from_uuid(Uuid::from_u128(millis << RANDOM_BITS))
    }

    /// When the id was made, by the clock of the process that made it. Of ids that one process
    /// made, the later one has no earlier moment, even if the clock was set back.
    pub fn made_at(&self) -> Time {
        let millis = self.uuid.as_u128() >> RANDOM_BITS;
        Time(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The id directly after it in order, as a bound of a scan.
    #[must_use]
    pub fn following(self) -> Self {
        Self::from_uuid(Uuid::from_u128(self.uuid.as_u128().saturating_add(1)))
    }

    /// The id directly before it in order, as a bound of a scan.
    #[must_use]
    pub fn preceding(self) -> Self {
        Self::from_uuid(Uuid::from_u128(self.uuid.as_u128().saturating_sub(1)))
    }

    /// The 128 bits behind the text.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form `{0}_` and 26 characters")]
pub struct NotAnId(&'static str);

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        TypeSafeId::<K>::from_str(text)
            .map(|id| Self::from_uuid(id.uuid()))
            .map_err(|_| NotAnId(K::TYPE))
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TypeSafeId::<K>::from_uuid(self.uuid).fmt(f)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.uuid.serialize(to)
        }
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            Uuid::deserialize(from).map(Self::from_uuid)
        }
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example of the TypeID specification, and what must be refused.
    #[test]
    fn text_and_bytes() {
        let text = "user_01h455vb4pex5vsknk084sn02q";
        let id: Id<kinds::User> = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(Id::<kinds::User>::from_uuid(id.uuid()), id);
        for wrong in [
            "",
            "user",
            "order_01h455vb4pex5vsknk084sn02q",
            "user_01H455VB4PEX5VSKNK084SN02Q",
            "user_81h455vb4pex5vsknk084sn02q",
        ] {
            assert!(wrong.parse::<Id<kinds::User>>().is_err(), "{wrong}");
        }
        let made: Vec<_> = (0..1000).map(|_| Id::<kinds::Order>::new()).collect();
        assert!(made.is_sorted());
        let first = Id::<kinds::Order>::first_at(made[0].made_at());
        assert!(first < made[0] && first.made_at() == made[0].made_at());
        assert_eq!(made[0].following().preceding(), made[0]);
        assert!(made[0].following() > made[0] && made[0].following() <= made[1]);
        assert!(Id::first_at(Time(made[0].made_at().0 + 1)) > made[0]);
        assert_eq!(Id::<kinds::Order>::first_at(Time(-1)).made_at(), Time(0));
    }
}
