//! Who may open a cart: whoever sends its token, and the account that it belongs to.
//!
//! **Invariant:** for a stranger the same work is done whether the cart exists or not, so neither
//! the response nor its time tells.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use chassis::mac::MacKey;
use chassis::{Caller, Problem};
use data_encoding::BASE64URL_NOPAD;
use model::{CartId, UserId};
use store::{Key, Read};

use super::Carts;
use super::domain::Cart;
use super::tables::CARTS;
use crate::Error;

const HEADER: &str = "cart-token";

/// The secret that opens a cart: 256 random bits. It has no `Debug`, so it cannot reach a log.
#[derive(Clone, Copy)]
pub(super) struct CartToken([u8; 32]);

impl CartToken {
    pub(super) fn generate() -> Self {
        Self(rand::random())
    }

    /// As its holder sends it.
    pub(super) fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// The token of the request's header, of which there must be one.
    fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(HEADER).iter();
        let (first, None) = (given.next()?, given.next()) else {
            return None;
        };
        let bytes = BASE64URL_NOPAD.decode(first.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Its MAC, to be stored.
    pub(super) fn mac(&self, key: &MacKey, id: CartId) -> [u8; 16] {
        key.mac(&[b"token", &id.encode(), &self.0])
    }

    fn matches(&self, key: &MacKey, id: CartId, mac: [u8; 16]) -> bool {
        key.is_mac(&[b"token", &id.encode(), &self.0], mac)
    }
}

/// What a request says of who sends it.
#[derive(Clone)]
pub(super) struct CartRequester {
    pub(super) user_id: Option<UserId>,
    token: Option<CartToken>,
}

impl<S: Send + Sync> FromRequestParts<S> for CartRequester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller =
            <Caller as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self {
            user_id: caller.map(|caller| caller.user_id),
            token: CartToken::of_headers(&parts.headers),
        })
    }
}

impl Carts {
    /// The cart, for its holder.
    ///
    /// # Errors
    /// [`Error::NotFound`] for everybody else, and where there is none.
    pub(super) fn find(
        &self,
        from: &impl Read,
        id: CartId,
        who: &CartRequester,
    ) -> Result<Cart, Error> {
        let cart = from.get(CARTS, &id)?;
        let stored = cart.as_ref().and_then(|cart| cart.token);
        let given = who.token.unwrap_or(CartToken([0; 32]));
        let is_right = given.matches(&self.key, id, stored.unwrap_or_default());
        let has_token = is_right && stored.is_some() && who.token.is_some();
        let owner = cart.as_ref().and_then(|cart| cart.owner);
        let is_owner = owner.is_some() && owner == who.user_id;
        match cart {
            Some(cart) if has_token || is_owner => Ok(cart),
            _ => Err(Error::NotFound),
        }
    }
}
