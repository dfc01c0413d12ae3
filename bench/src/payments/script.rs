//! The script: each act sends one kind of message and says what must come of it.

use anyhow::Context;
use futures::future::{BoxFuture, join_all};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Row;
use super::provider::{Message, Payment};
use super::stage::{PIECES, PRICE, Stage, words};

/// Further from now than a shop may believe, and well within.
const TOO_FAR_SECONDS: i64 = 6 * 60;
const NEAR_SECONDS: i64 = 4 * 60;
/// Above the limit of every JSON body.
const HUGE_BYTES: usize = 2 << 20;
const AT_ONCE: usize = 20;

const UNSIGNED: &str = "401 webhook-signature";

/// One act of the script.
type Act = for<'a> fn(&'a mut Stage) -> BoxFuture<'a, anyhow::Result<()>>;

/// All of it, in order.
pub(super) const ACTS: [Act; 8] = [
    |stage| Box::pin(rightly_and_again(stage)),
    |stage| Box::pin(signed_wrongly(stage)),
    |stage| Box::pin(signed_otherwise(stage)),
    |stage| Box::pin(wrong_money(stage)),
    |stage| Box::pin(out_of_order(stage)),
    |stage| Box::pin(after_the_end(stage)),
    |stage| Box::pin(before_confirmation(stage)),
    |stage| Box::pin(unreadable(stage)),
];

async fn rightly_and_again(stage: &mut Stage) -> anyhow::Result<()> {
    let payment = stage.order().await?;
    let message = payment.message();
    let paid = "200 paid → paid";
    stage.tell("rightly", &message, &payment, paid).await?;
    stage
        .tell("again, under the same id", &message, &payment, paid)
        .await?;
    let another = payment.message();
    let repeated = "200 repeated → paid";
    stage
        .tell("again, under another id", &another, &payment, repeated)
        .await?;

    let payment = stage.order().await?;
    let message = payment.message();
    let signature = message.signed_by(&stage.secrets.present);
    let send = || {
        stage
            .client
            .send(message.request(&stage.client, &signature))
    };
    let mut got = Vec::new();
    for answer in join_all((0..AT_ONCE).map(|_| send())).await {
        got.push(words(&answer?));
    }
    got.dedup();
    let history = stage.history(&payment).await?;
    let times = history.iter().filter(|change| change.to == "paid").count();
    stage.rows.push(Row {
        sent: format!("{AT_ONCE} times at once, under the same id"),
        expected: "200 paid → paid 1 times".into(),
        got: format!("{} → paid {times} times", got.join(", ")),
    });
    Ok(())
}

async fn signed_wrongly(stage: &mut Stage) -> anyhow::Result<()> {
    let payment = stage.order().await?;
    let refused = format!("{UNSIGNED} → confirmed");
    let (secret, stranger) = (stage.secrets.present, stage.secrets.stranger);
    let message = payment.message();
    let good = message.signed_by(&secret);

    let mut tampered = message.clone();
    tampered.body.push(b' ');
    let renamed = Message { id: "msg_another".into(), ..message.clone() };
    let restamped = message.clone().earlier(1);
    let old = message.clone().earlier(TOO_FAR_SECONDS);
    let early = message.clone().earlier(-TOO_FAR_SECONDS);
    let (old_good, early_good) = (old.signed_by(&secret), early.signed_by(&secret));
    let tries: [(&str, &Message, &str); 9] = [
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
        let request = message.request(&stage.client, signatures);
        stage.send(sent, request, &payment, &refused).await?;
    }
    let path = ["v1", "payments", "webhook"];
    let bare = stage.client.request(Method::POST, &path);
    let bare = bare
        .header("content-type", "application/json")
        .body(message.body);
    stage
        .send("without any signature", bare, &payment, &refused)
        .await
}

async fn signed_otherwise(stage: &mut Stage) -> anyhow::Result<()> {
    let paid = "200 paid → paid";
    let payment = stage.order().await?;
    let message = payment.message();
    let previous = message.signed_by(&stage.secrets.previous);
    let request = message.request(&stage.client, &previous);
    let sent = "signed with the rotation's other secret";
    stage.send(sent, request, &payment, paid).await?;

    let payment = stage.order().await?;
    let message = payment.message();
    let signatures = [&stage.secrets.stranger, &stage.secrets.present];
    let signatures = signatures.map(|secret| message.signed_by(secret));
    let request = message.request(&stage.client, &signatures.join(" "));
    let sent = "with two signatures, the second ours";
    stage.send(sent, request, &payment, paid).await?;

    for (sent, seconds) in [
        ("sent four minutes ago", NEAR_SECONDS),
        ("sent in four minutes", -NEAR_SECONDS),
    ] {
        let payment = stage.order().await?;
        let message = payment.message().earlier(seconds);
        stage.tell(sent, &message, &payment, paid).await?;
    }
    Ok(())
}

async fn wrong_money(stage: &mut Stage) -> anyhow::Result<()> {
    let payment = stage.order().await?;
    let wrong = "200 unmatched wrong_amount → confirmed";
    let amounts = [
        ("with one cent less", PRICE - 1),
        ("with one cent more", PRICE + 1),
        ("with as much, but negative", -PRICE),
    ];
    for (sent, amount) in amounts {
        let other = Payment { amount, ..payment.clone() };
        stage.tell(sent, &other.message(), &payment, wrong).await?;
    }
    let dollars = Payment { currency: "USD", ..payment.clone() };
    stage
        .tell("in another currency", &dollars.message(), &payment, wrong)
        .await?;
    stage
        .tell(
            "then rightly",
            &payment.message(),
            &payment,
            "200 paid → paid",
        )
        .await?;
    let second = Payment { reference: "a second payment".into(), ..payment.clone() };
    let already = "200 unmatched already_paid → paid";
    stage
        .tell(
            "when another payment paid",
            &second.message(),
            &payment,
            already,
        )
        .await?;

    let unknown = "200 unmatched unknown_order → paid";
    for (sent, order_id) in [
        (
            "for an order that never was",
            "order_01h455vb4pex5vsknk084sn02q",
        ),
        ("for something that is no order's id", "order_x"),
    ] {
        let other = Payment { order_id: order_id.into(), ..payment.clone() };
        stage
            .tell(sent, &other.message(), &payment, unknown)
            .await?;
    }
    Ok(())
}

async fn out_of_order(stage: &mut Stage) -> anyhow::Result<()> {
    let payment = stage.order().await?;
    let failed = Payment { succeeded: false, ..payment.clone() };
    stage
        .tell(
            "failed",
            &failed.message(),
            &payment,
            "200 failed → confirmed",
        )
        .await?;
    stage
        .tell(
            "failed, then succeeded",
            &payment.message(),
            &payment,
            "200 paid → paid",
        )
        .await?;
    stage
        .tell(
            "succeeded, and the failure arrives late",
            &failed.message(),
            &payment,
            "200 failed → paid",
        )
        .await
}

async fn after_the_end(stage: &mut Stage) -> anyhow::Result<()> {
    let cancelled = stage.order().await?;
    stage.step(&cancelled, "cancel").await?;
    let refunded = stage.order().await?;
    stage.step(&refunded, "pay").await?;
    stage.step(&refunded, "refund").await?;
    let shipped = stage.order().await?;
    stage.step(&shipped, "pay").await?;
    stage.step(&shipped, "ship").await?;
    let rejected = stage.place(PIECES, StatusCode::CONFLICT).await?;
    let over = |status: &str| format!("200 unmatched order_over → {status}");
    for (payment, expected) in [
        (cancelled, over("cancelled")),
        (refunded, over("refunded")),
        (rejected, over("rejected")),
        (shipped, "200 unmatched already_paid → shipped".into()),
    ] {
        let (_, status) = expected.split_once("→ ").context("a state")?;
        let sent = format!("for an order that is {status}");
        stage
            .tell(&sent, &payment.message(), &payment, &expected)
            .await?;
    }
    Ok(())
}

async fn before_confirmation(stage: &mut Stage) -> anyhow::Result<()> {
    stage.shop.kill(&["products"])?;
    let early = stage.place(1, StatusCode::ACCEPTED).await?;
    let wrong = stage.place(1, StatusCode::ACCEPTED).await?;
    let awaiting = "200 awaiting → pending";
    stage
        .tell(
            "before the order is confirmed",
            &early.message(),
            &early,
            awaiting,
        )
        .await?;
    let less = Payment { amount: PRICE - 1, ..wrong.clone() };
    let unmatched = "200 unmatched wrong_amount → pending";
    stage
        .tell(
            "before that, with one cent less",
            &less.message(),
            &wrong,
            unmatched,
        )
        .await?;
    stage.shop.start("products")?;
    for (sent, payment, expected) in [
        ("and once it is confirmed", early, "paid"),
        ("and once that is confirmed", wrong, "confirmed"),
    ] {
        let got = stage.settled(&payment, expected).await?;
        let (sent, expected) = (sent.to_owned(), expected.to_owned());
        stage.rows.push(Row { sent, expected, got });
    }
    Ok(())
}

async fn unreadable(stage: &mut Stage) -> anyhow::Result<()> {
    let payment = stage.order().await?;
    let untouched = |answer: &str| format!("{answer} → confirmed");
    let garbage = Message::raw(vec![0xff, 0x00, 0xfe]);
    let cut = Message::raw(br#"{"type":"payment.succeeded","data":{"#.to_vec());
    let huge = Message::of(&json!({"type": "x", "data": "x".repeat(HUGE_BYTES)}));
    let bare = Message::of(&json!({"type": "payment.succeeded", "data": {}}));
    let other = Message::of(&json!({"type": "payment.disputed", "data": {}}));
    for (sent, message, answer) in [
        ("bytes that are no text", garbage, "400 bad-request"),
        ("JSON that breaks off", cut, "400 bad-request"),
        ("two mebibytes", huge, "413 too-large"),
        ("without order, amount and currency", bare, "422 invalid"),
        ("of a type nobody knows", other, "200 ignored"),
    ] {
        stage
            .tell(sent, &message, &payment, &untouched(answer))
            .await?;
    }
    Ok(())
}
