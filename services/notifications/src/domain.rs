//! Notification: its topics. Pure.
//!
//! `inbox` holds the order of an inbox, and its retention.

mod inbox;

use chassis::dead_letters::NewDeadLetters;
use mesh::OrderDetails;
use model::{
    Id, Mismatch, Money, OrderId, RefundFault, SessionId, Time, UndoneStep, UserId, kinds,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::inbox::{Retention, next_id};

pub(crate) type NotificationId = Id<kinds::Notification>;

/// The kinds of mail that are no notification, for logs and names of templates.
pub(crate) const CODE_KIND: &str = "user.code_requested";
pub(crate) const EMAIL_UNDO_KIND: &str = "user.email_change_requested";
pub(crate) const DIGEST_KIND: &str = "digest";

/// One entry of an inbox. Its text is not stored: `text` renders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notification {
    pub(crate) topic: Topic,
    /// When the owner marked it read.
    pub(crate) read_at: Option<Time>,
    /// When its event happened.
    pub(crate) created_at: Time,
    /// What it counts besides; the topic is then the latest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counted: Option<Counted>,
}

/// The notifications of one kind that share an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    pub(crate) since: Time,
}

impl ::store::Record for Notification {}

/// Who is notified of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The person whom it is about: the account's or the order's owner.
    Owner,
    /// Everybody with a staff role.
    Staff,
}

/// Whether a kind is sent by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailRule {
    /// It is about the account's safety, so no preference turns it off.
    Always,
    /// Unless the recipient turns it off.
    Usually,
    /// If the recipient asks for it.
    OnRequest,
    /// A mail about mail that fails could fail, too.
    Never,
}

/// What is known of a kind without a notification of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KindRule {
    pub(crate) kind: &'static str,
    pub(crate) audience: Audience,
    pub(crate) mail: MailRule,
}

/// One line per kind: its published name, its audience, whether it is mailed, its variant.
macro_rules! topics {
    ($($(#[$doc:meta])* $kind:literal ($audience:ident, $mail:ident) => $variant:ident $fields:tt)*) => {
        /// Topic of a notification: a kind and its data. In responses and
        /// records alike `{"kind": …, "data": {…}}`. Ids and figures only.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "data")]
        pub(crate) enum Topic {
            $($(#[$doc])* #[serde(rename = $kind)] $variant $fields,)*
        }

        impl Topic {
            /// Every kind.
            pub(crate) const RULES: &[KindRule] = &[$(KindRule {
                kind: $kind,
                audience: Audience::$audience,
                mail: MailRule::$mail,
            }),*];

            /// The kind's name: that of its event, where there is one.
            pub(crate) fn kind(&self) -> &'static str {
                self.rule().kind
            }

            pub(crate) fn rule(&self) -> KindRule {
                match self { $(Self::$variant { .. } => KindRule {
                    kind: $kind,
                    audience: Audience::$audience,
                    mail: MailRule::$mail,
                },)* }
            }
        }
    };
}

topics! {
    /// The account was created.
    "user.registered" (Owner, OnRequest) => UserRegistered {}
    /// The account's password was changed.
    "user.password_changed" (Owner, Always) => PasswordChanged {}
    /// The account's address was changed.
    "user.email_changed" (Owner, Always) => EmailChanged {}
    /// The account's second factor was enrolled or removed.
    "user.second_factor_changed" (Owner, Always) => SecondFactorChanged {
        /// Whether the account has one.
        enrolled: bool
    }
    /// A spent refresh token was reused, so its session ended.
    "session.reused" (Owner, Always) => SessionReused {
        session_id: SessionId
    }
    /// The order's stock is reserved.
    "order.confirmed" (Owner, Usually) => OrderConfirmed {
        order_id: Id<kinds::Order>
    }
    /// The order's stock could not be reserved.
    "order.rejected" (Owner, Usually) => OrderRejected {
        order_id: Id<kinds::Order>
    }
    /// The order was paid in full.
    "order.paid" (Owner, Usually) => OrderPaid {
        order_id: Id<kinds::Order>
    }
    /// The order was shipped.
    "order.shipped" (Owner, Usually) => OrderShipped {
        order_id: Id<kinds::Order>
    }
    /// The carrier or number of the order's parcel was corrected after it was shipped.
    "order.corrected" (Owner, Usually) => OrderCorrected {
        order_id: Id<kinds::Order>
    }
    /// The order was delivered.
    "order.delivered" (Owner, Usually) => OrderDelivered {
        order_id: Id<kinds::Order>
    }
    /// Staff undid the order's last step, which was recorded by mistake.
    "order.step_undone" (Owner, Usually) => OrderStepUndone {
        order_id: Id<kinds::Order>,
        step: UndoneStep
    }
    /// The order was cancelled.
    "order.cancelled" (Owner, Usually) => OrderCancelled {
        order_id: Id<kinds::Order>,
        /// The payment that is refunded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refunded: Option<Money>
    }
    /// A refund of the order was made.
    "order.refunded" (Owner, Usually) => OrderRefunded {
        order_id: Id<kinds::Order>,
        amount: Money,
        /// Whether the order is now refunded completely.
        in_full: bool
    }
    /// A payment for the order is recorded that the order does not need, or not like this.
    "order.payment_kept" (Owner, Usually) => OrderPaymentKept {
        order_id: Id<kinds::Order>,
        amount: Money,
        reason: Mismatch,
        /// The provider's id of the payment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>
    }
    /// To staff: a new order. Its stock is reserved, so it is one that can be fulfilled.
    "order.placed" (Staff, Usually) => OrderPlaced {
        order_id: Id<kinds::Order>
    }
    /// To staff: an order was paid in full.
    "order.payment_received" (Staff, OnRequest) => OrderPaymentReceived {
        order_id: Id<kinds::Order>
    }
    /// To staff: its buyer cancelled an order that was not paid.
    "order.cancelled_by_buyer" (Staff, OnRequest) => OrderCancelledByBuyer {
        order_id: Id<kinds::Order>
    }
    /// To staff: the buyer of a paid order asked to cancel it.
    "order.cancel_requested" (Staff, Usually) => OrderCancelRequested {
        order_id: Id<kinds::Order>
    }
    /// To staff: the buyer of an order that may still be sent is erased.
    "order.buyer_erased" (Staff, Usually) => OrderBuyerErased {
        order_id: Id<kinds::Order>
    }
    /// To staff: a paid order was cancelled, and its payment has to be sent back, or its provider
    /// did not send it, or does not say whether it did.
    "refund.due" (Staff, Usually) => RefundDue {
        order_id: Id<kinds::Order>,
        amount: Money,
        /// Whether its buyer cancelled it.
        by_buyer: bool,
        /// The id of the payment that its provider did not send back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Why its provider did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RefundFault>
    }
    /// To staff: the available stock of a product is low.
    "stock.low" (Staff, OnRequest) => StockLow {
        product_id: Id<kinds::Product>,
        /// Units that can still be sold.
        available: i64
    }
    /// To staff: a payment matches no order that is due.
    "payment.unmatched" (Staff, Usually) => PaymentUnmatched {
        /// The order it names, if that exists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<Id<kinds::Order>>,
        amount: Money,
        reason: Mismatch,
        /// The provider's id of the payment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>
    }
    /// To staff: a signed message about money could not be read.
    "payment.unreadable" (Staff, Usually) => PaymentUnreadable {
        /// The provider's id of the message.
        message_id: String,
        /// The type that it names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_type: Option<String>
    }
    /// To staff: the payment provider returned money.
    "payment.refunded" (Staff, Usually) => PaymentRefunded {
        /// The order that it names, if that exists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<Id<kinds::Order>>,
        amount: Money,
        /// The provider's id.
        reference: String
    }
    /// To staff: the payer wants a payment back.
    "payment.disputed" (Staff, Usually) => PaymentDisputed {
        /// The order that it names, if that exists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<Id<kinds::Order>>,
        amount: Money,
        /// The provider's id.
        reference: String
    }
    /// To staff: a mail was given up.
    "mail.failed" (Staff, Never) => MailFailed {
        /// The recipient; absent for a guest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        /// The order that the mail is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<Id<kinds::Order>>,
        /// The kind of its topic.
        about: String,
        /// The mail, where it can be sent again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mail_id: Option<Id<kinds::Mail>>,
        /// The last SMTP reply code, where the server gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>
    }
    /// To staff: no mail has been accepted by the server for some time.
    "mail.delayed" (Staff, Never) => MailDelayed {
        since: Time,
        /// The last SMTP reply code, where the server gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>
    }
    /// To staff: a mail was accepted after such a notification.
    "mail.recovered" (Staff, OnRequest) => MailRecovered {}
    /// To staff: no message of a webhook has been accepted for some time.
    "webhook.failing" (Staff, Usually) => WebhookFailing {
        webhook_id: Id<kinds::Webhook>,
        since: Time
    }
    /// To staff: a webhook failed for so long that it was disabled.
    "webhook.disabled" (Staff, Usually) => WebhookDisabled {
        webhook_id: Id<kinds::Webhook>
    }
    /// To staff: new dead letters wait for an operator.
    "event.parked" (Staff, Usually) => EventParked {
        /// The service that could not apply them; absent in old entries, which are about this one.
        #[serde(default = "this_service")]
        service: String,
        /// The service that published them.
        source: String,
        /// Sequence number of the first.
        seq: u64,
        /// Number since the last notification.
        count: u64
    }
    /// To staff: the last backup failed.
    "backup.failed" (Staff, Usually) => BackupFailed {}
    /// To staff: the last backup is older than the settings expect.
    "backup.overdue" (Staff, Usually) => BackupOverdue {
        /// When the last one succeeded, if any has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        succeeded_at: Option<Time>,
        /// The age from which on one is overdue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_hours: Option<u32>
    }
    /// To staff: a backup succeeded after such a notification.
    "backup.recovered" (Staff, OnRequest) => BackupRecovered {}
}

fn this_service() -> String {
    "notifications".into()
}

impl Topic {
    /// Dead letters of this service.
    pub(crate) fn parked_here(new: &NewDeadLetters) -> Self {
        let NewDeadLetters { source, seq, count, .. } = *new;
        let source = source.to_owned();
        Self::EventParked { service: this_service(), source, seq, count }
    }

    /// Whether a mail of it says something new. The buyer of an order that was rejected at once
    /// has read so in the response.
    pub(crate) fn is_news(&self, order: &OrderDetails) -> bool {
        !matches!(self, Self::OrderRejected { .. }) || order.outcome_was_awaited
    }

    /// Whether it is one of many alike that a list shows as well, so that many at once may
    /// share an entry.
    pub(crate) fn is_routine(&self) -> bool {
        matches!(
            self,
            Self::OrderPlaced { .. }
                | Self::OrderPaymentReceived { .. }
                | Self::OrderCancelledByBuyer { .. }
                | Self::StockLow { .. }
        )
    }

    /// The order that it is about.
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        match *self {
            Self::OrderConfirmed { order_id }
            | Self::OrderRejected { order_id }
            | Self::OrderPaid { order_id }
            | Self::OrderShipped { order_id }
            | Self::OrderCorrected { order_id }
            | Self::OrderDelivered { order_id }
            | Self::OrderStepUndone { order_id, .. }
            | Self::OrderCancelled { order_id, .. }
            | Self::OrderRefunded { order_id, .. }
            | Self::OrderPaymentKept { order_id, .. }
            | Self::OrderPlaced { order_id }
            | Self::OrderPaymentReceived { order_id }
            | Self::OrderCancelledByBuyer { order_id }
            | Self::OrderCancelRequested { order_id }
            | Self::OrderBuyerErased { order_id }
            | Self::RefundDue { order_id, .. }
            | Self::PaymentUnmatched { order_id: Some(order_id), .. }
            | Self::PaymentRefunded { order_id: Some(order_id), .. }
            | Self::PaymentDisputed { order_id: Some(order_id), .. } => Some(order_id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_id() -> Id<kinds::Order> {
        "order_01h455vb4pex5vsknk084sn02q".parse().unwrap()
    }

    #[test]
    fn kinds_are_named_as_they_are_written() {
        let order_id = order_id();
        let euros = Money { amount: 1999, currency: "EUR".parse().unwrap() };
        let topics = [
            (Topic::UserRegistered {}, "{}"),
            (
                Topic::OrderConfirmed { order_id },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\"}",
            ),
            (
                Topic::OrderRefunded { order_id, amount: euros, in_full: false },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\",\"amount\":{\"amount\":1999,\"currency\":\"EUR\"},\"in_full\":false}",
            ),
        ];
        for (topic, data) in topics {
            let text = serde_json::to_string(&topic).unwrap();
            let kind = topic.kind();
            assert_eq!(text, format!("{{\"kind\":\"{kind}\",\"data\":{data}}}"));
            assert!(Topic::RULES.contains(&topic.rule()));
        }
    }

    /// The bytes that other versions will read.
    #[test]
    fn golden_bytes() {
        let entry = Notification {
            topic: Topic::OrderConfirmed { order_id: order_id() },
            read_at: None,
            created_at: Time(7),
            counted: None,
        };
        let bytes = ::store::encode(&entry).unwrap();
        let mut golden = b"\x01\x83\xa5topic\x82\xa4kind\xaforder.confirmed\xa4data".to_vec();
        golden.extend_from_slice(b"\x81\xa8order_id\xc4\x10");
        golden.extend_from_slice(order_id().uuid().as_bytes());
        golden.extend_from_slice(b"\xa7read_at\xc0\xaacreated_at\x07");
        assert_eq!(bytes, golden);
        assert_eq!(::store::decode::<Notification>(&bytes).unwrap(), entry);
    }
}
