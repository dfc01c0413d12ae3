//! The erasure of customers: of guests, which survives an older copy of the store that is put
//! back, and of accounts, which users publishes.
//!
//! | table | key → value |
//! | --- | --- |
//! | `guests_erased` | customer → when the guest was erased |
//! | `accounts_erased` | user → when the account was erased |
//!
//! **Invariants:** who is on the list beside the store is in the table of guests, or is erased
//! when the store is opened. An erased account gets no order any more, whatever was asked of users
//! before.

use chassis::erasures::Erasures;
use chassis::{Context, check};
use model::{CartId, CustomerId, Time, UserId, kinds, now};
use store::{Read, Store, Table, Tx};

use super::guests;
use crate::{Error, carts, expiry};

const ERASED: Table<CustomerId, Time> = Table::new("guests_erased");
const ACCOUNTS_ERASED: Table<UserId, Time> = Table::new("accounts_erased");

/// Takes in that an account is erased: deletes its cart, and schedules the erasure of its orders.
pub(crate) fn erase_account(tx: &mut Tx<'_>, id: UserId, at: Time) -> Result<(), store::Error> {
    carts::tables::erase(tx, id)?;
    expiry::schedule_erasure(tx, CustomerId::from_uuid(id.uuid()))?;
    tx.put(ACCOUNTS_ERASED, &id, &at)
}

/// Whether an account is erased.
pub(crate) fn is_erased(from: &impl Read, id: UserId) -> Result<bool, store::Error> {
    from.contains(ACCOUNTS_ERASED, &id)
}

/// The list of erased guests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ErasedGuests(Erasures<kinds::Customer>);

impl ErasedGuests {
    /// Opens the list, and erases again whom it names and the store does not know as erased.
    ///
    /// # Errors
    /// When the list cannot be kept or read, or the store fails.
    pub(crate) async fn open(ctx: &Context) -> Result<Self, chassis::Error> {
        let erasures = Erasures::in_folder(&ctx.data_dir);
        let failed = |why| chassis::Error::File { path: erasures.path().to_owned(), why };
        let listed = erasures.read().map_err(failed)?;
        let mut again = Vec::new();
        for id in &listed.ids {
            if !ctx.store.contains(ERASED, id)? {
                again.push(*id);
            }
        }
        for id in again {
            let in_carts = carts_of(&ctx.store, id).await?;
            let erased = ctx.store.write(move |tx| erase(tx, id, in_carts, now()));
            erased.await?;
            tracing::info!(customer = %id, "erased again: an older copy of the store was restored");
        }
        erasures.complete(&listed, &ctx.store, ERASED)?;
        Ok(Self(erasures))
    }

    /// Erases a guest; durable in the list before it is in the store. Their orders are erased in
    /// batches after that, and one that may still be sent once it was.
    ///
    /// # Errors
    /// [`Error::Erasures`] when the list cannot be written.
    pub(crate) async fn erase(&self, store: &Store, id: CustomerId) -> Result<(), Error> {
        let in_carts = carts_of(store, id).await?;
        let list = self.0.clone();
        let erase = move |tx: &mut Tx<'_>| {
            let at = now();
            list.add(id, at).map_err(Error::Erasures)?;
            Ok::<_, Error>(erase(tx, id, in_carts, at)?)
        };
        store.write(erase).await
    }
}

/// The carts that have the address of a guest.
async fn carts_of(store: &Store, id: CustomerId) -> Result<Vec<CartId>, store::Error> {
    let Some(contact) = guests::find(store, id)? else {
        return Ok(Vec::new());
    };
    let store = store.clone();
    check::blocking(move || carts::tables::of_email(&store, &contact.email)).await
}

fn erase(
    tx: &mut Tx<'_>,
    id: CustomerId,
    in_carts: Vec<CartId>,
    at: Time,
) -> Result<(), store::Error> {
    guests::delete(tx, id)?;
    expiry::schedule_erasure(tx, id)?;
    for cart in in_carts {
        carts::tables::delete_cart(tx, cart)?;
    }
    tx.put(ERASED, &id, &at)
}
