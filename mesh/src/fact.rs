//! The published language: everything services tell each other, in the past
//! tense. Ids and figures only; never personal data, never a secret.
//!
//! Changes are additive: a new kind, or a new optional field. A follower that
//! meets a kind it does not know passes over it.

use serde::{Deserialize, Serialize};

use crate::{Id, Money, Time, kinds};

/// One line a kind: its name on the wire and its variant.
macro_rules! published_language {
    ($($(#[$doc:meta])* $kind:literal => $variant:ident $fields:tt)*) => {
        /// What happened. Encoded with its kind as the tag.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Fact {
            $($(#[$doc])* #[serde(rename = $kind)] $variant $fields,)*
        }

        impl Fact {
            /// The kind's name on the wire, `order.placed`.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $kind,)* }
            }

            /// Whether this program knows a kind of that name.
            pub fn knows(kind: &str) -> bool {
                [$($kind),*].contains(&kind)
            }
        }
    };
}

published_language! {
    /// An account was made.
    "user.registered" => UserRegistered {
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// A login's tokens no longer count.
    "session.revoked" => SessionRevoked {
        /// Whose login.
        user_id: Id<kinds::User>,
        /// Which login.
        session_id: Id<kinds::Session>,
        /// When the last access token of the session has expired anyway.
        until: Time
    }
    /// A key that signs tokens may be trusted.
    "key.published" => KeyPublished (KeyPublished)
    /// A product was made.
    "product.created" => ProductCreated (Listing)
    /// A product was changed.
    "product.updated" => ProductUpdated (Listing)
    /// A product was removed.
    "product.deleted" => ProductDeleted {
        /// Which.
        product_id: Id<kinds::Product>
    }
    /// Somebody corrected how many pieces there are.
    "stock.adjusted" => StockAdjusted {
        /// Of what.
        product_id: Id<kinds::Product>,
        /// Pieces in the house now.
        on_hand: i64,
        /// Of those, promised to orders.
        reserved: i64
    }
    /// Every line of an order is held.
    "stock.reserved" => StockReserved {
        /// For which order.
        order_id: Id<kinds::Order>
    }
    /// Not every line could be held, so none is.
    "stock.refused" => StockRefused {
        /// For which order.
        order_id: Id<kinds::Order>,
        /// What was short.
        shortages: Vec<Shortage>
    }
    /// What was held for an order is free again.
    "stock.released" => StockReleased {
        /// Of which order.
        order_id: Id<kinds::Order>
    }
    /// Somebody ordered; stock is not settled yet.
    "order.placed" => OrderPlaced {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>,
        /// What, each product once.
        items: Vec<ItemOrdered>
    }
    /// The order's stock is held.
    "order.confirmed" => OrderConfirmed {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// The order could not be held and is over.
    "order.rejected" => OrderRejected {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>
    }
}

/// A public key for tokens, vouched for by the shop's root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPublished {
    /// PASERK `k4.pid.…` of the key: what a token's footer names.
    pub kid: String,
    /// PASERK `k4.public.…`.
    pub key: String,
    /// A PASETO `v4.public` token made by the root key whose claims repeat `kid`
    /// and `key`; a verifier believes nothing else.
    pub voucher: String,
}

/// What others need to know of a product to sell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Which product.
    pub product_id: Id<kinds::Product>,
    /// The shop's own number for it.
    pub sku: String,
    /// Its name.
    pub title: String,
    /// What one piece costs.
    pub price: Money,
    /// Whether it may be sold.
    pub status: PublicationStatus,
}

/// Where a product is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationStatus {
    /// Being written; only staff see it.
    Draft,
    /// For sale.
    Published,
    /// No longer sold, kept for its orders.
    Archived,
}

/// One line of an order, as products needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOrdered {
    /// What.
    pub product_id: Id<kinds::Product>,
    /// How many pieces, 1..=1000.
    pub quantity: u32,
}

/// A line that could not be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Of what.
    pub product_id: Id<kinds::Product>,
    /// How many were asked for.
    pub requested: u32,
    /// How many were there.
    pub available: i64,
}
