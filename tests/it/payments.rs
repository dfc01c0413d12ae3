//! Payments at providers that are played, in a shop of several processes whose orders are killed
//! while calls are in flight: each payment and refund is made once, and what is paid is paid.

use std::path::Path;
use std::time::Duration;

use model::now;
use reqwest::Method;
use serde_json::json;
use testkit::provider::STRIPE_WEBHOOK_SECRET;
use testkit::shop::{Form, Shop};
use testkit::{PlayedKind, PlayedProvider, eventually};

use crate::people::{Person, lamp, pieces, send};
use crate::world::closed;

/// The settings of all payment methods but payment to the carrier, with `more` of `[payments]`.
pub(crate) fn settings(more: &str, stripe: &str, mollie: &str, keys: &Path) -> String {
    let file = |name: &str, text: &str| {
        let file = keys.join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (key, hook) = (file("key", "sk_1"), file("hook", STRIPE_WEBHOOK_SECRET));
    let sections = [
        format!("[payments]\n{more}return_origins = [\"https://shop.example\"]"),
        "[payments.transfer]\ntext = \"To our account.\"".to_owned(),
        format!("[payments.stripe]\nkey_file = \"{key}\"\nwebhook_secret_file = \"{hook}\""),
        format!("api_url = \"{stripe}\"\n[payments.mollie]\nkey_file = \"{key}\""),
        format!("api_url = \"{mollie}\"\n"),
    ];
    sections.join("\n")
}

async fn killed(shop: &mut Shop) {
    shop.kill(&["orders"]).unwrap();
    shop.start("orders").unwrap();
    shop.ready().await.unwrap();
}

/// Waits until a provider was asked since then.
async fn asked_since(provider: &PlayedProvider, before: u32) {
    let is_asked = || async { provider.requests() > before };
    eventually("the provider is asked", is_asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_made_once_whenever_orders_is_killed() {
    let stripe = PlayedProvider::start(PlayedKind::Stripe).await;
    let mollie = PlayedProvider::start(PlayedKind::Mollie).await;
    let keys = tempfile::tempdir().unwrap();
    let mut shop = closed();
    shop.init().unwrap();
    let settings = settings("", &stripe.api_url(), &mollie.api_url(), keys.path());
    shop.configure(&settings).unwrap();
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    let admin = Person::admin(&shop).await;
    let buyer = Person::register(&shop, "buyer@konbini.example").await;
    let lamps = admin.sell(&[lamp("LAMP-1", "Desk lamp", 10)]).await;
    for (provider, method) in [(&stripe, "stripe"), (&mollie, "mollie")] {
        let placed = buyer.order_surely(method, &pieces(&lamps[0], 1)).await;
        let order = format!("/v1/orders/{}", placed.body["id"].as_str().unwrap());
        opened(&mut shop, &buyer, provider, &order, method).await;
        let id = provider.payments().last().unwrap().id.clone();
        assert_eq!(provider.payments().len(), 1);

        provider.change(&id, |payment| payment.status = "paid");
        let (path, signature, body) = provider.hint(&id, now().0 / 1000);
        let mut hint = Person::stranger(&shop)
            .request(Method::POST, &path)
            .body(body);
        if let Some((name, value)) = signature {
            hint = hint.header(name, value);
        }
        assert_eq!(send(hint).await.unwrap().status, 200);
        killed(&mut shop).await;
        let is_paid = || async { buyer.get(&order).await.body["status"] == "paid" };
        eventually("it is paid", is_paid).await;

        let before = provider.requests();
        let back = json!({ "amount": 400, "reason": "a scratch" });
        let asked = admin.post(&format!("{order}/refund"), back).await;
        assert_eq!(asked.body["refund_pending"]["amount"], 400);
        asked_since(provider, before).await;
        killed(&mut shop).await;
        let is_refunded =
            || async { buyer.get(&order).await.body["refunded_total"]["amount"] == 400 };
        eventually("it is refunded", is_refunded).await;
        assert_eq!(provider.payments()[0].refunds.len(), 1);
    }
    let unmatched = admin.all("/v1/payments/unmatched").await;
    assert!(unmatched.is_empty(), "{unmatched:?}");
    shop.terminate_all().await.unwrap();
}

/// Opens an attempt, and kills orders while its provider is asked.
async fn opened(
    shop: &mut Shop,
    buyer: &Person,
    provider: &PlayedProvider,
    order: &str,
    method: &'static str,
) {
    let path = format!("{order}/payments");
    let body = json!({ "method": method, "return_url": "https://shop.example/thanks" });
    let before = provider.requests();
    // Long enough that the kill finds the call in flight.
    provider.switch(|switches| switches.delay = Duration::from_millis(300));
    let opening = buyer.request(Method::POST, &path).json(&body);
    let opening = tokio::spawn(send(opening));
    let is_kept = || async {
        let listed = buyer.get(&path).await.body;
        listed["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    };
    eventually("the attempt is kept", is_kept).await;
    killed(shop).await;
    // The response was lost, or says that the shop was away.
    let _ = opening.await.unwrap();
    asked_since(provider, before).await;
    let is_shown = || async {
        let again = buyer.post(&path, body.clone()).await;
        again.body["redirect_url"].is_string()
    };
    eventually("the redirect is shown", is_shown).await;
}
