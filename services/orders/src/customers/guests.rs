//! The guests of a shop: who ordered without an account.
//!
//! | table | key → value |
//! | --- | --- |
//! | `guests` | customer → the contact of their latest order |
//! | `guests_by_email` | the address, in the form in which addresses are compared → the customer |
//! | `guests_by_part` | a part of the address or name, customer |
//!
//! **Invariants:** an address, whatever its case, is one customer until it is erased; after that
//! it is another one. The indexes change with the row, in [`Guests::keep`] and [`delete`] only.

use std::sync::Arc;
use std::time::Duration;

use chassis::check::Finding;
use chassis::mac::MacKey;
use chassis::people_index::{IndexedPerson, PeopleIndex};
use chassis::rate_limit::{self, CounterKey, Rule};
use mesh::PEOPLE_MAX;
use model::{CustomerId, Email, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use crate::Error;
use crate::domain::{Buyer, BuyerContact, Guest, Order};
use crate::tables::ERASURES;

const GUESTS: Table<CustomerId, GuestRow> = Table::new("guests");
const BY_EMAIL: Table<String, CustomerId> = Table::new("guests_by_email");
const BY_PART: PeopleIndex<kinds::Customer> = PeopleIndex::new("guests_by_part");

/// Orders of guests under one address: more than one person places, and too few to flood the inbox
/// of another with mails about orders.
const ORDERS_OF_EMAIL: Rule = Rule::Window { most: 20, span: Duration::from_secs(3600) };

/// A guest in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GuestRow {
    email: String,
    name: String,
}

impl store::Record for GuestRow {}

impl From<GuestRow> for BuyerContact {
    fn from(GuestRow { email, name }: GuestRow) -> Self {
        Self { email, name }
    }
}

/// Keeps guests, and counts their orders by a keyed hash of the address. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guests {
    key: Arc<MacKey>,
}

impl Guests {
    pub(crate) fn new(key: Arc<MacKey>) -> Self {
        Self { key }
    }

    /// Keeps the contact of a guest who orders, and counts the order.
    ///
    /// # Errors
    /// [`Error::GuestThrottled`] where too many were placed with the address.
    pub(crate) fn keep(
        &self,
        tx: &mut Tx<'_>,
        id: CustomerId,
        contact: &BuyerContact,
        now: Time,
    ) -> Result<(), Error> {
        let address = email_key(&contact.email);
        let counter: CounterKey = self.key.mac(&[b"guest's orders", address.as_bytes()]);
        let wait = rate_limit::wait(tx, &counter, ORDERS_OF_EMAIL, now)?;
        if !wait.is_zero() {
            return Err(Error::GuestThrottled(wait));
        }
        rate_limit::count(tx, &counter, ORDERS_OF_EMAIL, now)?;
        let BuyerContact { email, name } = contact.clone();
        let (before, after) = (tx.get(GUESTS, &id)?, GuestRow { email, name });
        if before.as_ref() == Some(&after) {
            return Ok(());
        }
        BY_PART.update(tx, id, before.as_ref().map(indexed), Some(indexed(&after)))?;
        tx.put(BY_EMAIL, &address, &id)?;
        Ok(tx.put(GUESTS, &id, &after)?)
    }
}

/// The form in which addresses are compared.
pub(crate) fn email_key(email: &str) -> String {
    match Email::parse(email) {
        Ok(email) => email.key(),
        Err(_) => email.to_lowercase(),
    }
}

/// The guest of an address, if it ordered before.
pub(crate) fn of_email(from: &impl Read, email: &str) -> Result<Option<CustomerId>, store::Error> {
    from.get(BY_EMAIL, &email_key(email))
}

/// Deletes a guest, if there is one of this id.
pub(crate) fn delete(tx: &mut Tx<'_>, id: CustomerId) -> Result<(), store::Error> {
    let Some(row) = tx.get(GUESTS, &id)? else {
        return Ok(());
    };
    BY_PART.update(tx, id, Some(indexed(&row)), None)?;
    tx.delete(BY_EMAIL, &email_key(&row.email))?;
    tx.delete(GUESTS, &id)
}

/// The contact of a guest.
pub(crate) fn find(from: &impl Read, id: CustomerId) -> Result<Option<BuyerContact>, store::Error> {
    Ok(from.get(GUESTS, &id)?.map(BuyerContact::from))
}

/// The guests that a text finds, at most [`PEOPLE_MAX`].
pub(crate) fn matching(
    from: &impl Read,
    text: &str,
) -> Result<Vec<(CustomerId, BuyerContact)>, store::Error> {
    let find = |id| from.get(GUESTS, &id);
    let found = BY_PART.matching(from, text, PEOPLE_MAX, find, indexed)?;
    Ok(found
        .into_iter()
        .map(|(id, row)| (id, row.into()))
        .collect())
}

/// The guests who came before one, or of all, the newest first.
pub(crate) fn before(
    from: &impl Read,
    before: Option<CustomerId>,
    limit: usize,
) -> Result<Vec<(CustomerId, BuyerContact)>, store::Error> {
    let all = GUESTS.all().newest_first();
    let rows = match before {
        Some(id) => all.before(&id),
        None => all,
    };
    let rows = from.scan(rows)?.take(limit);
    rows.map(|row| row.map(|(id, row)| (id, row.into())))
        .collect()
}

/// Compares guests with the index by address, for the consistency check.
pub(crate) fn compare(from: &impl Read) -> Result<Finding, store::Error> {
    let mut finding = Finding::of("guests");
    let mut rows = 0;
    for row in from.scan(GUESTS.all())? {
        let (id, guest) = row?;
        finding.compare();
        rows += 1;
        if of_email(from, &guest.email)? != Some(id) {
            finding.fault(format!("{id} is not found by its address"));
        }
    }
    let addresses = from.scan(BY_EMAIL.all())?;
    let addresses: u64 = addresses.map(|row| row.map(|_| 1)).sum::<Result<_, _>>()?;
    if addresses != rows {
        finding.fault("addresses lead to guests that are not there");
    }
    Ok(finding)
}

/// Whether the guest of an order is there, as long as the order is not erased or about to be.
pub(crate) fn has_buyer(from: &impl Read, order: &Order) -> Result<bool, store::Error> {
    match &order.buyer {
        Buyer::Guest(Guest { id, contact: Some(_) }) => {
            Ok(find(from, *id)?.is_some() || from.contains(ERASURES, id)?)
        }
        Buyer::Guest(_) | Buyer::Account(_) => Ok(true),
    }
}

fn indexed(GuestRow { email, name }: &GuestRow) -> IndexedPerson<'_> {
    IndexedPerson { email, name }
}
