//! Who may open an order: its buyer's account, staff, and who sends its token.
//!
//! The token of a guest's order is the MAC of the order and its buyer, so that it is not stored,
//! and every answer to the holder of its cart can carry it. **Invariants:** an order that an
//! account claimed has another buyer, and no token opens it any more. A token is in no log line.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use chassis::idempotency::{IdempotencyGuard, IdempotentRequest};
use chassis::mac::MacKey;
use chassis::{Caller, Problem, Staff};
use data_encoding::BASE64URL_NOPAD;
use model::{OrderId, now};
use serde::Serialize;
use store::Key;

use crate::OrdersState;
use crate::domain::{Actor, Buyer, Guest, Order, OrderCause};

const HEADER: &str = "order-token";

/// What sets the MACs of orders apart from others under the same key.
const CONTEXT: &[u8] = b"order";

/// Makes the tokens of guests' orders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OrderTokens(Arc<MacKey>);

/// A token as it was sent. It has no `Debug`, so it cannot reach a log.
#[derive(Clone, Copy)]
struct OrderToken([u8; 16]);

/// Who asks for an order.
#[derive(Clone)]
pub(crate) struct OrderRequester {
    caller: Option<Caller>,
    token: Option<(OrderToken, OrderTokens)>,
}

impl OrderTokens {
    pub(crate) fn new(key: Arc<MacKey>) -> Self {
        Self(key)
    }

    /// The token of a guest's order; `None` for one that has an account.
    pub(crate) fn token(&self, order: &Order) -> Option<String> {
        let Buyer::Guest(Guest { id, .. }) = &order.buyer else {
            return None;
        };
        let mac = self.0.mac(&[CONTEXT, &order.id.encode(), &id.encode()]);
        Some(BASE64URL_NOPAD.encode(&mac))
    }

    fn opens(&self, token: OrderToken, order: &Order) -> bool {
        match &order.buyer {
            Buyer::Account(_) => false,
            Buyer::Guest(Guest { id, .. }) => {
                let parts: [&[u8]; 3] = [CONTEXT, &order.id.encode(), &id.encode()];
                self.0.is_mac(&parts, token.0)
            }
        }
    }
}

impl OrderToken {
    fn parse(text: &[u8]) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl OrderRequester {
    pub(crate) fn is_staff(&self) -> bool {
        self.staff().is_some()
    }

    /// The caller, if they are staff.
    pub(crate) fn staff(&self) -> Option<&Caller> {
        self.caller.as_ref().filter(|caller| caller.is_staff())
    }

    /// Begins an idempotent request about an order. The key of who has no account belongs to the
    /// order.
    ///
    /// # Errors
    /// 409 while a request under the same key is in flight.
    pub(crate) fn begin(
        &self,
        request: IdempotentRequest,
        order: OrderId,
        body: &impl Serialize,
    ) -> Result<IdempotencyGuard, Problem> {
        match &self.caller {
            Some(caller) => request.begin(caller, body),
            None => request.begin_as(order, body),
        }
    }

    /// Whether the order is theirs to see and to cancel.
    pub(crate) fn holds(&self, order: &Order) -> bool {
        let user_id = self.caller.as_ref().map(|caller| caller.user_id);
        let is_owner = user_id.is_some() && user_id == order.buyer.user_id();
        let is_opened = |(token, tokens): &(OrderToken, OrderTokens)| tokens.opens(*token, order);
        is_owner || self.is_staff() || self.token.as_ref().is_some_and(is_opened)
    }

    /// The cause of what they do now to an order that they hold.
    pub(crate) fn cause(&self, order: &Order) -> OrderCause {
        match &self.caller {
            Some(caller) if caller.is_staff() || order.buyer.user_id().is_some() => OrderCause {
                via: caller.api_key,
                ..OrderCause::new(now(), Actor::User(caller.user_id))
            },
            _ => OrderCause::new(now(), Actor::of(&order.buyer)),
        }
    }
}

fn needs_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "A valid token is required",
        "send `Authorization: Bearer` with an access token from POST /v1/sessions, or, for a guest's order, `Order-Token` with the order_token of the answer that placed it",
    )
    .header(WWW_AUTHENTICATE, "Bearer")
}

impl From<Caller> for OrderRequester {
    fn from(caller: Caller) -> Self {
        Self { caller: Some(caller), token: None }
    }
}

impl From<Staff> for OrderRequester {
    fn from(Staff(caller): Staff) -> Self {
        caller.into()
    }
}

impl FromRequestParts<OrdersState> for OrderRequester {
    type Rejection = Problem;

    /// 401 without an access token and without an `Order-Token`. A token that is not one opens
    /// nothing.
    async fn from_request_parts(parts: &mut Parts, state: &OrdersState) -> Result<Self, Problem> {
        let caller = <Caller as OptionalFromRequestParts<OrdersState>>::from_request_parts;
        let caller = caller(parts, state).await?;
        let mut given = parts.headers.get_all(HEADER).iter();
        let (first, second) = (given.next(), given.next());
        if caller.is_none() && first.is_none() {
            return Err(needs_token());
        }
        let token = first.filter(|_| second.is_none());
        let token = token.and_then(|text| OrderToken::parse(text.as_bytes()));
        let token = token.map(|token| (token, state.order_tokens.clone()));
        Ok(Self { caller, token })
    }
}
