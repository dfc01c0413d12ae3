//! Bodies of address books: the fields of an address, and what it is the default for.

use chassis::fields::{Fields, ReadFields, ReadOnly};
use model::{Address, AddressId, Time};
use serde::Serialize;

use crate::Error;
use crate::domain::{AddressContent, AddressDefaults, AddressEntry};

/// The fields of a response that a request may repeat and not change.
const READ_ONLY: &[&str] = &["id", "created_at", "updated_at"];

/// `POST /v1/users/me/addresses` and `PUT …/{id}`
pub(crate) struct AddressBody {
    content: AddressContent,
    read_only: ReadOnly,
}

impl ReadFields for AddressBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let read_only = ReadOnly::read(fields, READ_ONLY);
        let defaults = AddressDefaults {
            shipping: fields.value("default_shipping").unwrap_or_default(),
            billing: fields.value("default_billing").unwrap_or_default(),
        };
        let address = Address::read(fields)?;
        let content = AddressContent { address, defaults };
        Some(Self { content, read_only })
    }
}

impl AddressBody {
    /// The content for the entry that is `shown` so far, or for a new one.
    ///
    /// # Errors
    /// When a read-only field differs.
    pub(crate) fn of(self, shown: Option<&AddressResponse>) -> Result<AddressContent, Error> {
        let faults = self.read_only.faults(&shown);
        match faults.is_empty() {
            true => Ok(self.content),
            false => Err(Error::Invalid(faults)),
        }
    }
}

/// An entry of an address book in a response.
#[derive(Serialize)]
pub(crate) struct AddressResponse {
    id: AddressId,
    #[serde(flatten)]
    address: Address,
    #[serde(flatten)]
    defaults: AddressDefaults,
    created_at: Time,
    updated_at: Time,
}

impl AddressResponse {
    /// An entry.
    pub(crate) fn new(id: AddressId, entry: AddressEntry) -> Self {
        let AddressEntry { address, defaults, created_at, updated_at } = entry;
        Self { id, address, defaults, created_at, updated_at }
    }
}
