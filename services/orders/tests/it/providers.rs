//! Payment providers: one suite over all of them, against servers that play them.

use std::time::Duration;

use model::{Fact, now};
use orders::Config;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::provider::STRIPE_WEBHOOK_SECRET;
use testkit::{Person, PlayedKind, PlayedProvider, TestResponse, eventually, send};

use crate::shop::Shop;

const BACK: &str = "https://shop.example/thanks?x=1";
const KINDS: [PlayedKind; 2] = [PlayedKind::Stripe, PlayedKind::Mollie];

fn name(kind: PlayedKind) -> &'static str {
    match kind {
        PlayedKind::Stripe => "stripe",
        PlayedKind::Mollie => "mollie",
    }
}

/// A shop with both providers, and people.
struct Counter {
    shop: Shop,
    stripe: PlayedProvider,
    mollie: PlayedProvider,
    buyer: Person,
    staff: Person,
    _keys: TempDir,
}

impl Counter {
    async fn open() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = keys.path().join(name);
            std::fs::write(&file, text).unwrap();
            Some(file)
        };
        let stripe = PlayedProvider::start(PlayedKind::Stripe).await;
        let mollie = PlayedProvider::start(PlayedKind::Mollie).await;
        let public_url = Some("https://shop.example".into());
        let mut config = Config { public_url, ..Config::default() };
        let payments = &mut config.payments;
        payments.return_origins = vec!["https://shop.example".into()];
        payments.stripe.key_file = file("stripe", "sk_test_1\n");
        payments.stripe.webhook_secret_file = file("hook", STRIPE_WEBHOOK_SECRET);
        payments.stripe.api_url = stripe.api_url();
        payments.mollie.key_file = file("mollie", "test_1");
        payments.mollie.api_url = mollie.api_url();
        payments.transfer.text = Some("To our account.".into());
        let shop = Shop::open_with(config).await;
        let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
        Self { shop, stripe, mollie, buyer, staff, _keys: keys }
    }

    fn provider(&self, kind: PlayedKind) -> &PlayedProvider {
        match kind {
            PlayedKind::Stripe => &self.stripe,
            PlayedKind::Mollie => &self.mollie,
        }
    }

    async fn choose(&self, order: &str, method: &str) -> TestResponse {
        let body = json!({ "method": method, "return_url": BACK });
        self.buyer.post(&format!("{order}/payments"), body).await
    }

    /// The attempts and refunds of an order.
    async fn payments(&self, order: &str) -> Value {
        let listed = self.buyer.get(&format!("{order}/payments")).await;
        assert_eq!(listed.status, 200, "{:?}", listed.body);
        listed.body
    }

    async fn order(&self, order: &str) -> Value {
        self.buyer.get(order).await.body
    }

    async fn hint(&self, kind: PlayedKind, id: &str, second: i64) -> TestResponse {
        let (path, signature, body) = self.provider(kind).hint(id, second);
        let mut request = self.shop.orders.anonymous().request(Method::POST, &path);
        if let Some((name, value)) = signature {
            request = request.header(name, value);
        }
        send(request.body(body)).await
    }

    /// Sends a good hint as a provider does: several times.
    async fn hints(&self, kind: PlayedKind, id: &str) {
        for _ in 0..3 {
            let hint = self.hint(kind, id, now().0 / 1000).await;
            let outcome = hint.body["outcome"].as_str();
            assert_eq!((hint.status, outcome), (200, Some("accepted")));
        }
    }

    /// An order that was paid, and the payment's id at the provider.
    async fn paid(&self, kind: PlayedKind, amount: i64) -> (String, String) {
        let order = self.shop.confirmed(&self.buyer, amount).await;
        let opened = self.choose(&order, name(kind)).await;
        assert_eq!(opened.status, 201, "{:?}", opened.body);
        let provider = self.provider(kind);
        let id = provider.payments().last().unwrap().id.clone();
        provider.change(&id, |payment| payment.status = "paid");
        self.hints(kind, &id).await;
        self.until(&order, "status", "paid").await;
        (order, id)
    }

    /// Waits until a field of an order has a value, `null` for absent.
    async fn until(&self, order: &str, field: &str, value: impl Into<Value>) {
        let value = value.into();
        let what = format!("{field} of the order is {value}");
        let pointer = format!("/{}", field.replace('.', "/"));
        let has = || async {
            let order = self.order(order).await;
            order.pointer(&pointer).unwrap_or(&Value::Null) == &value
        };
        eventually(&what, has).await;
    }

    /// Cancels an order, and publishes that its stock is released.
    async fn cancel(&self, order: &str) -> TestResponse {
        let order_id = order.rsplit('/').next().unwrap().parse().unwrap();
        let cancel = self.command(order, "cancel", json!({ "reason": "no" }));
        let (cancelled, ()) = tokio::join!(cancel, async {
            self.until(order, "status", "cancelled").await;
            let released = Fact::StockReleased { order_id };
            self.shop.products.publish("k", released).await;
        });
        assert_eq!(cancelled.status, 200);
        cancelled
    }

    async fn command(&self, order: &str, name: &str, body: Value) -> TestResponse {
        self.staff.post(&format!("{order}/{name}"), body).await
    }

    /// The events of a kind about an order.
    async fn events(&self, kind: &str, order: &str) -> Vec<Value> {
        let path = format!("/v1/events?kind={kind}&limit=100");
        let listed = self.shop.orders.admin().get(&path).await.body;
        let id = order.rsplit('/').next().unwrap();
        let all = listed["items"].as_array().unwrap().clone();
        all.into_iter()
            .filter(|event| event["key"] == id)
            .map(|event| event["data"].clone())
            .collect()
    }

    async fn unmatched(&self) -> Vec<String> {
        let listed = self.staff.get("/v1/payments/unmatched").await.body;
        let all = listed["items"].as_array().unwrap();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap_or("–").to_owned();
        all.iter()
            .map(|item| format!("{} {}", text(item, "reference"), text(item, "reason")))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_pays_at_a_provider() {
    let counter = Counter::open().await;
    let methods = counter.buyer.get("/v1/payment-methods").await.body;
    let methods: Vec<_> = methods["items"].as_array().unwrap().iter().collect();
    assert_eq!(methods.len(), 3);
    for kind in KINDS {
        let provider = counter.provider(kind);
        let order = counter.shop.confirmed(&counter.buyer, 1999).await;
        let opened = counter.choose(&order, name(kind)).await;
        assert_eq!(opened.status, 201, "{:?}", opened.body);
        let payment = provider.payments().pop().unwrap();
        let redirect = format!("https://checkout.example/{}", payment.id);
        assert_eq!(opened.body["redirect_url"], redirect);
        assert_eq!(
            (&opened.body["status"], payment.amount),
            (&json!("pending"), 1999)
        );
        let again = counter.choose(&order, name(kind)).await;
        assert_eq!(
            (again.status, &again.body["redirect_url"]),
            (200, &json!(redirect))
        );
        assert_eq!(provider.payments().last().unwrap().id, payment.id);
        let expected = (kind == PlayedKind::Mollie)
            .then(|| "https://shop.example/v1/payments/mollie/webhook".to_owned());
        assert_eq!(payment.webhook, expected);

        // A hint says nothing by itself.
        counter.hints(kind, &payment.id).await;
        assert_eq!(counter.order(&order).await["status"], "confirmed");
        provider.change(&payment.id, |payment| payment.status = "paid");
        counter.hints(kind, &payment.id).await;
        counter.until(&order, "status", "paid").await;
        counter.hints(kind, &payment.id).await;
        let reference = payment.id.replace("cs_", "pi_");
        let listed = counter.payments(&order).await;
        let attempt = &listed["items"][0];
        assert_eq!(
            (&attempt["status"], &attempt["reference"]),
            (&json!("succeeded"), &json!(reference))
        );
        assert!(attempt["redirect_url"].is_null());
        let told = || async { counter.events("order.paid", &order).await.len() == 1 };
        eventually("its payment is told, once", told).await;
        let closed = counter.choose(&order, name(kind)).await;
        assert_eq!((closed.status, closed.problem()), (409, "order-state"));
    }
    assert_eq!(counter.unmatched().await, [""; 0]);

    let forged = counter
        .hint(PlayedKind::Stripe, "cs_1", now().0 / 1000 - 400)
        .await;
    assert_eq!(
        (forged.status, &forged.body["fault"]),
        (401, &json!("clock"))
    );
    let other = counter.shop.orders.anonymous();
    let other = other
        .request(Method::POST, "/v1/payments/mollie/webhook")
        .body("id=ord_1");
    assert_eq!(send(other).await.body["outcome"], "ignored");
    counter.shop.orders.finish().await;
}

/// The buyer comes back and looks; no hint has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_without_a_hint_is_enough() {
    let counter = Counter::open().await;
    for kind in KINDS {
        let order = counter.shop.confirmed(&counter.buyer, 500).await;
        counter.choose(&order, name(kind)).await;
        let id = counter.provider(kind).payments().pop().unwrap().id;
        counter
            .provider(kind)
            .change(&id, |payment| payment.status = "paid");
        let listed = counter.payments(&order).await;
        assert_eq!(listed["items"][0]["status"], "succeeded");
        assert_eq!(counter.order(&order).await["status"], "paid");
    }
    counter.shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_wrongly_is_refused() {
    let counter = Counter::open().await;
    let order = counter.shop.confirmed(&counter.buyer, 500).await;
    let path = format!("{order}/payments");
    for (body, pointer) in [
        (json!({ "method": "stripe" }), "/return_url"),
        (
            json!({ "method": "stripe", "return_url": "https://evil.example/" }),
            "/return_url",
        ),
        (
            json!({ "method": "mollie", "return_url": "http://shop.example/" }),
            "/return_url",
        ),
        (
            json!({ "method": "mollie", "return_url": "javascript:x" }),
            "/return_url",
        ),
        (
            json!({ "method": "mollie", "return_url": "/thanks" }),
            "/return_url",
        ),
        (
            json!({ "method": "transfer", "return_url": "https://evil.example" }),
            "/return_url",
        ),
        (json!({ "method": "paypal", "return_url": BACK }), "/method"),
    ] {
        let refused = counter.buyer.post(&path, body.clone()).await;
        let pointers: Vec<_> = refused.body["errors"].as_array().unwrap().iter().collect();
        assert_eq!((refused.status, pointers.len()), (422, 1), "{body}");
        assert_eq!(pointers[0]["pointer"], pointer, "{body}");
        let text = refused.body.to_string();
        assert!(!text.contains("return_origins"), "{text}");
    }
    let lamp = counter.shop.sell(5124, "KWD").await;
    let items = crate::shop::items(&[(lamp, 1)]);
    let placed = counter.shop.order(&counter.buyer, items, None, None).await;
    let dinars = placed.headers["location"].to_str().unwrap();
    let refused = counter.choose(dinars, "stripe").await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["errors"][0]["pointer"], "/method");
    assert_eq!(
        (counter.stripe.requests(), counter.mollie.requests()),
        (0, 0)
    );
    counter.shop.orders.finish().await;
}

/// A provider that fails, and one that does what it is asked and whose answer is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_opens_no_second_payment() {
    let counter = Counter::open().await;
    for kind in KINDS {
        let provider = counter.provider(kind);
        for switch in ["fail", "forget"] {
            let before = provider.payments().len();
            provider.switch(|switches| match switch {
                "fail" => switches.fail_next = 1,
                _ => switches.forget_next = 1,
            });
            let order = counter.shop.confirmed(&counter.buyer, 700).await;
            let opened = counter.choose(&order, name(kind)).await;
            assert_eq!(opened.status, 201);
            let redirect = opened.body["redirect_url"].as_str().unwrap();
            assert!(
                redirect.starts_with("https://checkout.example/"),
                "{redirect}"
            );
            assert_eq!(provider.payments().len(), before + 1, "{switch}");
        }
    }
    counter.shop.orders.finish().await;
}

/// A slow provider is not waited for; what it answered is shown later.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_is_shown_later() {
    let counter = Counter::open().await;
    counter
        .mollie
        .switch(|switches| switches.delay = Duration::from_secs(6));
    let order = counter.shop.confirmed(&counter.buyer, 700).await;
    let opened = counter.choose(&order, "mollie").await;
    assert_eq!(
        (opened.status, &opened.body["redirect_url"]),
        (201, &Value::Null)
    );
    assert!(
        opened
            .body
            .as_object()
            .unwrap()
            .contains_key("redirect_url")
    );
    let shown = || async {
        let listed = counter.payments(&order).await;
        listed["items"][0]["redirect_url"].is_string()
    };
    eventually("the redirect is shown", shown).await;
    counter.shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_opened_anew() {
    let counter = Counter::open().await;
    for kind in KINDS {
        let order = counter.shop.confirmed(&counter.buyer, 700).await;
        for status in ["failed", "expired"] {
            assert_eq!(counter.choose(&order, name(kind)).await.status, 201);
            let id = counter.provider(kind).payments().pop().unwrap().id;
            counter
                .provider(kind)
                .change(&id, |payment| payment.status = status);
            counter.hints(kind, &id).await;
            let ended = || async {
                let listed = counter.payments(&order).await;
                let attempts = listed["items"].as_array().unwrap().clone();
                attempts.last().unwrap()["status"] == status
            };
            eventually("the attempt has ended", ended).await;
        }
        assert_eq!(counter.order(&order).await["status"], "confirmed");
        assert_eq!(counter.choose(&order, name(kind)).await.status, 201);
    }
    counter.shop.orders.finish().await;
}

/// Its order is cancelled, or paid elsewhere, and the buyer cannot pay it any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_attempt_ends_with_its_order() {
    let counter = Counter::open().await;
    for (kind, ended) in [
        (PlayedKind::Stripe, "expired"),
        (PlayedKind::Mollie, "canceled"),
    ] {
        let provider = counter.provider(kind);
        for way in ["cancel", "pay", "begin"] {
            let order = counter.shop.confirmed(&counter.buyer, 700).await;
            let before = provider.payments().len();
            // The last one is cancelled while the provider opens it.
            let delay = Duration::from_millis(if way == "begin" { 1_000 } else { 0 });
            provider.switch(|switches| switches.delay = delay);
            let choose = counter.choose(&order, name(kind));
            let end = async {
                let listed = || async {
                    let listed = counter.payments(&order).await;
                    let attempt = &listed["items"][0];
                    attempt["redirect_url"].is_string() || way == "begin" && attempt.is_object()
                };
                eventually("it is opened, or about to be", listed).await;
                match way {
                    "pay" => counter.command(&order, "pay", json!({})).await,
                    _ => counter.cancel(&order).await,
                }
            };
            let (opened, over) = tokio::join!(choose, end);
            assert_eq!((opened.status, over.status), (201, 200), "{way}");
            // The provider may not have been asked yet when the order ended.
            let shown = || async {
                let listed = counter.payments(&order).await;
                listed["items"][0]["status"] != "pending"
            };
            eventually("its buyer sees that", shown).await;
            let opened = provider.payments().split_off(before);
            assert!(
                opened.iter().all(|payment| payment.status == ended),
                "{way}"
            );
            assert!(way == "begin" || opened.len() == 1);
        }
    }
    // What the buyer's bank is paying stays, and its money is listed.
    let order = counter.shop.confirmed(&counter.buyer, 700).await;
    counter.choose(&order, "stripe").await;
    let id = counter.stripe.payments().pop().unwrap().id;
    counter
        .stripe
        .change(&id, |payment| payment.status = "processing");
    counter.cancel(&order).await;
    counter
        .stripe
        .change(&id, |payment| payment.status = "paid");
    counter.hints(PlayedKind::Stripe, &id).await;
    let listed = || async { counter.unmatched().await == ["pi_4 order_over"] };
    eventually("it is listed", listed).await;
    counter.shop.orders.finish().await;
}

/// What a replay shows is the attempt that was opened under its key, as it is by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_the_attempt_that_it_opened() {
    let counter = Counter::open().await;
    let order = counter.shop.confirmed(&counter.buyer, 700).await;
    let keyed = async |key: &str| {
        let path = format!("{order}/payments");
        let body = json!({ "method": "stripe", "return_url": BACK });
        let request = counter.buyer.request(Method::POST, &path).json(&body);
        send(request.header("idempotency-key", key)).await
    };
    let first = keyed("one").await;
    assert_eq!(first.status, 201);
    let id = counter.stripe.payments().pop().unwrap().id;
    counter
        .stripe
        .change(&id, |payment| payment.status = "failed");
    counter.hints(PlayedKind::Stripe, &id).await;
    let failed = || async {
        let listed = counter.payments(&order).await;
        listed["items"][0]["status"] == "failed"
    };
    eventually("the first attempt has failed", failed).await;
    let second = keyed("two").await;
    assert_ne!(second.body["id"], first.body["id"]);
    for (key, opened, status) in [("one", &first, "failed"), ("two", &second, "pending")] {
        let replayed = keyed(key).await;
        assert_eq!(replayed.body["id"], opened.body["id"], "{key}");
        assert_eq!(replayed.body["status"], status, "{key}");
    }
    counter.shop.orders.finish().await;
}

/// Both providers take the money of one order, and one takes money of none.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_fits_nothing_is_listed() {
    let counter = Counter::open().await;
    let order = counter.shop.confirmed(&counter.buyer, 700).await;
    for kind in KINDS {
        assert_eq!(counter.choose(&order, name(kind)).await.status, 201);
    }
    for kind in KINDS {
        let provider = counter.provider(kind);
        let id = provider.payments().pop().unwrap().id;
        provider.change(&id, |payment| payment.status = "paid");
        counter.hints(kind, &id).await;
        let taken = || async {
            let listed = counter.payments(&order).await;
            let attempts = listed["items"].as_array().unwrap().clone();
            attempts
                .iter()
                .any(|attempt| attempt["method"] == name(kind) && attempt["status"] == "succeeded")
        };
        eventually("it is taken in", taken).await;
    }
    assert_eq!(counter.unmatched().await, ["tr_1 already_paid"]);

    // A payment link of the provider's own, and an id that it does not know.
    counter.stripe.change("cs_1", |payment| {
        payment.metadata.clear();
        payment.id = "cs_9".into();
    });
    counter.hints(PlayedKind::Stripe, "cs_9").await;
    counter.hints(PlayedKind::Mollie, "tr_unknown").await;
    let listed = || async { counter.unmatched().await.len() == 2 };
    eventually("it is listed", listed).await;
    assert_eq!(counter.unmatched().await[0], "pi_9 unknown_order");
    counter.shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_go_back_by_the_provider() {
    let counter = Counter::open().await;
    for kind in KINDS {
        let provider = counter.provider(kind);
        let (order, id) = counter.paid(kind, 1000).await;
        let back = |amount: i64| json!({ "amount": amount, "reason": "a scratch" });

        // It counts once the provider says so.
        provider.switch(|switches| switches.hold_refunds = true);
        let asked = counter.command(&order, "refund", back(300)).await;
        assert_eq!(
            (asked.status, &asked.body["refund_pending"]["amount"]),
            (200, &json!(300))
        );
        assert_eq!(asked.body["refunded_total"]["amount"], 0);
        let made = || async { provider.payments().last().unwrap().refunds.len() == 1 };
        eventually("the provider was asked", made).await;
        let too_much = counter.command(&order, "refund", back(701)).await;
        assert_eq!(
            (too_much.status, too_much.problem()),
            (409, "refund-too-large")
        );
        let listed = counter.payments(&order).await;
        assert_eq!(listed["refunds"][0]["status"], "pending");
        assert_eq!(counter.events("order.refunded", &order).await.len(), 0);
        provider.finish_refunds("done");
        counter.hints(kind, &id).await;
        counter.until(&order, "refunded_total.amount", 300).await;
        counter.hints(kind, &id).await;
        counter.until(&order, "refund_pending", Value::Null).await;
        let told = || async { counter.events("order.refunded", &order).await.len() == 1 };
        eventually("the refund is told, once", told).await;
        let history = counter.staff.get(&format!("{order}/history")).await.body;
        let last = history["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["by"], counter.staff.user_id().to_string());

        // The answer is lost, and the money is sent once.
        provider.switch(|switches| {
            switches.hold_refunds = false;
            switches.forget_next = 1;
        });
        counter.command(&order, "refund", back(200)).await;
        counter.until(&order, "refunded_total.amount", 500).await;
        assert_eq!(provider.payments().last().unwrap().refunds.len(), 2);

        // Staff get a notice of a refused refund, and may send the money by hand.
        provider.switch(|switches| switches.refuse_refunds = true);
        counter.command(&order, "refund", back(100)).await;
        counter.until(&order, "refund_pending", Value::Null).await;
        let told = || async { counter.events("refund.refused", &order).await.len() == 1 };
        eventually("staff are told", told).await;
        let refused = counter.events("refund.refused", &order).await;
        assert_eq!(refused[0]["amount"]["amount"], 100);
        let listed = counter.payments(&order).await;
        assert_eq!(listed["refunds"][2]["status"], "failed");
        let by_hand = json!({ "reason": "the rest, by transfer", "by_hand": true });
        let done = counter.command(&order, "refund", by_hand).await;
        let status = done.body["status"].as_str();
        assert_eq!((done.status, status), (200, Some("refunded")));
        assert_eq!(done.body["refunded_total"]["amount"], 1000);
        provider.switch(|switches| switches.refuse_refunds = false);
    }
    assert_eq!(counter.unmatched().await, [""; 0]);
    counter.shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_is_refunded_by_its_provider() {
    let counter = Counter::open().await;
    for (kind, is_refused) in KINDS
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let provider = counter.provider(kind);
        let (order, _) = counter.paid(kind, 1000).await;
        provider.switch(|switches| switches.refuse_refunds = is_refused);
        let cancelled = counter.cancel(&order).await;
        assert_eq!(cancelled.body["refund_pending"]["amount"], 1000);
        let told = || async { counter.events("order.cancelled", &order).await.len() == 1 };
        eventually("the cancellation is told", told).await;
        let cancelled = counter.events("order.cancelled", &order).await;
        assert_eq!(cancelled[0]["refunded"], Value::Null);
        assert_eq!(cancelled[0]["refund_pending"]["amount"], 1000);
        counter.until(&order, "refund_pending", Value::Null).await;
        if is_refused {
            let told = || async { counter.events("refund.refused", &order).await.len() == 1 };
            eventually("staff are told", told).await;
            assert_eq!(counter.order(&order).await["payment_status"], "paid");
            let by_hand = json!({ "reason": "by transfer", "by_hand": true });
            let sent = counter.command(&order, "refund", by_hand).await;
            assert_eq!(sent.status, 200, "{:?}", sent.body);
        }
        let done = counter.order(&order).await;
        assert_eq!(done["refunded_total"]["amount"], 1000);
        assert_eq!(
            (&done["status"], &done["payment_status"]),
            (&json!("cancelled"), &json!("refunded"))
        );
        let again = counter
            .command(&order, "refund", json!({ "reason": "x" }))
            .await;
        assert_eq!(again.status, 409);
        provider.switch(|switches| switches.refuse_refunds = false);
    }
    counter.shop.orders.finish().await;
}

/// The buyer's account is closed, so the money is with the shop again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_is_made_again() {
    let counter = Counter::open().await;
    for (kind, status) in KINDS
        .into_iter()
        .flat_map(|kind| [(kind, "cancelled"), (kind, "refunded")])
    {
        let provider = counter.provider(kind);
        let (order, id) = counter.paid(kind, 1000).await;
        let all = || json!({ "reason": "no" });
        match status {
            "cancelled" => counter.cancel(&order).await,
            _ => counter.command(&order, "refund", all()).await,
        };
        counter.until(&order, "refunded_total.amount", 1000).await;
        counter.until(&order, "status", status).await;
        let twice = counter.command(&order, "refund", all()).await;
        assert_eq!((twice.status, twice.problem()), (409, "order-state"));

        provider.return_refunds();
        counter.hints(kind, &id).await;
        counter.until(&order, "refunded_total.amount", 0).await;
        let now = counter.order(&order).await;
        let state = (&now["status"], &now["payment_status"]);
        assert_eq!(state, (&json!(status), &json!("paid")));
        let told = || async { counter.events("refund.refused", &order).await.len() == 1 };
        eventually("staff are told", told).await;
        let told = counter.events("refund.refused", &order).await;
        assert_eq!(told[0]["reason"], "returned");

        let again = counter.command(&order, "refund", all()).await;
        assert_eq!(again.status, 200, "{:?}", again.body);
        counter.until(&order, "refunded_total.amount", 1000).await;
        counter.hints(kind, &id).await;
        counter.until(&order, "payment_status", "refunded").await;
        let listed = counter.payments(&order).await;
        let refunds = listed["refunds"].as_array().unwrap().iter();
        let refunds: Vec<_> = refunds.map(|refund| &refund["status"]).collect();
        assert_eq!(refunds, ["succeeded", "failed"]);
    }
    assert_eq!(counter.unmatched().await, [""; 0]);
    counter.shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_the_provider_is_told() {
    let counter = Counter::open().await;
    for kind in KINDS {
        let provider = counter.provider(kind);
        let (order, id) = counter.paid(kind, 1000).await;
        provider.refund_there(&id, 250);
        provider.dispute(&id, 1000);
        counter.hints(kind, &id).await;
        let told = || async { counter.events("payment.disputed", &order).await.len() == 1 };
        eventually("the dispute is told", told).await;
        counter.hints(kind, &id).await;
        let refunded = counter.events("payment.refunded", &order).await;
        assert_eq!(
            (refunded.len(), &refunded[0]["amount"]["amount"]),
            (1, &json!(250))
        );
        let now = counter.order(&order).await;
        assert_eq!(
            (&now["status"], &now["refunded_total"]["amount"]),
            (&json!("paid"), &json!(0))
        );
    }
    counter.shop.orders.finish().await;
}

/// A call that was sent, and not answered, when the service ended is the same call afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_the_same_calls() {
    let mut counter = Counter::open().await;
    for kind in KINDS {
        let (order, _) = counter.paid(kind, 1000).await;
        let provider = counter.provider(kind).clone();
        provider.switch(|switches| switches.forget_next = 1);
        let before = provider.requests();
        let asked = json!({ "amount": 400, "reason": "a scratch" });
        counter.command(&order, "refund", asked).await;
        let sent = || async { provider.requests() > before };
        eventually("the refund was sent", sent).await;
        counter.shop.orders.restart().await;
        let address = counter.shop.orders.address;
        counter.buyer = counter.buyer.at(address);
        counter.staff = counter.staff.at(address);
        counter.until(&order, "refunded_total.amount", 400).await;
        assert_eq!(provider.payments().last().unwrap().refunds.len(), 1);
    }
    counter.shop.orders.finish().await;
}
