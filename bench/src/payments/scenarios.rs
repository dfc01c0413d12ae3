//! The scenarios: each sends one kind of message and states its expected effect.
//!
//! **Invariant:** a scenario leaves the shop complete, with every process running.

use anyhow::Context;
use futures::future::{BoxFuture, join_all};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::WebhookCheck;
use super::provider::{Payment, ProviderMessage};
use super::setup::{PIECES, PRICE, Setup, summary};

/// Further from now than a shop may believe, and well within.
const TOO_FAR_SECONDS: i64 = 6 * 60;
const NEAR_SECONDS: i64 = 4 * 60;
/// Above the limit of every JSON body.
const HUGE_BYTES: usize = 2 << 20;
const AT_ONCE: usize = 20;

const UNSIGNED: &str = "401 webhook-signature";

/// One scenario of the scenarios.
type Scenario = for<'a> fn(&'a mut Setup) -> BoxFuture<'a, anyhow::Result<()>>;

/// All of it, in order.
pub(super) const SCENARIOS: [Scenario; 8] = [
    |setup| Box::pin(rightly_and_again(setup)),
    |setup| Box::pin(signed_wrongly(setup)),
    |setup| Box::pin(signed_otherwise(setup)),
    |setup| Box::pin(wrong_money(setup)),
    |setup| Box::pin(out_of_order(setup)),
    |setup| Box::pin(after_the_end(setup)),
    |setup| Box::pin(before_confirmation(setup)),
    |setup| Box::pin(unreadable(setup)),
];

async fn rightly_and_again(setup: &mut Setup) -> anyhow::Result<()> {
    let payment = setup.order().await?;
    let (message, another) = (payment.message(), payment.message());
    let paid = "200 paid → paid";
    for (sent, message, expected) in [
        ("rightly", &message, paid),
        ("again, under the same id", &message, paid),
        ("again, under another id", &another, "200 repeated → paid"),
    ] {
        setup.send_signed(sent, message, &payment, expected).await?;
    }

    let payment = setup.order().await?;
    let message = payment.message();
    let signature = message.signed_by(&setup.secrets.present);
    let send = || {
        setup
            .client
            .send(message.request(&setup.client, &signature))
    };
    let mut got = Vec::new();
    for answer in join_all((0..AT_ONCE).map(|_| send())).await {
        got.push(summary(&answer?));
    }
    got.dedup();
    let history = setup.history(&payment).await?;
    let times = history.iter().filter(|change| change.to == "paid").count();
    setup.rows.push(WebhookCheck {
        sent: format!("{AT_ONCE} times at once, under the same id"),
        expected: "200 paid → paid 1 times".into(),
        got: format!("{} → paid {times} times", got.join(", ")),
    });
    Ok(())
}

async fn signed_wrongly(setup: &mut Setup) -> anyhow::Result<()> {
    let payment = setup.order().await?;
    let refused = format!("{UNSIGNED} → confirmed");
    let (secret, stranger) = (setup.secrets.present, setup.secrets.stranger);
    let message = payment.message();
    let good = message.signed_by(&secret);

    let mut tampered = message.clone();
    tampered.body.push(b' ');
    let renamed = ProviderMessage { id: "msg_another".into(), ..message.clone() };
    let restamped = message.clone().earlier(1);
    let old = message.clone().earlier(TOO_FAR_SECONDS);
    let early = message.clone().earlier(-TOO_FAR_SECONDS);
    let (old_good, early_good) = (old.signed_by(&secret), early.signed_by(&secret));
    let tries: [(&str, &ProviderMessage, &str); 9] = [
        (
            "signed by a stranger",
            &message,
            &message.signed_by(&stranger),
        ),
        ("with another body than was signed", &tampered, &good),
        ("under another id than was signed", &renamed, &good),
        ("at another time than was signed", &restamped, &good),
        ("sent six minutes ago", &old, &old_good),
        ("sent in six minutes", &early, &early_good),
        ("with a signature of no known kind", &message, &good[1..]),
        (
            "with a signature that is no base64",
            &message,
            "v1,*not*base64*",
        ),
        ("with an empty signature", &message, ""),
    ];
    for (sent, message, signatures) in tries {
        let request = message.request(&setup.client, signatures);
        setup.send(sent, request, &payment, &refused).await?;
    }
    let path = ["v1", "payments", "webhook"];
    let bare = setup.client.request(Method::POST, &path);
    let bare = bare
        .header("content-type", "application/json")
        .body(message.body);
    setup
        .send("without any signature", bare, &payment, &refused)
        .await
}

async fn signed_otherwise(setup: &mut Setup) -> anyhow::Result<()> {
    let paid = "200 paid → paid";
    let payment = setup.order().await?;
    let message = payment.message();
    let previous = message.signed_by(&setup.secrets.previous);
    let request = message.request(&setup.client, &previous);
    let sent = "signed with the rotation's other secret";
    setup.send(sent, request, &payment, paid).await?;

    let payment = setup.order().await?;
    let message = payment.message();
    let signatures = [&setup.secrets.stranger, &setup.secrets.present];
    let signatures = signatures.map(|secret| message.signed_by(secret));
    let request = message.request(&setup.client, &signatures.join(" "));
    let sent = "with two signatures, the second ours";
    setup.send(sent, request, &payment, paid).await?;

    for (sent, seconds) in [
        ("sent four minutes ago", NEAR_SECONDS),
        ("sent in four minutes", -NEAR_SECONDS),
    ] {
        let payment = setup.order().await?;
        let message = payment.message().earlier(seconds);
        setup.send_signed(sent, &message, &payment, paid).await?;
    }
    Ok(())
}

async fn wrong_money(setup: &mut Setup) -> anyhow::Result<()> {
    let payment = setup.order().await?;
    let of_amount = |amount| Payment { amount, ..payment.clone() };
    let of_order = |order_id: &str| Payment { order_id: order_id.into(), ..payment.clone() };
    let dollars = Payment { currency: "USD", ..payment.clone() };
    let second = Payment { reference: "a second payment".into(), ..payment.clone() };
    let never = of_order("order_01h455vb4pex5vsknk084sn02q");
    let wrong = "200 unmatched wrong_amount → confirmed";
    let already = "200 unmatched already_paid → paid";
    let unknown = "200 unmatched unknown_order → paid";
    for (sent, other, expected) in [
        ("with one cent less", of_amount(PRICE - 1), wrong),
        ("with one cent more", of_amount(PRICE + 1), wrong),
        ("with as much, but negative", of_amount(-PRICE), wrong),
        ("in another currency", dollars, wrong),
        ("then rightly", payment.clone(), "200 paid → paid"),
        ("when another payment paid", second, already),
        ("for an order that never was", never, unknown),
        (
            "for something that is no order's id",
            of_order("order_x"),
            unknown,
        ),
    ] {
        let message = other.message();
        setup
            .send_signed(sent, &message, &payment, expected)
            .await?;
    }
    Ok(())
}

async fn out_of_order(setup: &mut Setup) -> anyhow::Result<()> {
    let payment = setup.order().await?;
    let failed = Payment { succeeded: false, ..payment.clone() };
    let late = "succeeded, and the failure arrives late";
    for (sent, other, expected) in [
        ("failed", &failed, "200 failed → confirmed"),
        ("failed, then succeeded", &payment, "200 paid → paid"),
        (late, &failed, "200 failed → paid"),
    ] {
        let message = other.message();
        setup
            .send_signed(sent, &message, &payment, expected)
            .await?;
    }
    Ok(())
}

async fn after_the_end(setup: &mut Setup) -> anyhow::Result<()> {
    let cancelled = setup.order().await?;
    setup.step(&cancelled, "cancel").await?;
    let refunded = setup.order().await?;
    setup.step(&refunded, "pay").await?;
    setup.step(&refunded, "refund").await?;
    let shipped = setup.order().await?;
    setup.step(&shipped, "pay").await?;
    setup.step(&shipped, "ship").await?;
    let rejected = setup.place(PIECES, StatusCode::CONFLICT).await?;
    let over = |status: &str| format!("200 unmatched order_over → {status}");
    for (payment, expected) in [
        (cancelled, over("cancelled")),
        (refunded, over("refunded")),
        (rejected, over("rejected")),
        (shipped, "200 unmatched already_paid → shipped".into()),
    ] {
        let (_, status) = expected.split_once("→ ").context("a state")?;
        let sent = format!("for an order that is {status}");
        setup
            .send_signed(&sent, &payment.message(), &payment, &expected)
            .await?;
    }
    Ok(())
}

async fn before_confirmation(setup: &mut Setup) -> anyhow::Result<()> {
    setup.shop.kill(&["products"])?;
    let early = setup.place(1, StatusCode::ACCEPTED).await?;
    let wrong = setup.place(1, StatusCode::ACCEPTED).await?;
    let less = Payment { amount: PRICE - 1, ..wrong.clone() };
    let unmatched = "200 unmatched wrong_amount → pending";
    for (sent, payment, order, expected) in [
        (
            "before the order is confirmed",
            &early,
            &early,
            "200 awaiting → pending",
        ),
        ("before that, with one cent less", &less, &wrong, unmatched),
    ] {
        let message = payment.message();
        setup.send_signed(sent, &message, order, expected).await?;
    }
    setup.shop.start("products")?;
    for (sent, payment, expected) in [
        ("and once it is confirmed", early, "paid"),
        ("and once that is confirmed", wrong, "confirmed"),
    ] {
        let got = setup.settled(&payment, expected).await?;
        let (sent, expected) = (sent.to_owned(), expected.to_owned());
        setup.rows.push(WebhookCheck { sent, expected, got });
    }
    Ok(())
}

async fn unreadable(setup: &mut Setup) -> anyhow::Result<()> {
    let payment = setup.order().await?;
    let untouched = |answer: &str| format!("{answer} → confirmed");
    let garbage = ProviderMessage::raw(vec![0xff, 0x00, 0xfe]);
    let cut = ProviderMessage::raw(br#"{"type":"payment.succeeded","data":{"#.to_vec());
    let huge = ProviderMessage::of(&json!({"type": "x", "data": "x".repeat(HUGE_BYTES)}));
    let bare = ProviderMessage::of(&json!({"type": "payment.succeeded", "data": {}}));
    let other = ProviderMessage::of(&json!({"type": "customer.created", "data": {}}));
    for (sent, message, answer) in [
        ("bytes that are no text", garbage, "400 bad-request"),
        ("JSON that breaks off", cut, "200 unmatched unreadable"),
        ("two mebibytes", huge, "413 too-large"),
        (
            "without order, amount and currency",
            bare,
            "200 unmatched unreadable",
        ),
        ("of an unknown type", other, "200 ignored"),
    ] {
        setup
            .send_signed(sent, &message, &payment, &untouched(answer))
            .await?;
    }
    Ok(())
}
