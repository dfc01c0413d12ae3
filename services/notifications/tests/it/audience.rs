//! Audiences: which events notify whom.

use model::{Fact, Id, Mismatch, Money, OrderField, OrderId, RevocationReason, UserField, UserId};
use testkit::eventually;

use super::{entries, kinds_of, start};

/// What happens to an order, with corrections that are no news to its buyer.
fn of_an_order(order_id: OrderId, user_id: UserId, amount: Money) -> Vec<Fact> {
    let corrected = |field, shipped| {
        let corrected = vec![field];
        Fact::OrderCorrected { order_id, user_id: Some(user_id), corrected, shipped }
    };
    vec![
        Fact::OrderConfirmed { order_id, user_id: Some(user_id) },
        Fact::OrderPaid { order_id, user_id: Some(user_id) },
        corrected(OrderField::Tracking, false),
        Fact::OrderShipped { order_id, user_id: Some(user_id) },
        corrected(OrderField::ShippingAddress, true),
        corrected(OrderField::Tracking, true),
        Fact::OrderDelivered { order_id, user_id: Some(user_id) },
        Fact::OrderRefunded { order_id, user_id: Some(user_id), amount, in_full: false },
        Fact::PaymentUnmatched {
            order_id: Some(order_id),
            user_id: Some(user_id),
            amount,
            reason: Mismatch::OrderOver,
            reference: Some("pi_1".into()),
        },
        Fact::OrderCancelled {
            order_id,
            user_id: Some(user_id),
            refunded: Some(amount),
            refund_pending: None,
        },
    ]
}

/// Every kind of event that notifies its owner.
#[tokio::test(flavor = "multi_thread")]
async fn owners_are_notified() {
    let test = start().await;
    let (ann, orders, users) = (test.customer(), test.other("orders"), test.other("users"));
    let (order_id, user_id, session_id) = (Id::new(), ann.user_id(), Id::new());
    let amount = Money { amount: 1999, currency: "EUR".parse().unwrap() };
    let until = model::now();
    let revoked = |reason| Fact::SessionRevoked { user_id, session_id, until, reason };
    let updated = |field| Fact::UserUpdated { user_id, changed: vec![field], staff: false };
    for fact in [
        Fact::UserRegistered { user_id, staff: false },
        updated(UserField::Name),
        updated(UserField::Password),
        updated(UserField::Email),
        updated(UserField::SecondFactor),
        Fact::UserSecondFactorChanged { user_id, enrolled: true },
        revoked(Some(RevocationReason::Ended)),
        revoked(None),
        revoked(Some(RevocationReason::Reused)),
    ] {
        users.publish("ann", fact).await;
    }
    let of_users = [
        "session.reused",
        "user.second_factor_changed",
        "user.email_changed",
        "user.password_changed",
        "user.registered",
    ];
    assert_eq!(kinds_of(&ann, 5).await, of_users);
    for fact in of_an_order(order_id, user_id, amount) {
        orders.publish("order", fact).await;
    }
    let items = entries(&ann, 13).await;
    let of_orders = [
        "order.cancelled",
        "order.payment_kept",
        "order.refunded",
        "order.delivered",
        "order.corrected",
        "order.shipped",
        "order.paid",
        "order.confirmed",
    ];
    for (item, kind) in items.iter().zip(of_orders) {
        assert_eq!(item["kind"], kind);
        assert_eq!(item["data"]["order_id"], order_id.to_string());
    }
    assert_eq!(items[0]["data"]["refunded"]["amount"], 1999);
    assert!(
        items[2]["body"]
            .as_str()
            .unwrap()
            .starts_with("We are refunding 19.99 EUR")
    );
    test.finish().await;
}

/// Events for staff notify staff only, and only while they are staff.
#[tokio::test(flavor = "multi_thread")]
async fn staff_are_notified() {
    let test = start().await;
    let (ann, staff) = (test.customer(), test.customer());
    let (orders, users, products) = (
        test.other("orders"),
        test.other("users"),
        test.other("products"),
    );
    let (order_id, user_id) = (Id::new(), ann.user_id());
    let amount = Money { amount: 1999, currency: "EUR".parse().unwrap() };
    let hire = |staff_now| Fact::UserUpdated {
        user_id: staff.user_id(),
        changed: vec![UserField::Roles],
        staff: staff_now,
    };
    let low = || Fact::StockLow { product_id: Id::new(), available: 3 };
    let unmatched = || Fact::PaymentUnmatched {
        order_id: None,
        user_id: None,
        amount,
        reason: Mismatch::UnknownOrder,
        reference: Some("pi_1".into()),
    };
    products.publish("before", low()).await;
    users.publish("staff", hire(true)).await;
    let heard = || async {
        products.publish("low", low()).await;
        !staff.get("/v1/notifications").await.body["items"]
            .as_array()
            .unwrap()
            .is_empty()
    };
    eventually("staff are known", heard).await;
    let parked = Fact::EventParked {
        service: "products".into(),
        source: "orders".into(),
        seq: 7,
        count: 2,
    };
    products.publish("parked", parked).await;
    let newest = || async {
        let inbox = staff.get("/v1/notifications").await.body;
        let body = inbox["items"][0]["body"].as_str().unwrap_or_default();
        inbox["items"][0]["kind"] == "event.parked" && body.contains("service products")
    };
    eventually("staff are notified of dead letters", newest).await;
    orders.publish("payment", unmatched()).await;
    let newest = || async {
        let inbox = staff.get("/v1/notifications").await.body;
        inbox["items"][0]["kind"] == "payment.unmatched"
    };
    eventually("staff are notified", newest).await;
    users.publish("staff", hire(false)).await;
    // Once this arrives, users' log has been read up to here.
    let changed = vec![UserField::Password];
    let updated = Fact::UserUpdated { user_id, changed, staff: false };
    users.publish("ann", updated).await;
    entries(&ann, 1).await;
    let before = staff.get("/v1/notifications").await.body;
    orders.publish("payment", unmatched()).await;
    orders
        .publish(
            "order",
            Fact::OrderPaid { order_id, user_id: Some(user_id) },
        )
        .await;
    entries(&ann, 2).await;
    assert_eq!(
        staff.get("/v1/notifications").await.body["items"][0],
        before["items"][0]
    );
    test.finish().await;
}
