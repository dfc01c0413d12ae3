//! `POST /v1/orders/{id}/claim`: a guest's order becomes that of the account whose verified
//! address it was placed with.
//!
//! **Invariant:** the order, its index, the buyer's sums and the uses of its promotions move in
//! one transaction.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::json::PathId;
use chassis::{Caller, Problem, etag};
use model::{Fact, OrderId, UserId, kinds};
use store::Tx;

use super::erasure;
use super::guests::{self, email_key};
use crate::domain::{Actor, Buyer, CLAIMED, Guest, Order, OrderCause, OrderStatus, StatusChange};
use crate::sales::Ledger;
use crate::terms::uses;
use crate::wire::OrderResponse;
use crate::{Error, OrdersState, lists, sales, tables};

pub(crate) async fn claim(
    State(state): State<OrdersState>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
) -> Result<Response, Problem> {
    let user_id = caller.user_id;
    let order = state.claim_order(id, user_id).await?;
    Ok(etag::written(StatusCode::OK, &OrderResponse::new(&order)))
}

impl OrdersState {
    /// Gives a guest's order to the account. One that the account has already is left as it is.
    ///
    /// # Errors
    /// 404 for an order of another address, 403 while the account's address is not verified,
    /// 503 while users does not answer.
    async fn claim_order(&self, id: OrderId, user_id: UserId) -> Result<Order, Problem> {
        self.ledger.sums.require()?;
        let found = tables::find(&self.store, id)?.order;
        if found.buyer.user_id() == Some(user_id) {
            return Ok(found);
        }
        if found.status == OrderStatus::Pending {
            self.products
                .catch_up(chassis::limits::CATCH_UP_TIMEOUT)
                .await;
        }
        let given = found.buyer.guest_contact().ok_or(Error::NotFound)?;
        let account = self.buyers.contact(user_id).await?.ok_or(Error::NotFound)?;
        if email_key(&account.email) != email_key(&given.email) {
            return Err(Error::NotFound.into());
        }
        if !account.email_verified {
            return Err(not_verified());
        }
        let ledger = self.ledger.clone();
        let claim = move |tx: &mut Tx<'_>| give(tx, &ledger, id, user_id);
        Ok(self.store.write(claim).await?)
    }
}

fn give(tx: &mut Tx<'_>, ledger: &Ledger, id: OrderId, user_id: UserId) -> Result<Order, Error> {
    let mut stored = tables::find(tx, id)?;
    let before = stored.order.clone();
    let Buyer::Guest(Guest { id: guest, contact: Some(_) }) = before.buyer else {
        return match before.buyer.user_id() == Some(user_id) {
            true => Ok(before),
            false => Err(Error::NotFound),
        };
    };
    // Since users was asked.
    if erasure::is_erased(tx, user_id)? {
        return Err(Error::NotFound);
    }
    let now = model::now();
    let cause = OrderCause::new(now, Actor::User(user_id)).because(CLAIMED);
    stored.order.buyer = Buyer::Account(user_id);
    stored.order.updated_at = now;
    // The first entries of the history, of which a pending order has no others yet, are made from
    // the order.
    if before.status != OrderStatus::Pending {
        let change = StatusChange::within(before.status, &cause);
        tables::append_history(tx, &mut stored, &change)?;
    }
    tables::change_buyer(tx, &stored, &before)?;
    sales::change_buyer(tx, &before, &stored.order)?;
    if !matches!(
        before.status,
        OrderStatus::Rejected | OrderStatus::Cancelled
    ) {
        uses::give_back(tx, &before)?;
        uses::spend(tx, &stored.order)?;
    }
    let fact = Fact::OrderClaimed { order_id: id, user_id };
    tables::append_event(tx, &ledger.log, &stored.order, fact, &cause)?;
    if lists::ids(tx, &ledger.runs, Some(guest), None, None)?
        .next()
        .is_none()
    {
        guests::delete(tx, guest)?;
    }
    Ok(stored.order)
}

fn not_verified() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "email-not-verified",
        "The e-mail address is not verified",
        "verify it first, with POST /v1/users/me/verify-email; then the order can be claimed",
    )
}
