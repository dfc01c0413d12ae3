//! The handlers of carts.
//!
//! **Invariant:** no cache stores a cart: its responses keep the `no-store` that the layers around
//! every router give.

use api::routes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::{PathId, PathIds};
use chassis::{Caller, FieldError, Json, Problem, Routes};
use model::{CartId, kinds, now};
use store::Tx;

use super::changes::OpenedCart;
use super::domain::{Cart, CartFull};
use super::holder::CartRequester;
use super::responses::{CartResponse, ShippingOptionResponse, ShippingOptionsResponse};
use super::wire::{CartBody, ItemBody, NewCartBody, NewItemBody};
use super::{completing, quote};
use crate::terms::priced;
use crate::{Error, OrdersState};

/// Binds the handlers of carts.
pub(crate) fn bind(endpoints: Routes<OrdersState>) -> Routes<OrdersState> {
    endpoints
        .on(&routes::CREATE_CART, create)
        .on(&routes::GET_CART, one)
        .on(&routes::PATCH_CART, patch)
        .on(&routes::ADD_CART_ITEM, add_item)
        .on(&routes::SET_CART_ITEM, set_item)
        .on(&routes::REMOVE_CART_ITEM, remove_item)
        .on(&routes::LIST_SHIPPING_OPTIONS, shipping_options)
        .on(&routes::CLAIM_CART, claim)
        .on(&routes::COMPLETE_CART, completing::complete)
}

type CartResult = Result<Json<CartResponse>, Problem>;

/// The cart as it is shown.
fn shown(state: &OrdersState, id: CartId, cart: Cart) -> Result<CartResponse, Error> {
    Ok(CartResponse::priced(
        &state.store,
        &state.tax,
        id,
        cart,
        now(),
    )?)
}

async fn create(
    State(state): State<OrdersState>,
    caller: Option<Caller>,
    address: ClientAddress,
    ParsedBody(NewCartBody(items)): ParsedBody<NewCartBody>,
) -> Result<Response, Problem> {
    let owner = caller.map(|caller| caller.user_id);
    let (made, token) = state.create_cart(owner, address, items).await?;
    state.know_products_of(&made.cart).await?;
    let OpenedCart { id, cart, left_out } = made;
    let mut response = shown(&state, id, cart)?;
    response.left_out = left_out;
    response.token = Some(token.text());
    let location = [(LOCATION, format!("/v1/carts/{id}"))];
    Ok((StatusCode::CREATED, location, Json(response)).into_response())
}

async fn one(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
) -> CartResult {
    let cart = state.use_cart(id, who).await?;
    Ok(Json(shown(&state, id, cart)?))
}

async fn patch(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
    ParsedBody(CartBody(patch)): ParsedBody<CartBody>,
) -> CartResult {
    let change = move |cart: &mut Cart, tx: &Tx<'_>| {
        if let Some(Some(method)) = patch.shipping_method_id {
            let method = priced::shipping_method(tx, method)?;
            if !method.is_some_and(|method| method.is_active) {
                let detail = "no shipping method of this id is offered";
                return Err(invalid("/shipping_method_id", detail));
            }
        }
        cart.details.apply(patch);
        Ok(())
    };
    let cart = state.change_cart(id, who, change).await?;
    Ok(Json(shown(&state, id, cart)?))
}

async fn add_item(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
    ParsedBody(NewItemBody(item)): ParsedBody<NewItemBody>,
) -> CartResult {
    let change = move |cart: &mut Cart, _: &Tx<'_>| {
        cart.add(item).map_err(|full| match full {
            CartFull::Lines => invalid("/product_id", full),
            CartFull::Quantity { .. } => invalid("/quantity", full),
        })
    };
    let cart = state.change_cart(id, who, change).await?;
    state.know_products_of(&cart).await?;
    Ok(Json(shown(&state, id, cart)?))
}

async fn set_item(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathIds(id, product_id): PathIds<kinds::Cart, kinds::Product>,
    ParsedBody(ItemBody(quantity)): ParsedBody<ItemBody>,
) -> CartResult {
    let change = move |cart: &mut Cart, _: &Tx<'_>| match cart.set(product_id, quantity) {
        true => Ok(()),
        false => Err(Error::NotFound),
    };
    let cart = state.change_cart(id, who, change).await?;
    Ok(Json(shown(&state, id, cart)?))
}

/// Removes a product; one that is not in the cart is removed already.
async fn remove_item(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathIds(id, product_id): PathIds<kinds::Cart, kinds::Product>,
) -> CartResult {
    let change = move |cart: &mut Cart, _: &Tx<'_>| {
        cart.set(product_id, 0);
        Ok(())
    };
    let cart = state.change_cart(id, who, change).await?;
    Ok(Json(shown(&state, id, cart)?))
}

async fn shipping_options(
    State(state): State<OrdersState>,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
) -> Result<Json<ShippingOptionsResponse>, Problem> {
    let cart = state.use_cart(id, who).await?;
    let options = quote::shipping_options(&state.store, &state.tax, &cart)?;
    let items = options
        .into_iter()
        .map(|(method, price)| ShippingOptionResponse {
            id: method.id,
            name: method.name,
            price,
            delivery_days: method.delivery_days,
        });
    Ok(Json(ShippingOptionsResponse { items: items.collect() }))
}

async fn claim(
    State(state): State<OrdersState>,
    caller: Caller,
    who: CartRequester,
    PathId(id): PathId<kinds::Cart>,
) -> CartResult {
    let OpenedCart { id, cart, left_out } = state.claim_cart(id, who, caller.user_id).await?;
    let mut response = shown(&state, id, cart)?;
    response.left_out = left_out;
    Ok(Json(response))
}

fn invalid(pointer: &str, detail: impl ToString) -> Error {
    Error::Invalid(vec![FieldError::new(pointer, detail.to_string())])
}
