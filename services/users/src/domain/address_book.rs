//! Address book: the addresses that an account keeps for its orders.
//!
//! **Invariant:** at most one entry of an account is the default for shipping, and at most one
//! that for billing.

use model::{Address, Time};
use serde::{Deserialize, Serialize};

/// Most entries of an account's address book.
pub(crate) const ADDRESS_BOOK_MAX: usize = 20;

/// What an entry is the default for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressDefaults {
    #[serde(rename = "default_shipping")]
    pub(crate) shipping: bool,
    #[serde(rename = "default_billing")]
    pub(crate) billing: bool,
}

impl AddressDefaults {
    /// What is left once another entry of the account is the default for these.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            shipping: self.shipping && !other.shipping,
            billing: self.billing && !other.billing,
        }
    }
}

/// The content of an entry, as its owner gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressContent {
    pub(crate) address: Address,
    pub(crate) defaults: AddressDefaults,
}

/// A stored entry of an address book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressEntry {
    pub(crate) address: Address,
    pub(crate) defaults: AddressDefaults,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

impl store::Record for AddressEntry {}

impl AddressEntry {
    /// A new entry.
    pub(crate) fn new(content: AddressContent, now: Time) -> Self {
        let AddressContent { address, defaults } = content;
        Self { address, defaults, created_at: now, updated_at: now }
    }

    /// The entry with another content; the same entry if that is no change.
    pub(crate) fn replaced(self, content: AddressContent, now: Time) -> Self {
        let AddressContent { address, defaults } = content;
        if self.address == address && self.defaults == defaults {
            return self;
        }
        Self { address, defaults, updated_at: now, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(line2: Option<&str>, shipping: bool) -> AddressContent {
        let address = Address {
            name: "Ana Lima".into(),
            company: None,
            line1: "Rua 1".into(),
            line2: line2.map(Into::into),
            postal_code: None,
            city: "Porto".into(),
            region: None,
            country: "PT".parse().unwrap(),
            phone: None,
        };
        let defaults = AddressDefaults { shipping, billing: false };
        AddressContent { address, defaults }
    }

    #[test]
    fn a_replacement_by_the_same_is_no_change() {
        let entry = AddressEntry::new(content(None, true), Time(1));
        let same = entry.clone().replaced(content(None, true), Time(2));
        assert_eq!(same, entry);
        let other = entry.replaced(content(None, false), Time(2));
        assert_eq!((other.created_at, other.updated_at), (Time(1), Time(2)));
    }

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let entry = AddressEntry::new(content(Some("3"), true), Time(1));
        let mut golden = b"\x01\x84\xa7address\x85\xa4name\xa8Ana Lima\xa5line1\xa5Rua 1".to_vec();
        golden.extend_from_slice(b"\xa5line2\xa13\xa4city\xa5Porto\xa7country\xa2PT");
        golden
            .extend_from_slice(b"\xa8defaults\x82\xb0default_shipping\xc3\xafdefault_billing\xc2");
        golden.extend_from_slice(b"\xaacreated_at\x01\xaaupdated_at\x01");
        assert_eq!(store::encode(&entry).unwrap(), golden);
        assert_eq!(store::decode::<AddressEntry>(&golden).unwrap(), entry);
    }
}
