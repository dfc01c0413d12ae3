//! A request to place an order: who asks for what, when, and under which key.

use axum::http::HeaderMap;
use chassis::idempotency::{BoundKey, IdempotencyGuard};
use chassis::{Caller, Problem, accept_language};
use model::{ApiKeyId, CustomerId, OrderId, Time, UserId};
use store::Read;

use crate::carts::tables::OrderedCart;
use crate::customers::{erasure, guests};
use crate::domain::{Buyer, BuyerContact, Guest};
use crate::quoting::QuoteRequest;
use crate::wire::OrderContent;

/// A request to place an order.
pub(crate) struct PlaceOrder {
    pub(crate) order_id: OrderId,
    pub(crate) by: PlacedBy,
    pub(crate) known_as: KnownAs,
    pub(crate) content: OrderContent,
    /// The cart that the content is of.
    pub(crate) cart: Option<OrderedCart>,
    /// The language of its messages, as a BCP 47 tag.
    pub(crate) language: Option<String>,
    pub(crate) request_id: String,
    pub(crate) key: Option<BoundKey>,
    pub(crate) at: Time,
}

/// What the buyer is known as besides, where uses of promotions are counted by buyer.
#[derive(Default)]
pub(crate) struct KnownAs {
    /// An account's address, whose guest is the same buyer.
    pub(crate) email: Option<String>,
    /// The customers that the accounts of a guest's address are.
    pub(crate) accounts: Vec<CustomerId>,
}

/// Who places an order.
pub(crate) enum PlacedBy {
    Account {
        id: UserId,
        /// The key that the account's program places it with.
        via: Option<ApiKeyId>,
    },
    Guest(BuyerContact),
}

impl PlaceOrder {
    /// A request of now. The id has the time of creation, so lists find a day's
    /// orders by their ids.
    pub(crate) fn new(
        by: PlacedBy,
        headers: &HeaderMap,
        guard: &IdempotencyGuard,
        content: OrderContent,
        cart: Option<OrderedCart>,
    ) -> Self {
        let order_id = OrderId::new();
        Self {
            order_id,
            by,
            known_as: KnownAs::default(),
            content,
            cart,
            language: accept_language::preferred(headers),
            request_id: guard.request_id.clone(),
            key: guard.key.clone(),
            at: order_id.made_at(),
        }
    }

    pub(super) fn quote<'a>(&'a self, buyers: &'a [CustomerId]) -> QuoteRequest<'a> {
        QuoteRequest {
            items: &self.content.items,
            ship_to: self.content.shipping_address.as_ref(),
            shipping_method_id: self.content.shipping_method_id,
            codes: &self.content.codes,
            buyers,
            at: self.at,
        }
    }
}

impl PlacedBy {
    /// The buyer: a guest of a known address is the same customer.
    ///
    /// # Errors
    /// 401 for an account that was erased while its token was good.
    pub(super) fn buyer(&self, from: &impl Read) -> Result<Buyer, Problem> {
        Ok(match self {
            Self::Account { id, .. } if erasure::is_erased(from, *id)? => {
                return Err(Problem::unauthenticated());
            }
            Self::Account { id, .. } => Buyer::Account(*id),
            Self::Guest(contact) => {
                let known = guests::of_email(from, &contact.email)?;
                let id = known.unwrap_or_else(CustomerId::new);
                Buyer::Guest(Guest { id, contact: Some(contact.clone()) })
            }
        })
    }
}

impl From<&Caller> for PlacedBy {
    fn from(caller: &Caller) -> Self {
        Self::Account { id: caller.user_id, via: caller.api_key }
    }
}
