//! Transactions on address books.
//!
//! An account has at most [`ADDRESS_BOOK_MAX`] entries, so all of them are read to find the
//! present default. No change of one is an event: nobody else keeps an address.

use model::{AddressId, Time, UserId};
use store::{Read, Tx};

use super::ADDRESSES;
use crate::Error;
use crate::domain::{ADDRESS_BOOK_MAX, AddressContent, AddressDefaults, AddressEntry};

/// Adds an entry to an account's address book.
pub(crate) fn add_address(
    tx: &mut Tx<'_>,
    user_id: UserId,
    content: AddressContent,
    now: Time,
) -> Result<(AddressId, AddressEntry), Error> {
    if addresses_of(tx, user_id)?.len() >= ADDRESS_BOOK_MAX {
        return Err(Error::AddressBookFull);
    }
    let (id, entry) = (AddressId::new(), AddressEntry::new(content, now));
    put_address(tx, user_id, id, &entry)?;
    Ok((id, entry))
}

/// An entry of an account's address book.
pub(crate) fn address(
    read: &impl Read,
    user_id: UserId,
    id: AddressId,
) -> Result<AddressEntry, Error> {
    read.get(ADDRESSES, &(user_id, id))?.ok_or(Error::NotFound)
}

/// Writes an entry. What it is the default for, no other entry of the account is from now on.
pub(crate) fn put_address(
    tx: &mut Tx<'_>,
    user_id: UserId,
    id: AddressId,
    entry: &AddressEntry,
) -> Result<(), Error> {
    if entry.defaults != AddressDefaults::default() {
        for (other, former) in addresses_of(tx, user_id)? {
            let defaults = former.defaults.without(entry.defaults);
            if other != id && former.defaults != defaults {
                let updated_at = entry.updated_at;
                let former = AddressEntry { defaults, updated_at, ..former };
                tx.put(ADDRESSES, &(user_id, other), &former)?;
            }
        }
    }
    Ok(tx.put(ADDRESSES, &(user_id, id), entry)?)
}

/// Deletes all entries of an account.
pub(super) fn forget_addresses(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), Error> {
    for (id, _) in addresses_of(tx, user_id)? {
        tx.delete(ADDRESSES, &(user_id, id))?;
    }
    Ok(())
}

/// The entries of an account, oldest first.
pub(crate) fn addresses_of(
    read: &impl Read,
    user_id: UserId,
) -> Result<Vec<(AddressId, AddressEntry)>, Error> {
    let rows = read.scan(ADDRESSES.prefix(&user_id))?;
    let rows = rows.map(|row| row.map(|((_, id), entry)| (id, entry)));
    Ok(rows.collect::<Result<_, _>>()?)
}
