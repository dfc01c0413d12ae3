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
        user_id: Id<kinds::User>,
        /// Whether they run the shop, as staff or admin.
        #[serde(default)]
        staff: bool
    }
    /// An account was changed. What it is now is asked of users, who knows; only
    /// whether it is staff's is told, for whoever addresses those.
    "user.updated" => UserUpdated {
        /// Whose.
        user_id: Id<kinds::User>,
        /// What of it.
        changed: Vec<UserField>,
        /// Whether they run the shop now, as staff or admin.
        staff: bool
    }
    /// Somebody asked for a one-time code. The code itself is asked of users.
    "user.code_requested" => UserCodeRequested {
        /// For which account.
        user_id: Id<kinds::User>,
        /// What it will allow.
        purpose: CodePurpose,
        /// From when on it is worth nothing.
        until: Time
    }
    /// An account may not be used any more.
    "user.disabled" => UserDisabled {
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// A person is forgotten: whatever is personal about them is to be dropped.
    "user.erased" => UserErased {
        /// Who it was.
        user_id: Id<kinds::User>
    }
    /// A login's tokens no longer count.
    "session.revoked" => SessionRevoked {
        /// Whose login.
        user_id: Id<kinds::User>,
        /// Which login.
        session_id: Id<kinds::Session>,
        /// When the last access token of the session has expired anyway.
        until: Time,
        /// Why, where it was written down.
        #[serde(default)]
        reason: Option<RevocationReason>
    }
    /// A key that signs tokens may be trusted; those before it end when it says.
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
    /// The number of pieces was corrected, pieces left the house, or the last one
    /// that could be sold was promised or is free again.
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
    /// Fewer pieces of a product can be sold than the shop wants to have.
    "stock.low" => StockLow {
        /// Of what.
        product_id: Id<kinds::Product>,
        /// Pieces that can still be sold.
        available: i64
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
    /// The order was paid for in full.
    "order.paid" => OrderPaid {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// The order left the house: what was held for it is gone from the shelf.
    "order.shipped" => OrderShipped {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// The order arrived.
    "order.delivered" => OrderDelivered {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>
    }
    /// The order is off before it was shipped; what is held for it is free.
    "order.cancelled" => OrderCancelled {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>,
        /// What was paid and goes back.
        #[serde(default)]
        refunded: Option<Money>
    }
    /// Money went back.
    "order.refunded" => OrderRefunded {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// Whose.
        user_id: Id<kinds::User>,
        /// How much this time.
        amount: Money,
        /// Whether that was the rest of it. What is still held is free then.
        in_full: bool
    }
    /// Money came that belongs to no order in need of it. It is kept on record;
    /// staff decide.
    "payment.unmatched" => PaymentUnmatched {
        /// For which order it was meant, if there is such an order.
        order_id: Option<Id<kinds::Order>>,
        /// How much.
        amount: Money,
        /// Why it fits nothing.
        reason: Mismatch
    }
}

impl Fact {
    /// The product that is shown otherwise from now on, if one is: its content, or
    /// whether it can be had. Every such change is told by a fact of this kind.
    pub fn product_shown_anew(&self) -> Option<Id<kinds::Product>> {
        match self {
            Self::ProductCreated(listing) | Self::ProductUpdated(listing) => {
                Some(listing.product_id)
            }
            Self::ProductDeleted { product_id } | Self::StockAdjusted { product_id, .. } => {
                Some(*product_id)
            }
            _ => None,
        }
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
    /// and `key` and say when it was published and when the keys before it end; a
    /// verifier believes nothing else.
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

/// A part of an account that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserField {
    /// Their name.
    Name,
    /// Their address.
    Email,
    /// That the address is theirs.
    EmailVerified,
    /// Their password.
    Password,
    /// What they may do.
    Roles,
    /// Whether the account may be used.
    Status,
    /// A part this program does not know.
    #[serde(other)]
    Unknown,
}

/// What a one-time code allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePurpose {
    /// A new password without the old one.
    PasswordReset,
    /// To show that an address is one's own.
    EmailVerification,
    /// Something this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// Its owner ended it, here or from another login.
    Ended,
    /// A spent refresh token was used again: somebody else may have it.
    Reused,
    /// The password is another one.
    PasswordChanged,
    /// The account was disabled, erased, or lost a role.
    AccountChanged,
    /// A newer login took its place.
    TooMany,
    /// A reason this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why a payment fits no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// There is no such order.
    UnknownOrder,
    /// The amount or the currency is not the order's.
    WrongAmount,
    /// The order was already paid for.
    AlreadyPaid,
    /// The order is over: cancelled, rejected, or refunded.
    OrderOver,
    /// A reason this program does not know.
    #[serde(other)]
    Unknown,
}
