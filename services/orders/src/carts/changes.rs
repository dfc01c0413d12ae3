//! Making, changing and claiming a cart.
//!
//! **Invariants:** a stranger's request reads and does not reach the writer. An account has one
//! open cart: one that is made or claimed takes in the one before.

use chassis::client_address::{ClientAddress, network};
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::rate_limit::{self, CounterKey, Rule};
use model::{CartId, Time, UserId, now};
use store::{Read, Tx};

use super::domain::{Cart, CartItem};
use super::holder::{CartRequester, CartToken};
use super::{Carts, quote, tables};
use crate::{Error, OrdersState};

/// Carts made from one network: more than the buyers behind one address make, and few enough
/// that a flood of carts needs many addresses.
const MADE_FROM_NETWORK: Rule =
    Rule::Window { most: 100, span: std::time::Duration::from_secs(3600) };

/// A cart that was made or claimed.
pub(super) struct OpenedCart {
    pub(super) id: CartId,
    pub(super) cart: Cart,
    /// Of the earlier cart, what does not fit into this one.
    pub(super) left_out: Vec<CartItem>,
}

impl Carts {
    /// The counter of an address; `None` for this host, where a front end of the shop may run.
    fn counter(&self, ClientAddress(ip): ClientAddress) -> Option<CounterKey> {
        let network = network(ip).to_be_bytes();
        (!ip.is_loopback()).then(|| self.key.mac(&[b"network", &network]))
    }
}

impl OrdersState {
    /// Makes a cart.
    ///
    /// # Errors
    /// [`Error::CartsThrottled`] and [`Error::TooManyCarts`].
    pub(super) async fn create_cart(
        &self,
        owner: Option<UserId>,
        address: ClientAddress,
        items: Vec<CartItem>,
    ) -> Result<(OpenedCart, CartToken), Error> {
        let (id, token, at) = (CartId::new(), CartToken::generate(), now());
        let counter = self.carts.counter(address);
        // Read first, so that a flood of refused requests writes nothing.
        require_room(&self.store, counter, at)?;
        let mut cart = Cart::new(owner, token.mac(&self.carts.key, id), at);
        cart.items = items;
        let create = move |tx: &mut Tx<'_>| {
            require_room(tx, counter, at)?;
            if let Some(counter) = counter {
                rate_limit::count(tx, &counter, MADE_FROM_NETWORK, at)?;
            }
            let left_out = match owner {
                Some(owner) => take_in_earlier(tx, id, &mut cart, owner)?,
                None => Vec::new(),
            };
            tables::insert(tx, id, &cart, at)?;
            Ok::<_, Error>(OpenedCart { id, cart, left_out })
        };
        Ok((self.store.write(create).await?, token))
    }

    /// The cart of a holder, whose use of it counts.
    pub(super) async fn use_cart(&self, id: CartId, who: CartRequester) -> Result<Cart, Error> {
        let cart = self.carts.find(&self.store, id, &who)?;
        match cart.clone().touch(now()) {
            true => self.write_cart(id, who, |_, _| Ok(())).await,
            false => Ok(cart),
        }
    }

    /// Changes a cart of a holder.
    ///
    /// # Errors
    /// [`Error::CartCompleted`] for one that became an order; those of the change.
    pub(super) async fn change_cart(
        &self,
        id: CartId,
        who: CartRequester,
        change: impl FnOnce(&mut Cart, &Tx<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Result<Cart, Error> {
        self.carts.find(&self.store, id, &who)?;
        let change = move |cart: &mut Cart, tx: &Tx<'_>| {
            if let Some(order_id) = tables::became(tx, cart)? {
                return Err(Error::CartCompleted(order_id));
            }
            cart.order_id = None;
            change(cart, tx)
        };
        self.write_cart(id, who, change).await
    }

    async fn write_cart(
        &self,
        id: CartId,
        who: CartRequester,
        change: impl FnOnce(&mut Cart, &Tx<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Result<Cart, Error> {
        let (carts, at) = (self.carts.clone(), now());
        let write = move |tx: &mut Tx<'_>| {
            let before = carts.find(tx, id, &who)?;
            let mut after = before.clone();
            change(&mut after, tx)?;
            if after != before {
                after.updated_at = at;
            }
            after.touch(at);
            tables::update(tx, id, &before, &after)?;
            Ok::<_, Error>(after)
        };
        self.store.write(write).await
    }

    /// Gives a cart to the caller, who sends its token or has it already.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for one that another account has; [`Error::CartCompleted`].
    pub(super) async fn claim_cart(
        &self,
        id: CartId,
        who: CartRequester,
        caller: UserId,
    ) -> Result<OpenedCart, Error> {
        self.carts.find(&self.store, id, &who)?;
        let (carts, at) = (self.carts.clone(), now());
        let claim = move |tx: &mut Tx<'_>| {
            let before = carts.find(tx, id, &who)?;
            if before.owner.is_some_and(|owner| owner != caller) {
                return Err(Error::NotFound);
            }
            if let Some(order_id) = tables::became(tx, &before)? {
                return Err(Error::CartCompleted(order_id));
            }
            let mut cart = before.clone();
            let left_out = take_in_earlier(tx, id, &mut cart, caller)?;
            (cart.owner, cart.token) = (Some(caller), None);
            if cart != before {
                cart.updated_at = at;
            }
            cart.touch(at);
            tables::update(tx, id, &before, &cart)?;
            Ok(OpenedCart { id, cart, left_out })
        };
        self.store.write(claim).await
    }

    /// Waits for listings that products may just have published, where a product that was added
    /// is not known as one for sale.
    pub(super) async fn know_products_of(&self, cart: &Cart) -> Result<(), Error> {
        if !quote::is_all_for_sale(&self.store, cart)? {
            self.products.catch_up(CATCH_UP_TIMEOUT).await;
        }
        Ok(())
    }
}

fn require_room(from: &impl Read, counter: Option<CounterKey>, now: Time) -> Result<(), Error> {
    let Some(counter) = counter else {
        return Ok(());
    };
    let wait = rate_limit::wait(from, &counter, MADE_FROM_NETWORK, now)?;
    match wait.is_zero() {
        true => Ok(()),
        false => Err(Error::CartsThrottled(wait)),
    }
}

/// Merges the account's open cart, if that is another one, and deletes it. One that became an
/// order is stripped instead.
fn take_in_earlier(
    tx: &mut Tx<'_>,
    id: CartId,
    cart: &mut Cart,
    owner: UserId,
) -> Result<Vec<CartItem>, store::Error> {
    match tables::of_owner(tx, owner)? {
        Some((earlier_id, earlier)) if earlier_id != id => {
            if tables::became(tx, &earlier)?.is_some() {
                tables::strip(tx, earlier_id, &earlier)?;
                return Ok(Vec::new());
            }
            tables::delete(tx, earlier_id, &earlier)?;
            Ok(cart.merge(earlier))
        }
        _ => Ok(Vec::new()),
    }
}
