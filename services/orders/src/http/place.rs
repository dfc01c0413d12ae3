//! Placing an order and waiting for its outcome.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chassis::idempotency::{IdempotentRequest, Key, KnownOutcome, Reply, StoredResponse};
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::{Caller, Json, Problem};
use mesh::Log;
use model::{Id, Money, Time, kinds};
use serde::{Deserialize, Serialize};

use super::Orders;
use crate::domain::{self, Address, ItemWanted, Order, Placing, Status};
use crate::store::OrderId;
use crate::waiters::Wait;
use crate::{Error, answer, store as orders};

/// How long a request waits for its order to be settled before it answers 202.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceOrder {
    items: Option<Vec<ItemWanted>>,
    shipping_address: Option<Address>,
    note: Option<String>,
}

pub(super) async fn place(
    State(orders): State<Orders>,
    caller: Caller,
    request: IdempotentRequest,
    Json(body): Json<PlaceOrder>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body)?;
    let placing = match Placing::parse(body.items, body.shipping_address, body.note) {
        Ok(placing) => placing,
        Err(faults) => {
            let refused = guard.refuse(&orders.store, Error::Invalid(faults)).await;
            return Ok(refused?.into());
        }
    };
    let request = Request {
        user_id: caller.user_id,
        request_id: guard.request_id.clone(),
        key: guard.key.clone(),
        placing,
        at: model::now(),
    };
    Ok(orders.place(Arc::new(request)).await?.into())
}

/// A request to place an order, read.
struct Request {
    user_id: Id<kinds::User>,
    request_id: String,
    key: Option<Key>,
    placing: Placing,
    at: Time,
}

/// What a request found or did in its transaction.
enum Begun {
    /// A new order, to be waited for.
    Placed,
    /// The key's order, which is not settled and may or may not have been answered.
    Open(OrderId),
    /// What was decided.
    Answered(Reply),
    /// Something is not for sale, as far as is known here.
    NotForSale,
}

impl Orders {
    /// Places the order, or finds what its key already led to, and waits for the
    /// outcome.
    async fn place(&self, request: Arc<Request>) -> Result<Reply, Problem> {
        let id = Id::new();
        let wait = self.settling.register(id);
        let mut begun = self.begin(id, &request, false).await?;
        if matches!(begun, Begun::NotForSale) {
            // It may have become so just now. While products cannot be asked, nothing
            // is decided: 503 rather than 422.
            let asked = self.products.catch_up(CATCH_UP_TIMEOUT).await;
            begun = self.begin(id, &request, asked).await?;
        }
        match begun {
            Begun::Placed => {
                let answer = self.outcome(id, wait).await?;
                Ok(Reply { answer, replayed: false })
            }
            Begun::Open(id) => {
                let answer = self.outcome_again(id).await?;
                Ok(Reply { answer, replayed: true })
            }
            Begun::Answered(reply) => Ok(reply),
            Begun::NotForSale => Err(Problem::busy()),
        }
    }

    async fn begin(
        &self,
        id: OrderId,
        request: &Arc<Request>,
        asked: bool,
    ) -> Result<Begun, Problem> {
        let (log, request) = (self.log.clone(), request.clone());
        let begin = move |tx: &mut store::Tx<'_>| begin(tx, &log, id, &request, asked);
        self.store.write(begin).await
    }

    /// The answer once the order is settled, or 202 when that takes too long.
    ///
    /// It may leave before this store has synced what products said: that is durable
    /// there, and a process that starts again takes it in again, to the same answer.
    async fn outcome(
        &self,
        id: OrderId,
        mut wait: Wait<Arc<Order>>,
    ) -> Result<StoredResponse, Problem> {
        let settled = wait.word(SETTLE_TIMEOUT).await;
        match settled.and_then(|order| answer::placed(&order)) {
            Some(answer) => Ok(answer),
            None => self.decide(id).await,
        }
    }

    /// The outcome of an order whose request came before, maybe to a process that is
    /// gone and had answered already: as long as products may know of a settlement
    /// that this store does not, nothing is promised.
    async fn outcome_again(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let wait = self.settling.register(id);
        if !self.products.catch_up(CATCH_UP_TIMEOUT).await {
            return Err(Problem::busy());
        }
        let order = orders::find(&self.store, id)?;
        if answer::placed(&order).is_none() {
            return self.outcome(id, wait).await;
        }
        self.decide(id).await
    }

    /// Promises 202, unless the order was settled at this very moment. What this
    /// says is durable.
    async fn decide(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let decide = move |tx: &mut store::Tx<'_>| {
            let mut order = orders::find(tx, id)?;
            if answer::placed(&order).is_none() {
                order.accepted = true;
                orders::note(tx, &mut order, None)?;
            }
            answer::placed(&order)
                .ok_or_else(|| Problem::internal("an accepted order has its answer"))
        };
        self.store.write_when_free(decide).await
    }
}

fn begin(
    tx: &mut store::Tx<'_>,
    log: &Log,
    id: OrderId,
    request: &Request,
    asked: bool,
) -> Result<Begun, Problem> {
    if let Some(begun) = known(tx, request)? {
        return Ok(begun);
    }
    let Request { user_id, request_id, key, placing, at } = request;
    let mut listings = Vec::with_capacity(placing.items.len());
    for item in &placing.items {
        listings.push(orders::listing(tx, item.product_id)?);
    }
    let for_sale = |listing: &Option<_>| listing.as_ref().is_some_and(domain::is_for_sale);
    if !asked && !listings.iter().all(for_sale) {
        return Ok(Begun::NotForSale);
    }
    let (lines, total) = match domain::price(&placing.items, listings) {
        Ok(priced) => priced,
        Err(faults) => {
            let answer = StoredResponse::refusal(&Error::Invalid(faults).into(), request_id);
            if let Some(key) = key {
                key.keep(tx, &answer)?;
            }
            return Ok(Begun::Answered(Reply { answer, replayed: false }));
        }
    };
    let order = Order {
        id,
        user_id: *user_id,
        status: Status::Pending,
        lines,
        line_parts: 0,
        total,
        refunded_total: Money::zero(total.currency),
        shipping_address: placing.shipping_address.clone(),
        note: placing.note.clone(),
        request_id: request_id.clone(),
        settled_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        accepted: false,
        changes: 0,
        created_at: *at,
        updated_at: *at,
    };
    orders::place(tx, log, order)?;
    if let Some(key) = key {
        key.refer(tx, id.to_string())?;
    }
    Ok(Begun::Placed)
}

/// What the request's key led to before.
fn known(tx: &store::Tx<'_>, request: &Request) -> Result<Option<Begun>, Problem> {
    let Some(key) = &request.key else {
        return Ok(None);
    };
    let answer = match key.look_up(tx)? {
        None => return Ok(None),
        Some(KnownOutcome::Response(answer)) => answer,
        Some(KnownOutcome::Reference(to)) => {
            let id = to.parse().map_err(Problem::internal)?;
            match answer::placed(&orders::find(tx, id)?) {
                Some(answer) => answer,
                None => return Ok(Some(Begun::Open(id))),
            }
        }
    };
    Ok(Some(Begun::Answered(Reply { answer, replayed: true })))
}
