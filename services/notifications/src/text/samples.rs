//! Sample data of every kind, for previews and tests: one order of two lines, to be seen in
//! every state.

use std::collections::BTreeMap;

use mesh::{Contact, OrderChange, OrderChargesDetails, OrderDetails, OrderLineDetails};
use model::{CodePurpose, Id, Kind, Mismatch, Money, OrderId, RefundFault, Time, UndoneStep};

use super::order::OrderData;
use crate::domain::{Audience, CODE_KIND, DIGEST_KIND, EMAIL_UNDO_KIND, KindRule, Topic};

/// The UUID of every id.
const ID: &str = "01h455vb4pex5vsknk084sn02q";

/// A time that reads well: 2026-11-22T17:44:14.120Z.
const AT: Time = Time(1_795_369_454_120);

/// What a mail is made of.
pub(crate) enum MailSample {
    Notice(Topic),
    Code(CodePurpose),
    EmailUndo,
    /// A digest of this kind.
    Digest(String),
}

/// The samples of a kind, the most usual first; none for a name that is no kind of mail.
pub(crate) fn of_kind(kind: &str) -> Vec<MailSample> {
    match kind {
        CODE_KIND => [
            CodePurpose::PasswordReset,
            CodePurpose::EmailVerification,
            CodePurpose::EmailChange,
        ]
        .map(MailSample::Code)
        .into(),
        EMAIL_UNDO_KIND => vec![MailSample::EmailUndo],
        DIGEST_KIND => {
            let for_staff = |rule: &&KindRule| rule.audience == Audience::Staff;
            let rules = Topic::RULES.iter().filter(for_staff);
            rules
                .map(|rule| MailSample::Digest(rule.kind.to_owned()))
                .collect()
        }
        _ => {
            let topics = topics().into_iter().filter(|topic| topic.kind() == kind);
            topics.map(MailSample::Notice).collect()
        }
    }
}

/// Every kind of mail.
pub(crate) fn kinds() -> Vec<&'static str> {
    let notices = Topic::RULES.iter().map(|rule| rule.kind);
    let others = [CODE_KIND, EMAIL_UNDO_KIND, DIGEST_KIND];
    notices.chain(others).collect()
}

/// Refunds that no provider was asked for, and those that one did not make.
fn of_refunds(order_id: OrderId, amount: Money) -> impl Iterator<Item = Topic> {
    use RefundFault::{Refused, Returned, Unanswered};
    let by_hand = [true, false].map(|by_buyer| Topic::RefundDue {
        order_id,
        amount,
        by_buyer,
        reference: None,
        reason: None,
    });
    let by_provider = [Refused, Returned, Unanswered].map(|reason| Topic::RefundDue {
        order_id,
        amount,
        by_buyer: false,
        reference: Some("pi_3MtwBwLkdIwHu7ix".into()),
        reason: Some(reason),
    });
    by_hand.into_iter().chain(by_provider)
}

/// What providers say of money that staff look into.
fn of_money(order_id: OrderId, amount: Money) -> Vec<Topic> {
    vec![
        Topic::PaymentUnmatched {
            order_id: Some(order_id),
            amount,
            reason: Mismatch::AlreadyPaid,
            reference: Some("pi_3MtwBwLkdIwHu7ix".into()),
        },
        Topic::PaymentUnmatched {
            order_id: None,
            amount,
            reason: Mismatch::UnknownOrder,
            reference: None,
        },
        Topic::PaymentUnreadable {
            message_id: "msg_2kd8".into(),
            message_type: Some("payment.succeeded".into()),
        },
        Topic::PaymentRefunded {
            order_id: Some(order_id),
            amount,
            reference: "re_3MtwBwLkdIwHu7ix".into(),
        },
        Topic::PaymentDisputed {
            order_id: None,
            amount,
            reference: "dp_1MtwBwLkdIwHu7ix".into(),
        },
    ]
}

/// Notifications of every kind.
pub(crate) fn topics() -> Vec<Topic> {
    let (order_id, session_id, product_id) = (id(), id(), id());
    let amount = euros(7_995);
    let mut topics = vec![
        Topic::UserRegistered {},
        Topic::PasswordChanged {},
        Topic::EmailChanged {},
        Topic::SecondFactorChanged { enrolled: true },
        Topic::SecondFactorChanged { enrolled: false },
        Topic::SessionReused { session_id },
        Topic::OrderConfirmed { order_id },
        Topic::OrderRejected { order_id },
        Topic::OrderPaid { order_id },
        Topic::OrderShipped { order_id },
        Topic::OrderCorrected { order_id },
        Topic::OrderDelivered { order_id },
        Topic::OrderStepUndone { order_id, step: UndoneStep::Paid },
        Topic::OrderStepUndone { order_id, step: UndoneStep::Shipped },
        Topic::OrderStepUndone { order_id, step: UndoneStep::Delivered },
        Topic::OrderCancelled { order_id, refunded: Some(amount) },
        Topic::OrderCancelled { order_id, refunded: None },
        Topic::OrderRefunded { order_id, amount: euros(2_999), in_full: false },
        Topic::OrderRefunded { order_id, amount, in_full: true },
        Topic::OrderPaymentKept {
            order_id,
            amount,
            reason: Mismatch::OrderOver,
            reference: Some("pi_3MtwBwLkdIwHu7ix".into()),
        },
        Topic::OrderPlaced { order_id },
        Topic::OrderPaymentReceived { order_id },
        Topic::OrderCancelledByBuyer { order_id },
        Topic::OrderCancelRequested { order_id },
        Topic::OrderBuyerErased { order_id },
        Topic::StockLow { product_id, available: 3 },
        Topic::MailFailed {
            mail_id: None,
            user_id: Some(id()),
            order_id: None,
            about: "order.paid".into(),
            code: Some(550),
        },
        Topic::MailDelayed { since: AT, code: Some(535) },
        Topic::MailRecovered {},
        Topic::WebhookFailing { webhook_id: id(), since: AT },
        Topic::WebhookDisabled { webhook_id: id() },
        Topic::EventParked {
            service: "products".into(),
            source: "orders".into(),
            seq: 7,
            count: 1,
        },
        Topic::BackupFailed {},
        Topic::BackupOverdue { succeeded_at: Some(AT), expected_hours: Some(26) },
        Topic::BackupOverdue { succeeded_at: None, expected_hours: Some(26) },
        Topic::BackupRecovered {},
    ];
    topics.extend(of_refunds(order_id, amount));
    topics.extend(of_money(order_id, amount));
    topics
}

/// The order of a notification, if it is about one.
pub(crate) fn order(topic: &Topic) -> Option<OrderData> {
    let order_id = topic.order_id()?;
    let is_short = matches!(topic, Topic::OrderRejected { .. });
    let lamp = "Desk lamp with a very long arm, dimmable, brass";
    let lines = vec![
        line("LAMP-1", lamp, 2, 2_499, is_short.then_some(1)),
        line("MÖB-7", "Hocker „Söhne & Töchter“ <rot>", 1, 2_997, None),
    ];
    Some(order_with(topic, order_id, lines))
}

/// An order of so many equal lines, all of which are short.
#[cfg(test)]
pub(crate) fn order_of_lines(topic: &Topic, count: usize) -> OrderData {
    let lines = vec![line("LAMP-1", "Desk lamp", 1, 2_499, Some(0)); count];
    order_with(topic, id(), lines)
}

fn order_with(topic: &Topic, order_id: OrderId, items: Vec<OrderLineDetails>) -> OrderData {
    const BROKEN: &str = "The lamp was broken in our warehouse.";
    let (by, reason) = match topic {
        Topic::OrderCancelled { refunded: None, .. } => ("expiry", Some("not paid in time")),
        Topic::OrderCancelled { .. } => ("staff", Some(BROKEN)),
        Topic::OrderRefunded { .. } => ("staff", Some("It arrived with a scratch.")),
        Topic::OrderCancelledByBuyer { .. }
        | Topic::OrderCancelRequested { .. }
        | Topic::RefundDue { by_buyer: true, .. } => ("buyer", Some("I found it in my attic.")),
        Topic::RefundDue { .. } => ("staff", Some(BROKEN)),
        _ => ("products", None),
    };
    let has_left = matches!(
        topic,
        Topic::OrderShipped { .. }
            | Topic::OrderCorrected { .. }
            | Topic::OrderDelivered { .. }
            | Topic::OrderStepUndone { step: UndoneStep::Delivered, .. }
    );
    let shipped = |text: &str| has_left.then(|| text.to_owned());
    let details = OrderDetails {
        user_id: Some(id()),
        guest: None,
        number: Some("1001".into()),
        status: "confirmed".into(),
        items,
        total: euros(7_686),
        charges: OrderChargesDetails {
            discount: Some(euros(799)),
            shipping: Some(euros(490)),
            shipping_method: Some("DHL parcel".into()),
            tax: Some(euros(1_227)),
            has_net_prices: false,
        },
        refunded_total: euros(0),
        shipping_address: address(),
        note: Some("Please ring twice.".into()),
        carrier: shipped("DHL"),
        tracking: shipped("00340434161094042557"),
        change: Some(OrderChange { by: by.into(), reason: reason.map(Into::into) }),
        outcome_was_awaited: true,
        language: None,
        placed_at: AT,
    };
    let order = OrderData::new(order_id, details);
    match topic.rule().audience {
        Audience::Owner => order,
        Audience::Staff => order.with_buyer(Some(contact(None))),
    }
}

/// The recipient.
pub(crate) fn contact(language: Option<&str>) -> Contact {
    Contact {
        email: "ann@example.com".into(),
        email_verified: true,
        name: "Ann Mori".into(),
        language: language.map(Into::into),
    }
}

/// When the notifications of a digest began to be counted.
pub(crate) const SINCE: Time = AT;

fn address() -> BTreeMap<String, String> {
    let parts = [
        ("name", "Ann Mori"),
        ("line1", "Domplatz 1"),
        ("postal_code", "50667"),
        ("city", "Köln"),
        ("country", "DE"),
    ];
    let parts = parts.map(|(name, part)| (name.to_owned(), part.to_owned()));
    parts.into()
}

fn line(
    sku: &str,
    title: &str,
    quantity: u32,
    price: i64,
    available: Option<i64>,
) -> OrderLineDetails {
    OrderLineDetails {
        product_id: id(),
        sku: sku.into(),
        title: title.into(),
        quantity,
        unit_price: euros(price),
        line_total: euros(price * i64::from(quantity)),
        available,
    }
}

fn euros(amount: i64) -> Money {
    Money {
        amount,
        currency: "EUR".parse().expect("it has three capitals"),
    }
}

fn id<K: Kind>() -> Id<K> {
    format!("{}_{ID}", K::TYPE)
        .parse()
        .expect("it is the id of a kind")
}
