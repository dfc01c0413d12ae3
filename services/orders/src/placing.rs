//! Placing an order: the transaction, and the wait for the stock outcome.
//!
//! One transaction writes the pending order, `order.placed` and the `Idempotency-Key`
//! as a reference to the order. products reserves or refuses the stock and publishes
//! that; [`follow`](crate::follow) records it and wakes the request, which responds with
//! 201 or 409. Without a stock outcome within [`STOCK_TIMEOUT`] it responds with 202.
//!
//! **Invariant:** an order has one placing response. It is made from the order as it was
//! at its stock outcome, so a repeat has the same bytes whatever has happened to the
//! order since, and no bytes are stored.

mod request;
mod response;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use chassis::Problem;
use chassis::idempotency::{BoundKey, IdempotencyGuard, KnownOutcome, Reply, StoredResponse};
use chassis::limits::CATCH_UP_TIMEOUT;
use model::{Fact, ItemOrdered, Money, OrderId};
use store::{Read, Tx};

use self::request::KnownAs;
pub(crate) use self::request::{PlaceOrder, PlacedBy};
use self::response::{opened, response, total_changed};
use crate::carts::tables::CartSince;
use crate::config::TaxConfig;
use crate::customers::guests::{self, Guests};
use crate::domain::{
    Actor, Buyer, BuyerErasure, Guest, Order, OrderAddress, OrderCause, OrderNumber, OrderStatus,
    Parcel, Settlement,
};
use crate::holder::OrderTokens;
use crate::quoting::{self, Quote, QuoteError};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::terms::uses;
use crate::waiters::Waiter;
use crate::{Error, OrdersState};

/// How long a request waits for the stock outcome before it responds with 202.
const STOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of the placing transaction.
enum Placement {
    /// A new order, whose stock outcome follows.
    Placed,
    /// The key's order has no stock outcome yet.
    Pending(OrderId),
    /// The response is decided.
    Decided(Reply),
    /// An item is not for sale, but the projection of products may lag behind.
    NotForSale,
}

/// The state of the projection of products.
#[derive(Clone, Copy, PartialEq)]
enum Projection {
    MayLag,
    CaughtUp,
}

impl OrdersState {
    /// Places the order, or finds the one that its key refers to, and waits for its
    /// stock outcome.
    pub(crate) async fn place(&self, mut request: PlaceOrder) -> Result<Reply, Problem> {
        request.known_as = self.known_as(&request).await?;
        let (id, request) = (request.order_id, Arc::new(request));
        let waiter = self.stock_outcomes.register(id);
        let mut placement = self.write_order(&request, Projection::MayLag).await?;
        if matches!(placement, Placement::NotForSale) {
            let is_caught_up = self.products.catch_up(CATCH_UP_TIMEOUT).await;
            let projection = if is_caught_up {
                Projection::CaughtUp
            } else {
                Projection::MayLag
            };
            placement = self.write_order(&request, projection).await?;
        }
        let (answer, replayed) = match placement {
            Placement::Placed => (self.stock_outcome(id, waiter).await?, false),
            Placement::Pending(id) => (self.repeated_stock_outcome(id).await?, true),
            Placement::Decided(reply) => return Ok(reply),
            // Without products nothing is decided: 503 rather than 422.
            Placement::NotForSale => return Err(Problem::busy()),
        };
        Ok(Reply { answer, replayed })
    }

    /// What else the buyer is known as: the address of an account, the accounts of a guest's.
    /// Users is asked where a promotion has a cap by buyer; orders go on while it is away.
    async fn known_as(&self, request: &PlaceOrder) -> Result<KnownAs, Problem> {
        let mut known_as = KnownAs::default();
        if quoting::has_caps_by_buyer(&self.store, &request.content.codes)? {
            match &request.by {
                PlacedBy::Guest(contact) => {
                    known_as.accounts = self.buyers.accounts_of(&contact.email).await;
                }
                PlacedBy::Account { id, .. } => known_as.email = self.buyers.email_of(*id).await,
            }
        }
        Ok(known_as)
    }

    /// The outcome of an earlier request under the same key, whatever became of the cart that was
    /// ordered then.
    pub(crate) async fn placed_before(
        &self,
        guard: &IdempotencyGuard,
    ) -> Result<Option<Reply>, Problem> {
        let key = guard.key.clone();
        let placing = self.placing();
        let known = self
            .store
            .write(move |tx| placing.repeated(tx, key.as_ref()));
        match known.await? {
            Some(Placement::Pending(id)) => {
                let answer = self.repeated_stock_outcome(id).await?;
                Ok(Some(Reply { answer, replayed: true }))
            }
            Some(Placement::Decided(reply)) => Ok(Some(reply)),
            _ => Ok(None),
        }
    }

    async fn write_order(
        &self,
        request: &Arc<PlaceOrder>,
        projection: Projection,
    ) -> Result<Placement, Problem> {
        let (placing, request) = (self.placing(), request.clone());
        let place = move |tx: &mut Tx<'_>| placing.place(tx, &request, projection);
        self.store.write(place).await
    }

    fn placing(&self) -> Placing {
        Placing {
            ledger: self.ledger.clone(),
            tax: self.tax.clone(),
            guests: self.guests.clone(),
            tokens: self.order_tokens.clone(),
        }
    }

    /// The response after the stock outcome, or 202 after the timeout.
    ///
    /// It may be sent before this store has synced the outcome: that is durable in
    /// products' log, and a restarted process applies it again with the same result.
    async fn stock_outcome(
        &self,
        id: OrderId,
        mut waiter: Waiter<Arc<StoredOrder>>,
    ) -> Result<StoredResponse, Problem> {
        let stored = waiter.wait(STOCK_TIMEOUT).await;
        match stored.and_then(|stored| response(&stored, &self.order_tokens)) {
            Some(response) => Ok(response),
            None => self.accept(id).await,
        }
    }

    /// The response to a repeat of a request whose order is pending. A process before
    /// this one may have responded from an outcome that is in products' log and not in
    /// this store yet, so that log is caught up with first.
    async fn repeated_stock_outcome(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let waiter = self.stock_outcomes.register(id);
        if !self.products.catch_up(CATCH_UP_TIMEOUT).await {
            return Err(Problem::busy());
        }
        let stored = tables::find_as_placed(&self.store, id)?;
        if response(&stored, &self.order_tokens).is_none() {
            return self.stock_outcome(id, waiter).await;
        }
        self.accept(id).await
    }

    /// Decides for 202, unless another response was decided meanwhile; durable.
    async fn accept(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let tokens = self.order_tokens.clone();
        let accept = move |tx: &mut Tx<'_>| {
            let mut stored = tables::find_as_placed(tx, id)?;
            if response(&stored, &tokens).is_none() {
                stored.accepted = true;
                tables::save(tx, &stored)?;
            }
            response(&stored, &tokens)
                .ok_or_else(|| Problem::internal("an accepted order has a response"))
        };
        self.store.write_when_free(accept).await
    }
}

/// What the placing transaction works with.
struct Placing {
    ledger: Ledger,
    tax: Arc<TaxConfig>,
    guests: Guests,
    tokens: OrderTokens,
}

impl Placing {
    /// The placing transaction.
    fn place(
        &self,
        tx: &mut Tx<'_>,
        request: &PlaceOrder,
        projection: Projection,
    ) -> Result<Placement, Problem> {
        require_unclaimed(tx, request)?;
        if let Some(placement) = self.repeated(tx, request.key.as_ref())? {
            return Ok(placement);
        }
        if let Some(placement) = self.ordered_before(tx, request)? {
            return Ok(placement);
        }
        let content = &request.content;
        let mut listings = Vec::with_capacity(content.items.len());
        for item in &content.items {
            listings.push(tables::listing(tx, item.product_id)?);
        }
        let is_for_sale = |listing: &Option<_>| listing.as_ref().is_some_and(quoting::is_for_sale);
        if projection == Projection::MayLag && !listings.iter().all(is_for_sale) {
            return Ok(Placement::NotForSale);
        }
        let buyer = request.by.buyer(tx)?;
        let mut buyers = request.known_as.accounts.clone();
        buyers.push(buyer.customer_id());
        if let Some(email) = &request.known_as.email {
            buyers.extend(guests::of_email(tx, email)?);
        }
        let quote = quoting::quote(tx, &self.tax, &request.quote(&buyers), listings);
        let quote = match quote {
            Ok(quote) => quote,
            Err(QuoteError::Store(error)) => return Err(error.into()),
            Err(QuoteError::Invalid(faults)) => {
                return refuse(tx, request, Error::Invalid(faults).into());
            }
        };
        if let Some(problem) = total_changed(content, &quote) {
            if let Some(cart) = &request.cart {
                // It has the buyer's contact, so it is not kept under the key.
                let shown = cart.shown(tx, &self.tax, request.at)?;
                return Err(problem.member("cart", shown));
            }
            return refuse(tx, request, problem);
        }
        if let Buyer::Guest(Guest { id, contact: Some(contact) }) = &buyer {
            self.guests.keep(tx, *id, contact, request.at)?;
        }
        let number = self.ledger.numbers.take(tx, request.order_id)?;
        self.write(tx, request, pending(request, buyer, number, quote))?;
        Ok(Placement::Placed)
    }

    /// Writes a new order with its event, and what refers to it.
    fn write(&self, tx: &mut Tx<'_>, request: &PlaceOrder, order: Order) -> Result<(), Error> {
        let order_id = order.id;
        let items = order
            .lines
            .iter()
            .map(|line| ItemOrdered { product_id: line.product_id, quantity: line.quantity });
        let user_id = order.buyer.user_id();
        let fact = Fact::OrderPlaced { order_id, user_id, items: items.collect() };
        let via = match request.by {
            PlacedBy::Account { via, .. } => via,
            PlacedBy::Guest(_) => None,
        };
        let cause = OrderCause::new(request.at, Actor::of(&order.buyer));
        tables::append_event(
            tx,
            &self.ledger.log,
            &order,
            fact,
            &OrderCause { via, ..cause },
        )?;
        let placed = tables::insert(tx, order)?;
        self.ledger.runs.add(tx, &placed.order)?;
        uses::spend(tx, &placed.order)?;
        if let Some(cart) = &request.cart {
            cart.complete(tx, order_id)?;
        }
        if let Some(key) = &request.key {
            key.refer(tx, order_id.to_string())?;
        }
        Ok(())
    }

    /// The outcome of an earlier request under the same key.
    fn repeated(&self, tx: &Tx<'_>, key: Option<&BoundKey>) -> Result<Option<Placement>, Problem> {
        let Some(key) = key else {
            return Ok(None);
        };
        let answer = match key.look_up(tx)? {
            None => return Ok(None),
            Some(KnownOutcome::Response(answer)) => answer,
            Some(KnownOutcome::Reference(to)) => {
                let id = to.parse().map_err(Problem::internal)?;
                match response(&tables::find_as_placed(tx, id)?, &self.tokens) {
                    Some(answer) => answer,
                    None => return Ok(Some(Placement::Pending(id))),
                }
            }
        };
        Ok(Some(Placement::Decided(Reply { answer, replayed: true })))
    }

    /// The order that the request's cart became already, as it is now.
    fn ordered_before(
        &self,
        tx: &Tx<'_>,
        request: &PlaceOrder,
    ) -> Result<Option<Placement>, Problem> {
        let Some(cart) = &request.cart else {
            return Ok(None);
        };
        let id = match cart.since(tx)? {
            CartSince::AsRead => return Ok(None),
            CartSince::Changed => return Err(Error::CartChanged.into()),
            CartSince::Became(id) => id,
        };
        let StoredOrder { order, .. } = tables::find(tx, id)?;
        if order.status == OrderStatus::Pending {
            return Ok(Some(Placement::Pending(id)));
        }
        let answer = StoredResponse::new(StatusCode::OK, &opened(&order, &self.tokens));
        Ok(Some(Placement::Decided(Reply { answer, replayed: true })))
    }
}

/// Refuses a guest whose cart became an order that an account claimed since: no token opens that.
fn require_unclaimed(from: &impl Read, request: &PlaceOrder) -> Result<(), Error> {
    let (PlacedBy::Guest(_), Some(cart)) = (&request.by, &request.cart) else {
        return Ok(());
    };
    let CartSince::Became(id) = cart.since(from)? else {
        return Ok(());
    };
    match tables::find(from, id)?.order.buyer {
        Buyer::Guest(_) => Ok(()),
        Buyer::Account(_) => Err(Error::NotFound),
    }
}

/// The order that a request makes, before its stock outcome.
fn pending(request: &PlaceOrder, buyer: Buyer, number: Option<OrderNumber>, quote: Quote) -> Order {
    let PlaceOrder { content, at, .. } = request;
    let Quote { lines, total, charges } = quote;
    Order {
        id: request.order_id,
        number,
        buyer,
        status: OrderStatus::Pending,
        lines,
        total,
        charges,
        refunded_total: Money::zero(total.currency),
        shipping_address: content.shipping_address.clone().map(OrderAddress::Typed),
        billing_address: content.billing_address.clone(),
        note: content.note.clone(),
        language: request.language.clone(),
        request_id: request.request_id.clone(),
        stock_outcome_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        settlement: Settlement::default(),
        parcel: Parcel::default(),
        erasure: BuyerErasure::No,
        created_at: *at,
        updated_at: *at,
    }
}

/// Decides for a refusal, which a repeat under the same key gets again.
fn refuse(tx: &mut Tx<'_>, request: &PlaceOrder, problem: Problem) -> Result<Placement, Problem> {
    let answer = StoredResponse::refusal(&problem, &request.request_id);
    if let Some(key) = &request.key {
        key.keep(tx, &answer)?;
    }
    Ok(Placement::Decided(Reply { answer, replayed: false }))
}
