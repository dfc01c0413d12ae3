//! The rows of carts and their indexes.
//!
//! | table | key → value |
//! | --- | --- |
//! | `carts` | cart → the cart |
//! | `carts_by_owner` | account → its latest cart, until that is [stripped](strip) |
//! | `carts_due` | when it is deleted, cart: every cart |
//! | `carts_kept` | 0 → the number of carts |
//!
//! **Invariant:** the indexes and the count change with the row, in [`insert`], [`update`] and
//! [`delete`] only.

use std::time::Duration;

use model::{CartId, OrderId, Time, UserId};
use store::{Read, Table, Tx};

use super::domain::{Cart, CartDetails, IDLE_MAX, TOUCHED_EVERY};
use crate::Error;
use crate::customers::guests::email_key;
use crate::domain::OrderStatus;
use crate::tables::status;

pub(super) const CARTS: Table<CartId, Cart> = Table::new("carts");
pub(super) const BY_OWNER: Table<UserId, CartId> = Table::new("carts_by_owner");
pub(super) const DUE: Table<(Time, CartId), ()> = Table::new("carts_due");
pub(super) const KEPT: Table<u16, u64> = Table::new("carts_kept");

/// Carts that a shop keeps, of 16 KiB at most and of a few hundred bytes usually.
pub(super) const CARTS_MAX: u64 = 100_000;
/// Carts deleted in one transaction.
const BATCH_MAX: usize = 50;
/// How long a cart was certainly not used that makes room for another.
const IDLE_ENOUGH: Duration = TOUCHED_EVERY;

/// Writes a new cart. Where the shop has as many as it keeps, the one that was idle for longest
/// goes, if that is a day at least.
///
/// # Errors
/// [`Error::TooManyCarts`] where all carts of the shop were used within a day.
pub(super) fn insert(tx: &mut Tx<'_>, id: CartId, cart: &Cart, now: Time) -> Result<(), Error> {
    if kept(tx)? >= CARTS_MAX {
        let first = tx.scan(DUE.all())?.next().transpose()?;
        match first {
            Some(((until, oldest), ())) if until <= now.after(IDLE_MAX - IDLE_ENOUGH) => {
                delete_due(tx, until, oldest)?;
            }
            _ => return Err(Error::TooManyCarts),
        }
    }
    let kept = kept(tx)? + 1;
    tx.put(KEPT, &0, &kept)?;
    tx.put(DUE, &(cart.until, id), &())?;
    index(tx, id, cart)?;
    Ok(tx.put(CARTS, &id, cart)?)
}

/// Replaces a cart.
pub(super) fn update(
    tx: &mut Tx<'_>,
    id: CartId,
    before: &Cart,
    after: &Cart,
) -> Result<(), store::Error> {
    if before == after {
        return Ok(());
    }
    if before.until != after.until {
        tx.delete(DUE, &(before.until, id))?;
        tx.put(DUE, &(after.until, id), &())?;
    }
    if open_owner(before) != open_owner(after) {
        unindex(tx, id, before)?;
        index(tx, id, after)?;
    }
    tx.put(CARTS, &id, after)
}

/// Deletes a cart.
pub(super) fn delete(tx: &mut Tx<'_>, id: CartId, cart: &Cart) -> Result<(), store::Error> {
    unindex(tx, id, cart)?;
    tx.delete(DUE, &(cart.until, id))?;
    tx.delete(CARTS, &id)?;
    let kept = kept(tx)?.saturating_sub(1);
    tx.put(KEPT, &0, &kept)
}

/// The account that has it as its latest.
pub(super) fn open_owner(cart: &Cart) -> Option<UserId> {
    let is_stripped = cart.order_id.is_some() && cart.items.is_empty();
    cart.owner.filter(|_| !is_stripped)
}

/// The order that a cart became. One that was rejected for lack of stock counts as none, so that
/// its buyer can change the cart and try again.
pub(super) fn became(from: &impl Read, cart: &Cart) -> Result<Option<OrderId>, store::Error> {
    let Some(id) = cart.order_id else {
        return Ok(None);
    };
    let is_rejected = status(from, id)? == Some(OrderStatus::Rejected);
    Ok(Some(id).filter(|_| !is_rejected))
}

/// Takes everything out of a cart that became an order but the id of that.
pub(super) fn strip(tx: &mut Tx<'_>, id: CartId, before: &Cart) -> Result<(), store::Error> {
    let items = Vec::new();
    let after = Cart { items, details: CartDetails::default(), ..before.clone() };
    update(tx, id, before, &after)
}

/// A cart that is ordered, as it was read for that.
pub(crate) struct OrderedCart {
    pub(super) id: CartId,
    pub(super) cart: Cart,
}

/// What became of a cart since it was read.
pub(crate) enum CartSince {
    /// It can be ordered.
    AsRead,
    Changed,
    Became(OrderId),
}

impl OrderedCart {
    /// What became of it.
    pub(crate) fn since(&self, from: &impl Read) -> Result<CartSince, store::Error> {
        let Some(now) = from.get(CARTS, &self.id)? else {
            return Ok(CartSince::Changed);
        };
        if let Some(id) = became(from, &now)? {
            return Ok(CartSince::Became(id));
        }
        let read = &self.cart;
        let is_same =
            (&now.items, &now.details, now.owner) == (&read.items, &read.details, read.owner);
        Ok(if is_same { CartSince::AsRead } else { CartSince::Changed })
    }

    /// Marks it as done, in the transaction of its order.
    pub(crate) fn complete(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), store::Error> {
        let Some(before) = tx.get(CARTS, &self.id)? else {
            return Ok(());
        };
        let after = Cart { order_id: Some(order), ..before.clone() };
        update(tx, self.id, &before, &after)
    }
}

fn index(tx: &mut Tx<'_>, id: CartId, cart: &Cart) -> Result<(), store::Error> {
    match open_owner(cart) {
        Some(owner) => tx.put(BY_OWNER, &owner, &id),
        None => Ok(()),
    }
}

fn unindex(tx: &mut Tx<'_>, id: CartId, cart: &Cart) -> Result<(), store::Error> {
    match open_owner(cart) {
        Some(owner) if tx.get(BY_OWNER, &owner)? == Some(id) => tx.delete(BY_OWNER, &owner),
        _ => Ok(()),
    }
}

/// The latest cart of an account.
pub(super) fn of_owner(
    from: &impl Read,
    owner: UserId,
) -> Result<Option<(CartId, Cart)>, store::Error> {
    let Some(id) = from.get(BY_OWNER, &owner)? else {
        return Ok(None);
    };
    Ok(from.get(CARTS, &id)?.map(|cart| (id, cart)))
}

/// The number of carts.
pub(super) fn kept(from: &impl Read) -> Result<u64, store::Error> {
    Ok(from.get(KEPT, &0)?.unwrap_or(0))
}

/// The carts that have been idle for too long, oldest first: a batch.
pub(crate) fn expired(from: &impl Read, now: Time) -> Result<Vec<(Time, CartId)>, store::Error> {
    from.scan(DUE.all())?
        .take(BATCH_MAX)
        .map(|row| row.map(|(key, ())| key))
        .take_while(|row| !matches!(row, Ok((until, _)) if *until > now))
        .collect()
}

/// Deletes a batch of them.
pub(crate) fn delete_expired(tx: &mut Tx<'_>, now: Time) -> Result<(), store::Error> {
    for (until, id) in expired(tx, now)? {
        delete_due(tx, until, id)?;
    }
    Ok(())
}

fn delete_due(tx: &mut Tx<'_>, until: Time, id: CartId) -> Result<(), store::Error> {
    match tx.get(CARTS, &id)? {
        Some(cart) => delete(tx, id, &cart),
        None => tx.delete(DUE, &(until, id)),
    }
}

/// The carts of no account that have an e-mail address, whatever its case. All carts are read, which are
/// [`CARTS_MAX`] at most.
pub(crate) fn of_email(from: &impl Read, email: &str) -> Result<Vec<CartId>, store::Error> {
    let wanted = email_key(email);
    let mut found = Vec::new();
    for row in from.scan(CARTS.all())? {
        let (id, cart) = row?;
        let email = cart.details.email.as_deref();
        if cart.owner.is_none() && email.is_some_and(|email| email_key(email) == wanted) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Deletes a cart, if it is still there.
pub(crate) fn delete_cart(tx: &mut Tx<'_>, id: CartId) -> Result<(), store::Error> {
    match tx.get(CARTS, &id)? {
        Some(cart) => delete(tx, id, &cart),
        None => Ok(()),
    }
}

/// Deletes the latest cart of an account that is erased. Earlier ones have nothing but the ids of
/// their orders.
pub(crate) fn erase(tx: &mut Tx<'_>, owner: UserId) -> Result<(), store::Error> {
    match of_owner(tx, owner)? {
        Some((id, cart)) => delete(tx, id, &cart),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use store::{Options, Store};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn made(owner: Option<UserId>, at: Time) -> (CartId, Cart) {
        (CartId::new(), Cart::new(owner, [0; 16], at))
    }

    fn rows(from: &impl Read) -> (usize, usize, usize, u64) {
        (
            from.scan(CARTS.all()).unwrap().count(),
            from.scan(DUE.all()).unwrap().count(),
            from.scan(BY_OWNER.all()).unwrap().count(),
            kept(from).unwrap(),
        )
    }

    #[tokio::test]
    async fn carts_expire_in_batches_and_are_erased_with_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let written = store.write(|tx| {
            let start = Time(1_000_000_000);
            let ana = UserId::new();
            for place in 0..60 {
                let (id, cart) = made((place == 0).then_some(ana), start);
                insert(tx, id, &cart, start)?;
            }
            let (id, mut cart) = made(None, start);
            insert(tx, id, &cart, start)?;
            let before = cart.clone();
            assert!(cart.touch(start.after(DAY)));
            update(tx, id, &before, &cart)?;
            assert_eq!(rows(tx), (61, 61, 1, 61));
            erase(tx, ana)?;
            assert_eq!(rows(tx), (60, 60, 0, 60));
            let end = start.after(IDLE_MAX);
            assert_eq!(expired(tx, Time(end.0 - 1))?, []);
            delete_expired(tx, end)?;
            assert_eq!(rows(tx), (10, 10, 0, 10));
            delete_expired(tx, end)?;
            assert_eq!(rows(tx), (1, 1, 0, 1));
            delete_expired(tx, end.after(DAY))?;
            assert_eq!(rows(tx), (0, 0, 0, 0));
            Ok::<_, Error>(())
        });
        written.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_shop_lets_the_idlest_cart_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let written = store.write(|tx| {
            let start = Time(1_000_000_000);
            let (idle, cart) = made(None, start);
            insert(tx, idle, &cart, start)?;
            tx.put(KEPT, &0, &CARTS_MAX)?;
            let (id, cart) = made(None, start);
            let soon = Time(start.after(DAY).0 - 1);
            let refused = insert(tx, id, &cart, soon);
            assert!(matches!(refused, Err(Error::TooManyCarts)));
            insert(tx, id, &cart, start.after(DAY))?;
            assert!(!tx.contains(CARTS, &idle)? && tx.contains(CARTS, &id)?);
            assert_eq!(kept(tx)?, CARTS_MAX);
            Ok::<_, Error>(())
        });
        written.await.unwrap();
    }
}
