//! Customers: guests, whose contacts lie here, and accounts, whose contacts lie in users.
//!
//! | module | holds |
//! | --- | --- |
//! | `guests` | the guests: rows, indexes, search, their part of the consistency check |
//! | `claim` | a guest's order that becomes an account's |
//! | `erasure` | erasing a guest, also again after an older copy is put back |
//! | `http` | the handlers |
//!
//! **Invariant:** the id of a customer says when they came, so lists are in order of ids, whether
//! guests or accounts.

pub(crate) mod claim;
pub(crate) mod erasure;
pub(crate) mod guests;
pub(crate) mod http;

use mesh::AccountContact;
use model::{CustomerId, Time, UserId};

use crate::domain::BuyerContact;

/// A person who bought or registered.
pub(crate) struct Customer {
    pub(crate) id: CustomerId,
    /// `None` for a guest.
    pub(crate) user_id: Option<UserId>,
    pub(crate) contact: BuyerContact,
    pub(crate) registered_at: Option<Time>,
}

impl From<AccountContact> for Customer {
    fn from(account: AccountContact) -> Self {
        let AccountContact { user_id, email, name, registered_at } = account;
        Self {
            id: CustomerId::from_uuid(user_id.uuid()),
            user_id: Some(user_id),
            contact: BuyerContact { email, name },
            registered_at: Some(registered_at),
        }
    }
}

impl From<(CustomerId, BuyerContact)> for Customer {
    fn from((id, contact): (CustomerId, BuyerContact)) -> Self {
        Self { id, user_id: None, contact, registered_at: None }
    }
}
