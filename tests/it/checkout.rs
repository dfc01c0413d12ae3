//! A whole sale, by a guest who pays at a provider and by an account that transfers the money:
//! two variants with a code, sent to another country at gross prices, paid, mailed, and the money
//! of one of them sent back. At each step a service is killed with SIGKILL: nothing is lost,
//! doubled or counted wrongly.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::provider::STRIPE_WEBHOOK_SECRET;
use testkit::shop::{Form, Shop};
use testkit::{PlayedKind, PlayedProvider, TIMEOUT, eventually};

use crate::mail_sink::MailSink;
use crate::people::{Answer, PASSWORD, Person, lamp, send};
use crate::world::closed;

const ADMIN: &str = "admin@konbini.example";
const GUEST: &str = "hana@konbini.example";
const ACCOUNT: &str = "mori@konbini.example";
/// Who is killed, in turns.
const VICTIMS: [&str; 4] = ["orders", "products", "gateway", "notifications"];
/// Two lamps and one, less a tenth, and the parcel; of that a sixth is tax.
const TOTAL: i64 = 7497 - 750 + 990;
/// A lamp of the order, less a tenth.
const ONE_LAMP: i64 = 2249;

/// A shop of five processes with a played Stripe and a mail server.
struct Market {
    shop: Shop,
    stripe: PlayedProvider,
    mails: MailSink,
    admin: Person,
    lamps: Vec<String>,
    method: Value,
    promotion: String,
    kills: usize,
}

impl Market {
    async fn open(keys: &Path) -> Self {
        let mut shop = closed();
        let stripe = PlayedProvider::start(PlayedKind::Stripe).await;
        let mails = MailSink::start();
        let file = |name: &str, text: &str| {
            let file = keys.join(name);
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let (key, hook) = (file("key", "sk_1"), file("hook", STRIPE_WEBHOOK_SECRET));
        let settings = format!(
            "{}retry_first_ms = 50\n[payments]\nreturn_origins = [\"https://shop.example\"]\n\
            [payments.transfer]\ntext = \"To our account.\"\n\
            [payments.stripe]\nkey_file = \"{key}\"\nwebhook_secret_file = \"{hook}\"\napi_url = \"{}\"\n",
            mails.settings(),
            stripe.api_url()
        );
        shop.add_user(ADMIN, "admin", PASSWORD).unwrap();
        shop.configure(&settings).unwrap();
        shop.open(Form::Run).unwrap();
        shop.ready().await.unwrap();
        let admin = Person::stranger(&shop).log_in(ADMIN).await;
        let variants = [lamp("RED", "Red lamp", 10), lamp("BLUE", "Blue lamp", 10)];
        let lamps = admin.sell(&variants).await;
        let price = json!({ "amount": 990, "currency": "EUR" });
        let rate = json!({ "country": "FR", "rate_bp": 2000, "name": "TVA 20 %" });
        let parcel = json!({
            "name": "Parcel", "kind": "flat", "countries": ["FR"], "bands": [{ "price": price }],
        });
        let code = json!({
            "name": "Sun", "code": "SONNE", "kind": "percent", "value": 1000, "uses_max": 2,
        });
        let made = |answer: Answer| {
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.body["id"].clone()
        };
        made(admin.post("/v1/tax-rates", rate).await);
        let method = made(admin.post("/v1/shipping-methods", parcel).await);
        let promotion = made(admin.post("/v1/promotions", code).await);
        let promotion = format!("/v1/promotions/{}", promotion.as_str().unwrap());
        Self {
            shop,
            stripe,
            mails,
            admin,
            lamps,
            method,
            promotion,
            kills: 0,
        }
    }

    /// Sends a request until it is decided, while a service is killed and started again.
    async fn step(
        &mut self,
        wanted: &'static [u16],
        request: impl Fn() -> RequestBuilder + Send + 'static,
    ) -> Value {
        let sending = tokio::spawn(surely(wanted, request));
        let victim = VICTIMS[self.kills % VICTIMS.len()];
        self.kills += 1;
        self.shop.kill(&[victim]).unwrap();
        self.shop.start(victim).unwrap();
        sending.await.unwrap()
    }

    /// Fills a cart and orders it; returns the order and the path.
    async fn order(&mut self, buyer: &Person, cart_token: Option<&str>, cart: &str) -> Value {
        let token = cart_token.unwrap_or_default().to_owned();
        let (path, who) = (cart.to_owned(), buyer.clone());
        let held = move |method: Method, below: &str| {
            let request = who.request(method, &format!("{path}{below}"));
            request.header("cart-token", &token)
        };
        let add = json!({ "product_id": self.lamps[1], "quantity": 1 });
        let items = held.clone();
        self.step(&[200], move || {
            let path = format!("/items/{}", add["product_id"].as_str().unwrap());
            let set = items(Method::PATCH, &path);
            set.json(&json!({ "quantity": 1 }))
        })
        .await;
        let details = json!({
            "email": GUEST, "name": "Hana Mori", "codes": ["sonne"],
            "shipping_method_id": self.method,
            "shipping_address": {
                "name": "Hana Mori", "line1": "Rue de la Paix 1", "city": "Paris",
                "postal_code": "75002", "country": "FR",
            },
        });
        let patch = held.clone();
        let cart = self
            .step(&[200], move || patch(Method::PATCH, "").json(&details))
            .await;
        assert_eq!(cart["problems"], json!([]), "{cart}");
        assert_eq!(cart["totals"]["total"]["amount"], TOTAL);
        assert_eq!(cart["tax_lines"][0]["tax"]["amount"], 1290);
        let agreed = json!({ "expected_total": TOTAL });
        let order = self
            .step(&[200, 201], move || {
                let complete = held(Method::POST, "/complete");
                complete.header("idempotency-key", "once").json(&agreed)
            })
            .await;
        let totals = json!([7497, 750, 990, 1290, TOTAL]);
        let names = ["items", "discount", "shipping", "tax", "total"];
        let amounts = names.map(|name| order["totals"][name]["amount"].clone());
        assert_eq!(json!(amounts), totals, "{order}");
        order
    }

    async fn until(&self, order: &str, field: &str, value: &Value) {
        let what = format!("{field} of the order is {value}");
        eventually(&what, || async {
            self.admin.get(order).await.body[field] == *value
        })
        .await;
    }

    /// Asks for the money of one lamp to be sent back, once.
    async fn refund_one(&mut self, order: &str) -> Value {
        let (admin, path) = (self.admin.clone(), format!("{order}/refund"));
        self.step(&[200], move || {
            let refund = admin.request(Method::POST, &path);
            let refund = refund.header("idempotency-key", "one-lamp");
            refund.json(&json!({ "amount": ONE_LAMP, "reason": "a scratch" }))
        })
        .await
    }

    /// The buyer got one mail with each of these subjects.
    async fn mailed(&self, address: &str, subjects: &[&str]) {
        for subject in subjects {
            let line = format!("Subject: {subject}");
            let is_there = || async {
                self.mails
                    .to(address)
                    .iter()
                    .any(|mail| mail.contains(&line))
            };
            eventually(&line, is_there).await;
        }
        let mut ids: Vec<_> = self.mails.to(address);
        ids.retain(|mail| {
            subjects
                .iter()
                .any(|subject| mail.contains(&format!("Subject: {subject}")))
        });
        let mut ids: Vec<_> = ids
            .iter()
            .filter_map(|mail| {
                mail.lines()
                    .find(|line| line.to_ascii_lowercase().starts_with("message-id:"))
            })
            .map(str::to_owned)
            .collect();
        // A mail whose acceptance was not noted before a kill is sent again as the same mail.
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), subjects.len(), "{ids:?}");
    }
}

/// Sends a request until its status is one of the wanted: what was cut off by a kill is repeated.
async fn surely(wanted: &[u16], request: impl Fn() -> RequestBuilder) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match send(request()).await {
            Ok(answer) if wanted.contains(&answer.status) => return answer.body,
            Ok(answer) if matches!(answer.status, 202 | 502 | 503 | 504) => {}
            Ok(answer) if answer.body["type"] == "/problems/idempotency-key-in-flight" => {}
            Err(_) => {}
            Ok(answer) => panic!("{answer:?}"),
        }
        assert!(Instant::now() < deadline, "never decided");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn path_of(order: &Value) -> String {
    format!("/v1/orders/{}", order["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_and_an_account_buy_while_services_are_killed() {
    let keys = tempfile::tempdir().unwrap();
    let mut market = Market::open(keys.path()).await;
    by_guest(&mut market).await;
    by_account(&mut market).await;
    let uses = market.admin.get(&market.promotion).await.body["uses"].clone();
    assert_eq!(uses, 2);
    let orders = market.admin.all("/v1/orders").await;
    assert_eq!(orders.len(), 2);
    assert_eq!(market.shop.panicked(), Vec::<&str>::new());
    market.shop.terminate_all().await.unwrap();
    // Each unit that is reserved is one of these orders'.
    market.shop.check().unwrap();
}

async fn by_guest(market: &mut Market) {
    let guest = Person::stranger(&market.shop);
    let items = json!({ "items": [{ "product_id": market.lamps[0], "quantity": 2 },
        { "product_id": market.lamps[1], "quantity": 2 }] });
    let made = guest.post("/v1/carts", items).await;
    let cart = format!("/v1/carts/{}", made.body["id"].as_str().unwrap());
    let token = made.body["token"].as_str().unwrap().to_owned();
    let order = market.order(&guest, Some(&token), &cart).await;
    let path = path_of(&order);
    let token = order["order_token"].as_str().unwrap().to_owned();

    let (who, attempt) = (guest.clone(), format!("{path}/payments"));
    let opening = token.clone();
    let method = json!({ "method": "stripe", "return_url": "https://shop.example/thanks" });
    market
        .step(&[200, 201], move || {
            let open = who.request(Method::POST, &attempt);
            let open = open.header("order-token", &opening);
            open.header("idempotency-key", "pay").json(&method)
        })
        .await;
    let stripe = market.stripe.clone();
    eventually("Stripe has the session", || async {
        !stripe.payments().is_empty()
    })
    .await;
    let payments = stripe.payments();
    assert_eq!((payments.len(), payments[0].amount), (1, TOTAL));
    let id = payments[0].id.clone();
    stripe.change(&id, |payment| payment.status = "paid");
    for _ in 0..3 {
        let (who, provider, id) = (guest.clone(), stripe.clone(), id.clone());
        market
            .step(&[200], move || {
                let (path, signature, body) = provider.hint(&id, model::now().0 / 1000);
                let (name, value) = signature.unwrap();
                let hint = who.request(Method::POST, &path).header(name, value);
                hint.header("content-type", "application/json").body(body)
            })
            .await;
    }
    market.until(&path, "status", &json!("paid")).await;

    market.refund_one(&path).await;
    let back = json!({ "amount": ONE_LAMP, "currency": "EUR" });
    market.until(&path, "refunded_total", &back).await;
    let refunds: Vec<_> = stripe.payments()[0]
        .refunds
        .iter()
        .map(|refund| refund.amount)
        .collect();
    assert_eq!(refunds, [ONE_LAMP]);
    let read = guest
        .request(Method::GET, &path)
        .header("order-token", &token);
    let read = send(read).await.unwrap();
    assert_eq!(
        (read.status, &read.body["buyer"]["email"]),
        (200, &json!(GUEST))
    );
    let subjects = [
        "Your order is confirmed",
        "We have received your payment",
        "Your refund is on its way",
    ];
    market.mailed(GUEST, &subjects).await;
}

async fn by_account(market: &mut Market) {
    let buyer = Person::register(&market.shop, ACCOUNT).await;
    let items = json!({ "items": [{ "product_id": market.lamps[0], "quantity": 2 },
        { "product_id": market.lamps[1], "quantity": 2 }] });
    let made = buyer.post("/v1/carts", items).await;
    let cart = format!("/v1/carts/{}", made.body["id"].as_str().unwrap());
    let order = market.order(&buyer, None, &cart).await;
    assert_eq!(order["order_token"], Value::Null);
    let path = path_of(&order);
    let (who, attempt) = (buyer.clone(), format!("{path}/payments"));
    let opened = market
        .step(&[200, 201], move || {
            let open = who.request(Method::POST, &attempt);
            open.json(&json!({ "method": "transfer" }))
        })
        .await;
    assert_eq!(opened["instructions"], "To our account.");
    let (admin, pay) = (market.admin.clone(), format!("{path}/pay"));
    market
        .step(&[200], move || {
            let pay = admin.request(Method::POST, &pay);
            let pay = pay.header("idempotency-key", "received");
            pay.json(&json!({ "reference": "statement 7" }))
        })
        .await;
    let refunded = market.refund_one(&path).await;
    assert_eq!(refunded["refunded_total"]["amount"], ONE_LAMP);
    let subjects = [
        "Your order is confirmed",
        "We have received your payment",
        "Your refund is on its way",
    ];
    market.mailed(ACCOUNT, &subjects).await;
}
