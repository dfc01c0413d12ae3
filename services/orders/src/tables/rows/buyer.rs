//! The row part of a guest, within the row of an order.

use model::{CustomerId, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::{Buyer, BuyerContact, Guest};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GuestRow {
    id: CustomerId,
    /// Absent once it is erased, as the name is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl GuestRow {
    /// The row part; `None` for an account.
    pub(super) fn of(buyer: &Buyer) -> Option<Self> {
        let Buyer::Guest(Guest { id, contact }) = buyer else {
            return None;
        };
        let contact = contact.clone();
        let (email, name) = contact
            .map(|BuyerContact { email, name }| (email, name))
            .unzip();
        Some(Self { id: *id, email, name })
    }
}

/// The buyer of a row, which has an account or a guest.
pub(super) fn buyer(user_id: Option<UserId>, guest: Option<GuestRow>) -> Buyer {
    if let Some(user_id) = user_id {
        return Buyer::Account(user_id);
    }
    let nobody = GuestRow { id: CustomerId::NIL, email: None, name: None };
    let GuestRow { id, email, name } = guest.unwrap_or(nobody);
    let contact = email.zip(name);
    let contact = contact.map(|(email, name)| BuyerContact { email, name });
    Buyer::Guest(Guest { id, contact })
}
