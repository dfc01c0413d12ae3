//! Facts: what events say happened, in the past tense; the published language of the
//! services.
//!
//! Changes are additive: a new kind, or a new optional field. A follower passes over a
//! kind it does not know. **Invariant:** a fact holds ids and figures only, never personal
//! data or a secret.

mod fields;

use serde::{Deserialize, Serialize};

pub use self::fields::{
    CodePurpose, ItemOrdered, Mismatch, OrderField, RefundFault, RevocationReason, Shortage,
    UndoneStep, UserField,
};
use crate::{Id, Listing, Money, Time, kinds};

/// One line a kind: its name on the wire and its variant.
macro_rules! published_language {
    ($($(#[doc = $doc:literal])* $kind:literal => $variant:ident $fields:tt)*) => {
        /// What happened. Encoded with its kind as the tag.
        #[expect(missing_docs, reason = "a field has a comment where its name and type leave a question")]
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Fact {
            $($(#[doc = $doc])* #[serde(rename = $kind)] $variant $fields,)*
        }

        impl Fact {
            /// The kind's name on the wire, `order.placed`.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $kind,)* }
            }

            /// Every kind, in the order of declaration.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// Every kind with its description, in the same order.
            pub const DESCRIPTIONS: &'static [(&'static str, &'static str)] =
                &[$(($kind, concat!($($doc),*))),*];

            /// Whether this program knows a kind of that name.
            pub fn knows(kind: &str) -> bool {
                Self::KINDS.contains(&kind)
            }
        }
    };
}

published_language! {
    /// An account was made.
    "user.registered" => UserRegistered {
        user_id: Id<kinds::User>,
        /// Whether they run the shop, as staff or admin.
        #[serde(default)]
        staff: bool
    }
    /// An account was changed. Its content is asked of users; the event carries only
    /// whether it is staff's, for those that notify staff.
    "user.updated" => UserUpdated {
        user_id: Id<kinds::User>,
        changed: Vec<UserField>,
        /// Whether they run the shop now, as staff or admin.
        staff: bool
    }
    /// A one-time code was requested. The code itself is asked of users.
    "user.code_requested" => UserCodeRequested {
        user_id: Id<kinds::User>,
        purpose: CodePurpose,
        /// When the code expires.
        until: Time
    }
    /// A change of an account's e-mail address was requested. It counts once its code is
    /// confirmed. Both addresses are asked of users.
    "user.email_change_requested" => UserEmailChangeRequested {
        user_id: Id<kinds::User>,
        change_id: Id<kinds::EmailChange>,
        /// Until when it can be undone.
        until: Time
    }
    /// An account's second factor was enrolled or removed.
    "user.second_factor_changed" => UserSecondFactorChanged {
        user_id: Id<kinds::User>,
        /// Whether the account has one.
        enrolled: bool
    }
    /// An account was disabled.
    "user.disabled" => UserDisabled {
        user_id: Id<kinds::User>
    }
    /// An account was erased: every service drops the personal data it holds.
    "user.erased" => UserErased {
        user_id: Id<kinds::User>
    }
    /// A session ended: its tokens are invalid.
    "session.revoked" => SessionRevoked {
        user_id: Id<kinds::User>,
        session_id: Id<kinds::Session>,
        /// When the last access token of the session expires by itself.
        until: Time,
        /// Absent in events of earlier versions.
        #[serde(default)]
        reason: Option<RevocationReason>
    }
    /// A key that signs tokens became valid; earlier ones end as its voucher says.
    "key.published" => KeyPublished (KeyPublished)
    /// A product was made.
    "product.created" => ProductCreated (Listing)
    /// A product was changed.
    "product.updated" => ProductUpdated (Listing)
    /// A product was removed.
    "product.deleted" => ProductDeleted {
        product_id: Id<kinds::Product>
    }
    /// A stock level was corrected, units were shipped, or the last available unit was
    /// reserved or released.
    "stock.adjusted" => StockAdjusted {
        product_id: Id<kinds::Product>,
        /// Units on hand.
        on_hand: i64,
        /// Units of these that are reserved for orders.
        reserved: i64
    }
    /// Every line of an order was reserved.
    "stock.reserved" => StockReserved {
        order_id: Id<kinds::Order>
    }
    /// A line of an order could not be reserved, so none was.
    "stock.refused" => StockRefused {
        order_id: Id<kinds::Order>,
        /// The lines that could not be reserved.
        shortages: Vec<Shortage>
    }
    /// The reservation of an order was released.
    "stock.released" => StockReleased {
        order_id: Id<kinds::Order>
    }
    /// The available units of a product fell below the shop's threshold.
    "stock.low" => StockLow {
        product_id: Id<kinds::Product>,
        /// Units on hand and not reserved.
        available: i64
    }
    /// An order was placed; its stock outcome is pending.
    "order.placed" => OrderPlaced {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        /// Each product once.
        items: Vec<ItemOrdered>
    }
    /// The order's stock was reserved.
    "order.confirmed" => OrderConfirmed {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// The order's stock was refused; the order is final.
    "order.rejected" => OrderRejected {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// The order was paid for in full.
    "order.paid" => OrderPaid {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// The order was shipped: its reserved units leave the stock.
    "order.shipped" => OrderShipped {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// The order was delivered.
    "order.delivered" => OrderDelivered {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// Staff corrected the order's address or parcel. What it is now is asked of orders.
    "order.corrected" => OrderCorrected {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        corrected: Vec<OrderField>,
        /// Whether it had been shipped by then.
        shipped: bool
    }
    /// Staff undid the order's last step, which was recorded by mistake.
    "order.step_undone" => OrderStepUndone {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        step: UndoneStep,
        /// Each product once: the shipped units, which are back in stock and reserved. Empty for
        /// other steps.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<ItemOrdered>
    }
    /// The order was cancelled before it was shipped; its reservation is released.
    "order.cancelled" => OrderCancelled {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        /// The payment that is returned.
        #[serde(default)]
        refunded: Option<Money>,
        /// The payment that its provider was asked to return.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refund_pending: Option<Money>
    }
    /// The account of the order's buyer was erased, or a guest's contact was, while the order may
    /// still be sent. It keeps its address until then.
    "order.buyer_erased" => OrderBuyerErased {
        order_id: Id<kinds::Order>
    }
    /// An account claimed a guest's order, which is its own from then on.
    "order.claimed" => OrderClaimed {
        order_id: Id<kinds::Order>,
        user_id: Id<kinds::User>
    }
    /// An order that products holds stock for is not known to orders: its data was rolled
    /// back, and that was accepted. The reservation is released.
    "order.lost" => OrderLost {
        order_id: Id<kinds::Order>
    }
    /// An order that is confirmed or paid lost its reservation: products or orders was rolled
    /// back, and that was accepted. Its stock is to be reserved again.
    "order.restored" => OrderRestored {
        order_id: Id<kinds::Order>,
        /// Each product once.
        items: Vec<ItemOrdered>
    }
    /// Money was returned.
    "order.refunded" => OrderRefunded {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        amount: Money,
        /// Whether the total is returned by now; the reservation is released then.
        in_full: bool
    }
    /// The buyer of a paid order asked to cancel it. Staff decide.
    "order.cancel_requested" => OrderCancelRequested {
        order_id: Id<kinds::Order>,
        /// Its owner; absent for a guest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>
    }
    /// A payment provider refused to return money, took that back, or did not say in time whether it
    /// did (`reason`). Staff send it.
    "refund.refused" => RefundRefused {
        order_id: Id<kinds::Order>,
        amount: Money,
        /// The provider's id of the payment.
        reference: String,
        /// Absent in events of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RefundFault>
    }
    /// A payment fits no order that expects it. It is recorded, and staff decide.
    "payment.unmatched" => PaymentUnmatched {
        /// The order that the payment names, if it exists.
        order_id: Option<Id<kinds::Order>>,
        /// Its owner. Absent in events of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Id<kinds::User>>,
        amount: Money,
        reason: Mismatch,
        /// The provider's id of the payment. Absent in events of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>
    }
    /// A signed message about money could not be read. It is recorded, and staff decide.
    "payment.unreadable" => PaymentUnreadable {
        /// The provider's id of the message.
        message_id: String,
        /// The type that it names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_type: Option<String>
    }
    /// A payment provider returned money, in its own console. No order is changed.
    "payment.refunded" => PaymentRefunded {
        /// The order that it names, if it exists.
        order_id: Option<Id<kinds::Order>>,
        amount: Money,
        /// The provider's id.
        reference: String
    }
    /// A payment is disputed: the payer wants it back from the provider. No order is changed.
    "payment.disputed" => PaymentDisputed {
        /// The order that it names, if it exists.
        order_id: Option<Id<kinds::Order>>,
        amount: Money,
        /// The provider's id.
        reference: String
    }
    /// Events could not be applied and wait for an operator, as dead letters of a service.
    "event.parked" => EventParked {
        /// The service that could not apply them.
        service: String,
        /// The service that published them.
        source: String,
        /// Sequence number of the first.
        seq: u64,
        /// How many are new.
        count: u64
    }
}

impl Fact {
    /// The product whose public representation changes with this fact: its content, or
    /// whether it is available. Every such change appends a fact of this kind.
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

/// A public key for tokens, signed by the shop's root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPublished {
    /// PASERK `k4.pid.…` of the key: what a token's footer names.
    pub kid: String,
    /// PASERK `k4.public.…`.
    pub key: String,
    /// A PASETO `v4.public` token of the root key, whose claims repeat `kid` and `key` and
    /// say when the key was published and when earlier keys end. A verifier trusts nothing
    /// else.
    pub voucher: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PublicationStatus, TaxClass};

    const ID: &str = "01h455vb4pex5vsknk084sn02q";

    fn id<K: crate::Kind>() -> Id<K> {
        format!("{}_{ID}", K::TYPE).parse().unwrap()
    }

    fn listing() -> Listing {
        Listing {
            product_id: id(),
            sku: "LAMP-1".into(),
            title: "Lamp".into(),
            price: euros(1999),
            status: PublicationStatus::Published,
            category: Some("Lighting > Lamps".into()),
            other_categories: Vec::new(),
            weight_g: None,
            tax_class: TaxClass::default(),
            requires_shipping: true,
        }
    }

    /// With nothing at its default.
    fn full_listing() -> Listing {
        Listing {
            other_categories: vec!["Sale".into()],
            weight_g: Some(1200),
            tax_class: "reduced".parse().unwrap(),
            requires_shipping: false,
            ..listing()
        }
    }

    fn euros(amount: i64) -> Money {
        Money { amount, currency: "EUR".parse().unwrap() }
    }

    fn parked() -> Fact {
        let (service, source) = ("products".into(), "orders".into());
        Fact::EventParked { service, source, seq: 7, count: 2 }
    }

    fn corrected() -> Fact {
        let corrected = vec![OrderField::ShippingAddress, OrderField::Tracking];
        Fact::OrderCorrected {
            order_id: id(),
            user_id: Some(id()),
            corrected,
            shipped: true,
        }
    }

    fn undone() -> Fact {
        let items = vec![ItemOrdered { product_id: id(), quantity: 3 }];
        let step = UndoneStep::Shipped;
        Fact::OrderStepUndone { order_id: id(), user_id: Some(id()), step, items }
    }

    fn cancelled(user_id: Option<Id<kinds::User>>) -> Fact {
        let refunded = Some(euros(5997));
        Fact::OrderCancelled { order_id: id(), user_id, refunded, refund_pending: None }
    }

    fn about_money(order_id: Id<kinds::Order>, user_id: Option<Id<kinds::User>>) -> Vec<Fact> {
        vec![
            Fact::OrderRefunded { order_id, user_id, amount: euros(1999), in_full: false },
            Fact::OrderCancelRequested { order_id, user_id },
            Fact::RefundRefused {
                order_id,
                amount: euros(1),
                reference: "pi_1".into(),
                reason: Some(RefundFault::Unanswered),
            },
            Fact::PaymentUnmatched {
                order_id: Some(order_id),
                user_id,
                amount: euros(1),
                reason: Mismatch::WrongAmount,
                reference: Some("pi_3MtwBwLkdIwHu7ix".into()),
            },
            Fact::PaymentUnreadable {
                message_id: "msg_1".into(),
                message_type: Some("payment.succeeded".into()),
            },
            Fact::PaymentRefunded {
                order_id: Some(order_id),
                amount: euros(1),
                reference: "re_1".into(),
            },
            Fact::PaymentDisputed { order_id: None, amount: euros(1), reference: "dp_1".into() },
        ]
    }

    /// One fact of every kind.
    fn samples() -> Vec<Fact> {
        let (user_id, order_id, product_id) = (id(), id(), id());
        let owner = Some(user_id);
        let mut facts = vec![
            Fact::UserRegistered { user_id, staff: false },
            Fact::UserUpdated {
                user_id,
                changed: vec![UserField::EmailVerified],
                staff: true,
            },
            Fact::UserCodeRequested {
                user_id,
                purpose: CodePurpose::PasswordReset,
                until: Time(1_795_369_454_120),
            },
            Fact::UserEmailChangeRequested {
                user_id,
                change_id: id(),
                until: Time(1_795_369_454_120),
            },
            Fact::UserSecondFactorChanged { user_id, enrolled: true },
            Fact::UserDisabled { user_id },
            Fact::UserErased { user_id },
            Fact::SessionRevoked {
                user_id,
                session_id: id(),
                until: Time(1_795_369_454_120),
                reason: Some(RevocationReason::Reused),
            },
            Fact::KeyPublished(KeyPublished {
                kid: "k4.pid.a".into(),
                key: "k4.public.b".into(),
                voucher: "v4.public.c".into(),
            }),
            Fact::ProductCreated(listing()),
            Fact::ProductUpdated(full_listing()),
            Fact::ProductDeleted { product_id },
            Fact::StockAdjusted { product_id, on_hand: 5, reserved: 2 },
            Fact::StockReserved { order_id },
            Fact::StockRefused {
                order_id,
                shortages: vec![Shortage { product_id, requested: 3, available: 1 }],
            },
            Fact::StockReleased { order_id },
            Fact::StockLow { product_id, available: 2 },
            Fact::OrderPlaced {
                order_id,
                user_id: owner,
                items: vec![ItemOrdered { product_id, quantity: 3 }],
            },
            Fact::OrderConfirmed { order_id, user_id: owner },
            Fact::OrderRejected { order_id, user_id: owner },
            Fact::OrderPaid { order_id, user_id: owner },
            Fact::OrderShipped { order_id, user_id: owner },
            Fact::OrderDelivered { order_id, user_id: owner },
            corrected(),
            undone(),
            cancelled(owner),
            Fact::OrderBuyerErased { order_id },
            Fact::OrderClaimed { order_id, user_id },
            Fact::OrderLost { order_id },
            Fact::OrderRestored {
                order_id,
                items: vec![ItemOrdered { product_id, quantity: 3 }],
            },
        ];
        facts.extend(about_money(order_id, owner));
        facts.push(parked());
        facts
    }

    /// A change of the snapshot is a change of what other programs read.
    #[test]
    fn every_kind_is_encoded_as_recorded() {
        let samples = samples();
        let kinds: Vec<_> = samples.iter().map(Fact::kind).collect();
        assert_eq!(kinds, Fact::KINDS, "one sample of every kind");
        insta::assert_json_snapshot!(samples);
    }
}
