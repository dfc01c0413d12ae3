//! Mail, sent to an SMTP server over real sockets that misbehaves as scripted.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use mesh::{
    CodeOf, Contact, ContactOf, Mesh, OneTimeCode, OrderDetails, OrderLineDetails, OrderOf,
};
use model::{CodePurpose, Fact, Id, Money, OrderId, kinds};
use notifications::config::Security;
use testkit::{Person, TestService, eventually};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::mail_server::{Manner, Server};
use super::{NAME, confirm, entries, kinds_of};

type UserId = Id<kinds::User>;

/// Users' answers to mesh queries.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<HashMap<UserId, Contact>>>);

impl Users {
    /// With an orders beside it that knows no order.
    pub(crate) async fn start(mesh: &Mesh) -> Self {
        Orders::start(mesh).await;
        Self::start_alone(mesh).await
    }

    pub(crate) async fn start_alone(mesh: &Mesh) -> Self {
        let users = Self::default();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let known = users.clone();
        let contact = move |question: ContactOf| -> BoxFuture<'static, _> {
            let contact = known.0.lock().unwrap().get(&question.user_id).cloned();
            Box::pin(std::future::ready(contact))
        };
        mesh.answer(&tasks, stop.clone(), contact).await.unwrap();
        let known = users.clone();
        let code = move |question: CodeOf| -> BoxFuture<'static, _> {
            let contact = known.0.lock().unwrap().get(&question.user_id).cloned();
            let code = contact.map(|contact| OneTimeCode { code: CODE.into(), contact });
            Box::pin(std::future::ready(code))
        };
        mesh.answer(&tasks, stop, code).await.unwrap();
        users
    }

    pub(crate) fn know(&self, person: &Person, name: &str, language: Option<&str>) {
        let contact = Contact {
            email: format!("{name}@example.com"),
            email_verified: true,
            name: name.into(),
            language: language.map(Into::into),
        };
        self.0.lock().unwrap().insert(person.user_id(), contact);
    }
}

/// Orders' answers to mesh queries.
#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<HashMap<OrderId, OrderDetails>>>);

impl Orders {
    pub(crate) async fn start(mesh: &Mesh) -> Self {
        let orders = Self::default();
        let known = orders.clone();
        let order = move |question: OrderOf| -> BoxFuture<'static, _> {
            let order = known.0.lock().unwrap().get(&question.order_id).cloned();
            Box::pin(std::future::ready(order))
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        mesh.answer(&tasks, stop, order).await.unwrap();
        orders
    }

    /// Knows an order of two lamps that DHL carries to Kobe.
    pub(crate) fn know(&self, id: OrderId, buyer: &Person, change: impl FnOnce(&mut OrderDetails)) {
        let euros = |amount| Money { amount, currency: "EUR".parse().unwrap() };
        let mut order = OrderDetails {
            user_id: Some(buyer.user_id()),
            guest: None,
            number: Some("1001".into()),
            status: "shipped".into(),
            items: vec![OrderLineDetails {
                product_id: Id::new(),
                sku: "LAMP".into(),
                title: "Desk lamp".into(),
                quantity: 2,
                unit_price: euros(1250),
                line_total: euros(2500),
                available: None,
            }],
            total: euros(2500),
            charges: mesh::OrderChargesDetails::default(),
            refunded_total: euros(0),
            shipping_address: [("city".to_owned(), "Kobe".to_owned())].into(),
            note: None,
            carrier: Some("DHL".into()),
            tracking: Some("JD014600003".into()),
            change: None,
            outcome_was_awaited: false,
            language: None,
            placed_at: model::now(),
        };
        change(&mut order);
        self.0.lock().unwrap().insert(id, order);
    }
}

const CODE: &str = "73920185";

pub(crate) async fn start(server: &Server) -> TestService {
    let others = ["orders", "products"];
    TestService::start_with(server.config(), NAME, notifications::open, &others).await
}

pub(crate) fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let line = mail.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {mail}")).trim()
}

/// Orders does not say at first what the mail is about, and is asked again soon, however long a mail
/// server is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_restarts_is_asked_again_soon() {
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.mail.retry_first_ms = 3_600_000;
    let others = ["orders", "products"];
    let test = TestService::start_with(config, NAME, notifications::open, &others).await;
    let (users, ann) = (Users::start_alone(&test.mesh).await, test.customer());
    users.know(&ann, "ann", None);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let order = move |_: OrderOf| -> BoxFuture<'static, Option<OrderDetails>> {
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Box::pin(std::future::pending()),
            _ => Box::pin(std::future::ready(None)),
        }
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    test.mesh.answer(&tasks, stop, order).await.unwrap();
    confirm(&test.other("orders"), &ann).await;
    server.takes(1).await;
    assert!(asked.load(Ordering::Relaxed) >= 2);
    test.finish().await;
}

/// Deferred, cut off, unanswered, disconnected: it is retried as the same mail, in its
/// reader's language.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_retried_until_it_is_accepted() {
    let put_off = Manner::Answers("451 4.7.1 later");
    let busy = Manner::Answers("421 4.3.0 closing");
    let server = Server::start(&[put_off, Manner::HangsUp, Manner::IsSilent, busy]).await;
    let test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let ann = test.customer();
    users.know(&ann, "Ann Mörike", Some("de-CH"));
    users
        .0
        .lock()
        .unwrap()
        .get_mut(&ann.user_id())
        .unwrap()
        .email = "ann@example.com".into();
    let order = confirm(&test.other("orders"), &ann).await;

    let mail = server.takes(1).await.remove(0);
    assert!(mail.contains(&order.to_string()), "{mail}");
    assert_eq!(header(&mail, "From:"), "\"The Shop\" <shop@example.com>");
    assert!(
        header(&mail, "To:").ends_with("<ann@example.com>"),
        "{mail}"
    );
    assert_eq!(header(&mail, "Auto-Submitted:"), "auto-generated");
    assert!(
        header(&mail, "Subject:").contains("Ihre Bestellung ist"),
        "{mail}"
    );
    assert!(mail.contains("text/plain") && mail.contains("text/html"));
    let read = server.read();
    assert_eq!(read.len(), 2, "once hung up on, once taken");
    let ids: HashSet<_> = read
        .iter()
        .map(|(mail, _)| header(mail, "Message-ID:"))
        .collect();
    assert_eq!(ids.len(), 1);
    assert!(ids.iter().all(|id| id.ends_with("@example.com>")));

    // The inbox is in the same language; without an answer of users, in the client's.
    assert_eq!(
        entries(&ann, 1).await[0]["title"],
        "Ihre Bestellung ist bestätigt"
    );
    let bob = test.customer();
    confirm(&test.other("orders"), &bob).await;
    assert_eq!(
        entries(&bob, 1).await[0]["title"],
        "Your order is confirmed"
    );
    let request = bob.request(reqwest::Method::GET, "/v1/notifications");
    let answer = testkit::send(request.header("accept-language", "fr, de;q=0.5")).await;
    assert_eq!(
        answer.body["items"][0]["title"],
        "Ihre Bestellung ist bestätigt"
    );
    test.finish().await;
}

/// A server that closes idle connections takes each mail once, at the first try: each has a
/// connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_neither_repeats_a_mail_nor_delays_the_next() {
    let server = Server::start(&[]).await;
    server.usually(Manner::TakesAndCloses);
    let test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let ann = test.customer();
    users.know(&ann, "ann", None);
    let orders = test.other("orders");
    for sent in 1..=3 {
        confirm(&orders, &ann).await;
        server.takes(sent).await;
    }
    assert_eq!((server.read().len(), server.connections()), (3, 3));
    test.finish().await;
}

/// Staff are notified of a permanent rejection, without the address, and it delays no other
/// mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_mail_is_given_up() {
    let refused = Manner::Answers("550 5.1.1 <ann@example.com>: no such user");
    let server = Server::start(&[refused]).await;
    let test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let (ann, bob, staff) = (test.customer(), test.customer(), test.staff());
    users.know(&ann, "ann", None);
    users.know(&bob, "bob", None);
    let hired = Fact::UserRegistered { user_id: staff.user_id(), staff: true };
    test.other("users").publish("staff", hired).await;
    entries(&staff, 1).await;

    let orders = test.other("orders");
    confirm(&orders, &ann).await;
    // After the new order itself.
    let notice = entries(&staff, 3).await.remove(0);
    assert_eq!(notice["kind"], "mail.failed");
    assert_eq!(notice["data"]["user_id"], ann.user_id().to_string());
    assert_eq!(notice["data"]["about"], "order.confirmed");
    assert_eq!(notice["data"]["code"], 550);
    assert!(!notice.to_string().contains("ann@"), "{notice}");
    confirm(&orders, &bob).await;
    let mail = server.takes(1).await.remove(0);
    assert_eq!(header(&mail, "To:"), "bob <bob@example.com>");
    assert_eq!(server.read().len(), 1);
    test.finish().await;
}

/// A code is sent once users answers, and is nowhere in the shop's data.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_sent_and_never_stored() {
    let server = Server::start(&[Manner::Answers("451 later")]).await;
    let mut test = start(&server).await;
    let ann = test.customer();
    let requested = Fact::UserCodeRequested {
        user_id: ann.user_id(),
        purpose: CodePurpose::PasswordReset,
        until: model::now().after(std::time::Duration::from_secs(600)),
    };
    test.other("users").publish("ann", requested).await;
    // Users is not there yet: the mail waits for it.
    confirm(&test.other("orders"), &ann).await;
    entries(&ann, 1).await;
    assert!(server.taken().is_empty());
    let users = Users::start(&test.mesh).await;
    users.know(&ann, "ann", None);
    let mails = server.takes(2).await;
    let code = mails.iter().find(|mail| mail.contains(CODE)).unwrap();
    assert_eq!(header(code, "Subject:"), "Your code for a new password");
    let folder = test.folder.path().to_owned();
    let nowhere = move || {
        let mut seen = 0;
        for file in files(&folder) {
            let bytes = std::fs::read(&file).unwrap();
            seen += bytes.len();
            for secret in [CODE.as_bytes(), b"ann@example.com"] {
                let found = bytes.windows(secret.len()).any(|window| window == secret);
                assert!(!found, "{}", file.display());
            }
        }
        assert!(seen > 1000, "nothing was looked at");
    };
    test.restart_after(nowhere).await;
    test.finish().await;
}

pub(crate) fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

/// Queued mail survives a restart; a user erased meanwhile gets none, and their inbox is
/// deleted.
#[tokio::test(flavor = "multi_thread")]
async fn queued_mail_survives_a_restart_but_not_an_erasure() {
    const ORDERS: usize = 20;
    let server = Server::start(&[]).await;
    server.usually(Manner::Answers("451 later"));
    let mut test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let (mut ann, mut bob) = (test.customer(), test.customer());
    users.know(&ann, "ann", None);
    users.know(&bob, "bob", None);
    let orders = test.other("orders");
    for _ in 0..ORDERS {
        confirm(&orders, &ann).await;
        confirm(&orders, &bob).await;
    }
    entries(&ann, ORDERS).await;
    entries(&bob, ORDERS).await;
    test.restart().await;
    (ann, bob) = (ann.at(test.address), bob.at(test.address));
    users.0.lock().unwrap().remove(&bob.user_id());
    let erased = Fact::UserErased { user_id: bob.user_id() };
    test.other("users").publish("bob", erased).await;
    entries(&bob, 0).await;
    server.usually(Manner::Takes);
    let mails = server.takes(ORDERS).await;
    let ids: HashSet<_> = mails
        .iter()
        .map(|mail| header(mail, "Message-ID:"))
        .collect();
    assert_eq!(ids.len(), ORDERS);
    assert!(mails.iter().all(|mail| mail.contains("ann@example.com")));
    assert_eq!(entries(&ann, ORDERS).await.len(), ORDERS);

    // A late event of another log notifies no erased user.
    confirm(&orders, &bob).await;
    confirm(&orders, &ann).await;
    assert_eq!(kinds_of(&ann, ORDERS + 1).await[0], "order.confirmed");
    entries(&bob, 0).await;
    test.finish().await;
}

/// The password is sent over TLS only, and only to a server with a trusted certificate.
#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_over_tls_to_a_trusted_server() {
    for security in [Security::Starttls, Security::Tls] {
        let server = Server::start_secured(security).await;
        let folder = tempfile::tempdir().unwrap();
        let (password, authority) = (folder.path().join("password"), folder.path().join("ca.pem"));
        std::fs::write(&password, "a secret\n").unwrap();
        std::fs::write(&authority, server.certificate()).unwrap();
        let mut config = server.config();
        config.mail.server = Some("localhost".into());
        config.mail.security = security;
        config.mail.user = Some("shop".into());
        config.mail.password_file = Some(password);
        for authority in [None, Some(authority)] {
            config.mail.authority.clone_from(&authority);
            let others = ["orders", "products"];
            let open = notifications::open;
            let test = TestService::start_with(config.clone(), NAME, open, &others).await;
            let users = Users::start(&test.mesh).await;
            let ann = test.customer();
            users.know(&ann, "ann", None);
            let before = server.connections();
            confirm(&test.other("orders"), &ann).await;
            match authority {
                None => {
                    let again = || async { server.connections() >= before + 2 };
                    eventually("it is tried again", again).await;
                    assert!(server.read().is_empty() && server.logins().is_empty());
                }
                Some(_) => {
                    server.takes(1).await;
                    // "\0shop\0a secret" (RFC 4616).
                    assert_eq!(server.logins(), ["AUTH PLAIN AHNob3AAYSBzZWNyZXQ="]);
                }
            }
            test.finish().await;
        }
    }
}

/// A command that the server refuses ("220" is the connection, "." the end of the mail), how, and
/// what the status says of it.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("220", "554 5.7.1 no service for you", "554"),
    ("EHLO", "550 5.7.1 a name that I do not like", "550"),
    ("MAIL", "553 5.7.1 not your address", "553 to the sender"),
    (
        "MAIL",
        "550 5.7.60 not permitted to send as",
        "550 to the sender",
    ),
    (
        "RCPT",
        "554 5.7.1 relay access denied",
        "554 to the recipient",
    ),
    (
        "RCPT",
        "553 5.7.1 sender not owned by user",
        "553 to the recipient",
    ),
    (
        "DATA",
        "554 5.5.1 no valid recipients",
        "554 to the content",
    ),
    ("220", "421 4.3.2 not now", "421"),
    ("RCPT", "450 4.2.1 greylisted", "450 to the recipient"),
    (
        "RCPT",
        "501 5.1.3 a syntax that I do not like",
        "501 to the recipient",
    ),
    ("RCPT", "530 5.7.0 log in first", "530 to the recipient"),
    (".", "550 5.7.1 looks like spam", "550 to the content"),
];

/// The server refuses the shop and not the recipient, so the mail waits until the setting is
/// corrected; staff get no notification, and the status has the server's answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_throws_no_mail_away() {
    let server = Server::start(&[]).await;
    let test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let (ann, staff, admin) = (test.customer(), test.staff(), test.admin());
    users.know(&ann, "ann", None);
    let hired = Fact::UserRegistered { user_id: staff.user_id(), staff: true };
    test.other("users").publish("staff", hired).await;
    entries(&staff, 1).await;
    let orders = test.other("orders");
    for (place, (command, answer, why)) in REFUSALS.iter().copied().enumerate() {
        server.next(Manner::AnswersTo(command, answer));
        let order = confirm(&orders, &ann).await;
        let mails = server.takes(place + 1).await;
        assert!(
            mails[place].contains(&order.to_string()),
            "{command} {answer}"
        );
        let recovered = || async {
            let mail = admin.get("/v1/status").await.body["mail"].clone();
            mail["failing_since"].is_null()
                && mail["last_failure"]["why"] == format!("the server answered {why}")
        };
        eventually(why, recovered).await;
    }
    assert_eq!(
        server.hellos()[0],
        "EHLO example.com",
        "the sender's domain"
    );
    let inbox = staff.get("/v1/notifications?limit=100").await.body;
    let mut kinds = inbox["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"]);
    assert!(kinds.all(|kind| *kind != "mail.failed"), "{inbox}");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_says_its_name_and_writes_domains_in_a_labels() {
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.mail.hello_name = Some("shop.example.org".into());
    config.mail.from = Some("B\u{fc}cher <shop@b\u{fc}cher.example>".into());
    let others = ["orders", "products"];
    let test = TestService::start_with(config, NAME, notifications::open, &others).await;
    let users = Users::start(&test.mesh).await;
    let ann = test.customer();
    users.know(&ann, "ann", None);
    confirm(&test.other("orders"), &ann).await;
    let mail = server.takes(1).await.remove(0);
    assert!(
        header(&mail, "From:").ends_with("<shop@xn--bcher-kva.example>"),
        "{mail}"
    );
    assert_eq!(server.hellos(), ["EHLO shop.example.org"]);
    test.finish().await;
}

/// An earlier mail that failed keeps the later ones of its order back, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn mails_about_one_order_stay_in_their_order() {
    let server = Server::start(&[Manner::Answers("451 4.7.1 later")]).await;
    let mut config = server.config();
    config.mail.retry_first_ms = 1_500;
    let others = ["orders", "products"];
    let test = TestService::start_with(config, NAME, notifications::open, &others).await;
    let users = Users::start(&test.mesh).await;
    let ann = test.customer();
    users.know(&ann, "ann", None);
    let (orders, user_id) = (test.other("orders"), Some(ann.user_id()));
    let order_id = confirm(&orders, &ann).await;
    eventually("it has failed once", || async { server.connections() == 1 }).await;
    let key = order_id.to_string();
    orders
        .publish(&key, Fact::OrderPaid { order_id, user_id })
        .await;
    orders
        .publish(&key, Fact::OrderShipped { order_id, user_id })
        .await;
    let other = confirm(&orders, &ann).await;

    let mails = server.takes(4).await;
    assert!(mails[0].contains(&other.to_string()), "it waits for none");
    let subjects: Vec<_> = mails[1..]
        .iter()
        .map(|mail| header(mail, "Subject:"))
        .collect();
    let expected = [
        "Your order is confirmed",
        "We have received your payment",
        "Your order is on its way",
    ];
    assert_eq!(subjects, expected);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_send_a_mail_again_that_was_given_up() {
    let server = Server::start(&[Manner::Answers("550 5.1.1 no such user")]).await;
    let test = start(&server).await;
    let users = Users::start(&test.mesh).await;
    let (ann, staff) = (test.customer(), test.staff());
    users.know(&ann, "ann", None);
    let hired = Fact::UserRegistered { user_id: staff.user_id(), staff: true };
    test.other("users").publish("staff", hired).await;
    entries(&staff, 1).await;
    let order = confirm(&test.other("orders"), &ann).await;
    let notices = entries(&staff, 3).await;
    let notice = notices
        .iter()
        .find(|entry| entry["kind"] == "mail.failed")
        .unwrap();
    let id = notice["data"]["mail_id"].as_str().unwrap();
    let path = format!("/v1/mails/{id}/resend");
    let resend = async |person: &Person| person.post(&path, serde_json::json!({})).await.status;
    assert_eq!(resend(&ann).await, 403);
    assert_eq!(resend(&staff).await, 202);
    let mail = server.takes(1).await.remove(0);
    assert!(mail.contains(&order.to_string()), "{mail}");
    assert_eq!(resend(&staff).await, 404, "it was sent");
    test.finish().await;
}
