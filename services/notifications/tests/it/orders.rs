//! Messages about orders, to their owners and to staff, by each one's preferences.

use mesh::{GuestDetails, OrderChange};
use model::{Fact, Id, Money, OrderId, UserId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, TestService, eventually, send};

use super::mail::{Orders, Users, header, start};
use super::mail_server::Server;
use super::{entries, kinds_of};

/// What a text in a mail is, without the line breaks of its encoding.
fn unfolded(mail: &str) -> String {
    mail.replace("=\r\n", "")
}

async fn publish(test: &TestService, fact: Fact) {
    test.other("orders").publish("order", fact).await;
}

async fn hire(test: &TestService, person: &Person, before: usize) {
    let hired = Fact::UserRegistered { user_id: person.user_id(), staff: true };
    test.other("users").publish("staff", hired).await;
    entries(person, before + 1).await;
}

async fn choose(person: &Person, kinds: Value) -> TestResponse {
    let path = "/v1/notifications/preferences";
    let body = json!({ "kinds": kinds });
    send(person.request(Method::PUT, path).json(&body)).await
}

/// A guest has no inbox and gets the mail, unless the order is erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_gets_mail_at_the_address_of_the_order() {
    let server = Server::start(&[]).await;
    let test = start(&server).await;
    let users = Users::start_alone(&test.mesh).await;
    let (ann, packer) = (test.customer(), test.staff());
    users.know(&packer, "packer", Some("en"));
    hire(&test, &packer, 0).await;
    let orders = Orders::start(&test.mesh).await;
    let know = |order_id, guest: Option<GuestDetails>| {
        orders.know(order_id, &ann, |order| {
            (order.user_id, order.guest) = (None, guest);
            order.language = Some("de".into());
        });
    };
    let guest = GuestDetails { email: "hana@example.org".into(), name: "Hana Mori".into() };
    let (order_id, erased) = (OrderId::new(), OrderId::new());
    know(order_id, Some(guest));
    know(erased, None);
    for order_id in [erased, order_id] {
        publish(&test, Fact::OrderShipped { order_id, user_id: None }).await;
    }
    let mail = unfolded(&server.takes(1).await[0]);
    for part in [
        "To: \"Hana Mori\" <hana@example.org>",
        "Subject: Ihre Bestellung ist unterwegs",
        "2 x Desk lamp: 25,00 EUR",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    // Staff hear of it as of any other, and who cancelled it.
    let guest = Id::<model::kinds::Customer>::new();
    let cancelled = Fact::OrderCancelled {
        order_id,
        user_id: None,
        refunded: None,
        refund_pending: None,
    };
    test.other("orders")
        .publish_by(guest, "order", cancelled)
        .await;
    let entry = entries(&packer, 2).await.remove(0);
    assert_eq!(entry["kind"], "order.cancelled_by_buyer");
    publish(&test, Fact::OrderBuyerErased { order_id }).await;
    let mails = server.takes(3).await;
    let told = mails
        .iter()
        .any(|mail| unfolded(mail).contains("The buyer of an open order erased their data"));
    assert!(told, "{mails:?}");
    test.finish().await;
}

/// A mail waits until orders says what was ordered, and has it in the order's language; none
/// of it is stored here.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_what_was_ordered() {
    let server = Server::start(&[]).await;
    let mut test = start(&server).await;
    let users = Users::start_alone(&test.mesh).await;
    let ann = test.customer();
    users.know(&ann, "ann", Some("en"));
    let (order_id, user_id) = (OrderId::new(), ann.user_id());
    publish(
        &test,
        Fact::OrderShipped { order_id, user_id: Some(user_id) },
    )
    .await;
    let entry = entries(&ann, 1).await.remove(0);
    assert_eq!(entry["title"], "Your order is on its way");
    assert!(server.taken().is_empty());

    let orders = Orders::start(&test.mesh).await;
    orders.know(order_id, &ann, |order| order.language = Some("de".into()));
    let mail = unfolded(&server.takes(1).await[0]);
    for part in [
        "Subject: Ihre Bestellung ist unterwegs",
        "2 x Desk lamp: 25,00 EUR",
        "Kobe",
        "tracking-id=3DJD014600003",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    // The inbox says it in its reader's language.
    let entry = entries(&ann, 1).await.remove(0);
    let body = entry["body"].as_str().unwrap();
    assert!(
        body.contains("with DHL") && body.contains("JD014600003"),
        "{body}"
    );
    let folder = test.folder.path().to_owned();
    let nowhere = move || {
        for file in super::mail::files(&folder) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(4).any(|window| window == b"Kobe");
            assert!(!found, "{}", file.display());
        }
    };
    test.restart_after(nowhere).await;
    test.finish().await;
}

/// The buyer of an order that was rejected at once has read so in the response.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_failed_on_the_page_makes_no_mail() {
    let server = Server::start(&[]).await;
    let test = start(&server).await;
    let (users, orders) = (
        Users::start_alone(&test.mesh).await,
        Orders::start(&test.mesh).await,
    );
    let ann = test.customer();
    users.know(&ann, "ann", None);
    let user_id = ann.user_id();
    for was_awaited in [false, true] {
        let order_id = OrderId::new();
        orders.know(order_id, &ann, |order| {
            order.outcome_was_awaited = was_awaited;
            order.items[0].available = Some(1);
        });
        publish(
            &test,
            Fact::OrderRejected { order_id, user_id: Some(user_id) },
        )
        .await;
    }
    let mails = server.takes(1).await;
    assert_eq!(kinds_of(&ann, 2).await, ["order.rejected"; 2]);
    assert!(unfolded(&mails[0]).contains("Desk lamp (2 ordered, 1 available)"));
    assert_eq!(server.taken().len(), 1);
    test.finish().await;
}

/// Staff find what they have to act on in their inboxes, and what is important in their mail.
#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_told_of_its_orders() {
    let server = Server::start(&[]).await;
    let test = start(&server).await;
    let (users, orders) = (
        Users::start_alone(&test.mesh).await,
        Orders::start(&test.mesh).await,
    );
    let (ann, packer) = (test.customer(), test.staff());
    users.know(&packer, "packer", None);
    hire(&test, &packer, 0).await;
    users.know(&ann, "ann", None);
    // The mails to its buyer are not what this test is about.
    assert_eq!(choose(&ann, mail_free()).await.status, 200);

    let (order_id, user_id) = (OrderId::new(), Some(ann.user_id()));
    orders.know(order_id, &ann, |order| {
        let (by, reason) = ("buyer".into(), Some("found one".into()));
        order.change = Some(OrderChange { by, reason });
    });
    let amount = Money { amount: 2500, currency: "EUR".parse().unwrap() };
    let refunded = Some(amount);
    for fact in [
        Fact::OrderConfirmed { order_id, user_id },
        Fact::OrderPaid { order_id, user_id },
        Fact::OrderCancelRequested { order_id, user_id },
    ] {
        publish(&test, fact).await;
    }
    let cancelled =
        |refunded| Fact::OrderCancelled { order_id, user_id, refunded, refund_pending: None };
    let log = test.other("orders");
    log.publish_by(ann.user_id(), "order", cancelled(refunded))
        .await;
    log.publish_by(ann.user_id(), "order", cancelled(None))
        .await;
    // Not paid in time: no action of staff is needed.
    publish(&test, cancelled(None)).await;
    // A provider sends it back, and then does not.
    for fact in refused_by_provider(order_id, user_id, amount) {
        publish(&test, fact).await;
    }

    let items = entries(&packer, 7).await;
    let kinds: Vec<_> = items
        .iter()
        .map(|item| item["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "refund.due",
        "order.cancelled_by_buyer",
        "refund.due",
        "order.cancel_requested",
        "order.payment_received",
        "order.placed",
        "user.registered",
    ];
    assert_eq!(kinds, expected);
    assert!(items[0]["body"].as_str().unwrap().contains("pi_1"));
    assert_eq!(items[2]["title"], "Send 25.00 EUR back");
    assert!(items[2]["body"].as_str().unwrap().contains("found one"));
    assert_eq!(items[5]["title"], "A new order for 25.00 EUR");
    let of_buyer = entries(&ann, 6).await;
    let promised = of_buyer[0]["body"].as_str().unwrap();
    assert!(promised.contains("refunding 25.00 EUR"), "{promised}");

    let mails = server.takes(4).await;
    let mut subjects: Vec<_> = mails.iter().map(|mail| header(mail, "Subject:")).collect();
    subjects.sort_unstable();
    let [due, asked] = ["Send 25.00 EUR back", "A buyer asks to cancel a paid order"];
    assert_eq!(subjects, [asked, "A new order for 25.00 EUR", due, due]);
    assert!(
        mails
            .iter()
            .all(|mail| unfolded(mail).contains("ann, ann@example.com"))
    );
    test.finish().await;
}

/// A cancellation whose refund a provider is asked for, and refuses.
fn refused_by_provider(order_id: OrderId, user_id: Option<UserId>, amount: Money) -> [Fact; 2] {
    let (refund_pending, reference) = (Some(amount), "pi_1".to_owned());
    [
        Fact::OrderCancelled { order_id, user_id, refunded: None, refund_pending },
        Fact::RefundRefused { order_id, amount, reference, reason: None },
    ]
}

/// No kind by mail of those that an owner can choose.
fn mail_free() -> Value {
    json!({
        "order.confirmed": ["inbox"],
        "order.paid": ["inbox"],
        "order.cancelled": ["inbox"],
    })
}

/// From the fourth on they are counted.
#[tokio::test(flavor = "multi_thread")]
async fn many_new_orders_are_few_mails() {
    const ORDERS: usize = 12;
    let server = Server::start(&[]).await;
    let test = start(&server).await;
    let (users, orders) = (
        Users::start_alone(&test.mesh).await,
        Orders::start(&test.mesh).await,
    );
    let (ann, packer) = (test.customer(), test.staff());
    users.know(&packer, "packer", None);
    hire(&test, &packer, 0).await;
    for _ in 0..ORDERS {
        let (order_id, user_id) = (OrderId::new(), ann.user_id());
        orders.know(order_id, &ann, |_| ());
        publish(
            &test,
            Fact::OrderConfirmed { order_id, user_id: Some(user_id) },
        )
        .await;
    }
    // Another kind comes after them, and is not held up.
    let amount = Money { amount: 2500, currency: "EUR".parse().unwrap() };
    let (order_id, user_id) = (OrderId::new(), ann.user_id());
    let refunded = Some(amount);
    publish(
        &test,
        Fact::OrderCancelled {
            order_id,
            user_id: Some(user_id),
            refunded,
            refund_pending: None,
        },
    )
    .await;
    entries(&packer, ORDERS + 2).await;
    let is_there = || async {
        let mails = server.taken();
        mails
            .iter()
            .any(|mail| header(mail, "Subject:").starts_with("Send"))
    };
    eventually("the other kind arrives", is_there).await;
    assert_eq!(server.takes(4).await.len(), 4);
    test.finish().await;
}

/// Preferences are each one's own, survive a restart, and are obeyed from then on.
#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_obeyed() {
    let server = Server::start(&[]).await;
    let mut test = start(&server).await;
    let (users, orders) = (
        Users::start_alone(&test.mesh).await,
        Orders::start(&test.mesh).await,
    );
    let (mut ann, mut packer) = (test.customer(), test.staff());
    users.know(&ann, "ann", None);
    hire(&test, &packer, 0).await;
    let path = "/v1/notifications/preferences";
    let shown = ann.get(path).await;
    assert_eq!(
        shown.body["kinds"]["order.shipped"],
        json!(["inbox", "mail"])
    );
    assert!(shown.body["kinds"].get("order.placed").is_none());
    for (kinds, pointer) in [
        (json!({ "order.placed": ["inbox"] }), "/kinds/order.placed"),
        (
            json!({ "order.teleported": ["inbox"] }),
            "/kinds/order.teleported",
        ),
        (
            json!({ "order.shipped": ["pigeon"] }),
            "/kinds/order.shipped",
        ),
        (
            json!({ "session.reused": ["inbox"] }),
            "/kinds/session.reused",
        ),
    ] {
        let refused = choose(&ann, kinds).await;
        assert_eq!((refused.status, refused.problem()), (422, "invalid"));
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    let chosen = choose(&ann, json!({ "order.shipped": ["mail"], "order.paid": [] })).await;
    assert_eq!(chosen.status, 200);
    assert_eq!(chosen.body["kinds"]["order.paid"], json!([]));
    let stale = ann
        .request(Method::PUT, path)
        .header("if-match", &shown.headers["etag"]);
    assert_eq!(send(stale.json(&json!({ "kinds": {} }))).await.status, 412);
    let none = json!({ "order.placed": [], "order.payment_received": [] });
    assert_eq!(choose(&packer, none).await.status, 200);

    test.restart().await;
    (ann, packer) = (ann.at(test.address), packer.at(test.address));
    assert_eq!(ann.get(path).await.body, chosen.body);
    let (order_id, user_id) = (OrderId::new(), Some(ann.user_id()));
    orders.know(order_id, &ann, |_| ());
    publish(&test, Fact::OrderConfirmed { order_id, user_id }).await;
    publish(&test, Fact::OrderPaid { order_id, user_id }).await;
    publish(&test, Fact::OrderShipped { order_id, user_id }).await;
    publish(
        &test,
        Fact::StockLow { product_id: Id::new(), available: 1 },
    )
    .await;
    let mails = server.takes(2).await;
    let mut subjects: Vec<_> = mails.iter().map(|mail| header(mail, "Subject:")).collect();
    subjects.sort_unstable();
    assert_eq!(
        subjects,
        ["Your order is confirmed", "Your order is on its way"]
    );
    assert_eq!(kinds_of(&ann, 1).await, ["order.confirmed"]);
    assert_eq!(kinds_of(&packer, 2).await, ["stock.low", "user.registered"]);
    test.finish().await;
}
