//! Completing a cart: its content becomes an order, once.
//!
//! The order is placed as `POST /v1/orders` places one. **Invariants:** the transaction that writes
//! the order also marks the cart, and looks at the mark first, so however many requests complete a
//! cart at once, they make one order. A later request answers with the order as it is then. Where
//! stock is short the order is rejected and the cart is open again. A key is decided for good, also
//! when its cart was changed or is gone.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chassis::fields::{CheckedBody, Fields, ReadFields};
use chassis::idempotency::{IdempotentRequest, Reply};
use chassis::json::PathId;
use chassis::{Caller, FieldError, Problem};
use model::kinds;
use serde::Serialize;

use super::domain::{Cart, CartDetails, CartItem};
use super::holder::CartRequester;
use super::quote;
use super::tables::OrderedCart;
use crate::placing::{PlaceOrder, PlacedBy};
use crate::wire::{GivenAmount, OrderContent, RequestedItem, expected_total};
use crate::{Error, OrdersState};

/// `POST /v1/carts/{id}/complete`
#[derive(Debug, Serialize)]
pub(super) struct CompleteBody {
    expected_total: Option<GivenAmount>,
}

impl ReadFields for CompleteBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { expected_total: expected_total(fields) })
    }
}

pub(super) async fn complete(
    State(state): State<OrdersState>,
    caller: Option<Caller>,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
    headers: HeaderMap,
    request: IdempotentRequest,
    body: CheckedBody<CompleteBody>,
) -> Result<Response, Problem> {
    let begin = |request: IdempotentRequest| match &caller {
        Some(caller) => request.begin(caller, &body),
        None => request.begin_as(id, &body),
    };
    let cart = match state.carts.find(&state.store, id, &who) {
        // One whose stock was refused may be a part of a later one by now.
        Err(Error::NotFound) if caller.is_some() => {
            let known = state.placed_before(&begin(request)?).await?;
            return known.map(Reply::into).ok_or(Error::NotFound.into());
        }
        found => found?,
    };
    if caller
        .as_ref()
        .is_some_and(|caller| cart.owner != Some(caller.user_id))
    {
        let detail = "claim the cart first, with POST /v1/carts/{id}/claim";
        return Err(Problem::conflict("cart-not-claimed", detail));
    }
    let guard = begin(request)?;
    let wanted = body.valid().and_then(|body| {
        let by = placed_by(caller.as_ref(), &cart)?;
        Ok((by, content(&cart, body)?))
    });
    let (by, content) = match wanted {
        Ok(wanted) => wanted,
        Err(faults) => {
            // It may have been emptied since.
            if let Some(known) = state.placed_before(&guard).await? {
                return Ok(known.into());
            }
            let refused = guard.refuse(&state.store, Error::Invalid(faults)).await;
            return Ok(refused?.into());
        }
    };
    let cart = Some(OrderedCart { id, cart });
    let request = PlaceOrder::new(by, &headers, &guard, content, cart);
    Ok(state.place(request).await?.into())
}

/// Who orders: the account, or a guest, who has to say how to be reached.
fn placed_by(caller: Option<&Caller>, cart: &Cart) -> Result<PlacedBy, Vec<FieldError>> {
    if let Some(caller) = caller {
        return Ok(caller.into());
    }
    quote::guest(&cart.details).map(PlacedBy::Guest)
}

/// The order that a cart asks for.
fn content(cart: &Cart, body: CompleteBody) -> Result<OrderContent, Vec<FieldError>> {
    // One that became an order may be empty, and answers with that order.
    if cart.items.is_empty() && cart.order_id.is_none() {
        return Err(vec![FieldError::new("/items", "the cart is empty")]);
    }
    let items = cart.items.iter().enumerate();
    let items = items.map(|(position, item)| {
        let CartItem { product_id, quantity } = *item;
        RequestedItem { position, product_id, quantity }
    });
    let CartDetails {
        shipping_address,
        billing_address,
        shipping_method_id,
        codes,
        note,
        ..
    } = cart.details.clone();
    Ok(OrderContent {
        items: items.collect(),
        shipping_address,
        note,
        billing_address,
        shipping_method_id,
        codes,
        expected_total: body.expected_total,
    })
}
