//! The API of a played provider: as much of it as the shop uses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Played, PlayedKind, PlayedPayment, PlayedRefund};

#[derive(Clone)]
struct Api {
    kind: PlayedKind,
    played: Arc<Mutex<Played>>,
}

/// Serves until the runtime ends.
pub(super) async fn serve(kind: PlayedKind, played: Arc<Mutex<Played>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new()
        .fallback(answer)
        .with_state(Api { kind, played });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let delay = api.played.lock().switches.delay;
    tokio::time::sleep(delay).await;
    let mut played = api.played.lock();
    played.requests += 1;
    let broken = (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
    if !headers.contains_key("authorization") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if played.switches.fail_next > 0 {
        played.switches.fail_next -= 1;
        return broken;
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let done = match (api.kind, &method) {
        (PlayedKind::Stripe, &Method::POST) => stripe_post(&mut played, uri.path(), key, &body),
        (PlayedKind::Stripe, _) => stripe_get(&mut played, &uri),
        (PlayedKind::Mollie, &Method::POST) => mollie_post(&mut played, uri.path(), key, &body),
        (PlayedKind::Mollie, &Method::DELETE) => mollie_delete(&mut played, uri.path()),
        (PlayedKind::Mollie, _) => mollie_get(&mut played, &uri),
    };
    if method != Method::GET && played.switches.forget_next > 0 {
        played.switches.forget_next -= 1;
        return broken;
    }
    match done {
        Some((status, body)) => (status, body.to_string()).into_response(),
        None => (StatusCode::NOT_FOUND, "{}").into_response(),
    }
}

type Answer = Option<(StatusCode, Value)>;

/// Opens a payment, once for each key.
fn open(played: &mut Played, prefix: &str, key: Option<&str>, payment: PlayedPayment) -> String {
    let key = key.unwrap_or_default();
    if let Some(known) = played.keys.get(key) {
        return known.clone();
    }
    let id = played.object(prefix);
    played.keys.insert(key.to_owned(), id.clone());
    played
        .payments
        .push(PlayedPayment { id: id.clone(), ..payment });
    id
}

/// Refunds a payment, once for each key; `None` if that is refused.
fn refund(
    played: &mut Played,
    id: &str,
    key: Option<&str>,
    amount: i64,
    metadata: BTreeMap<String, String>,
) -> Option<PlayedRefund> {
    let key = key.unwrap_or_default().to_owned();
    if played.switches.refuse_refunds {
        return None;
    }
    let known = played.keys.get(&key).cloned();
    let refund_id = known.clone().unwrap_or_else(|| played.object("re"));
    let status = if played.switches.hold_refunds {
        "pending"
    } else {
        "done"
    };
    let payment = played.payment(id)?;
    if known.is_none() {
        let kept = payment.refunds.iter();
        let kept = kept.filter(|refund| refund.status != "failed");
        let made: i64 = kept.map(|refund| refund.amount).sum();
        if payment.status != "paid" || made + amount > payment.amount {
            return None;
        }
        let refund = PlayedRefund { id: refund_id.clone(), amount, status, metadata };
        payment.refunds.push(refund);
    }
    let found = payment
        .refunds
        .iter()
        .find(|refund| refund.id == refund_id)
        .cloned();
    played.keys.insert(key, refund_id);
    found
}

fn new_payment(amount: i64, metadata: BTreeMap<String, String>) -> PlayedPayment {
    PlayedPayment {
        id: String::new(),
        amount,
        status: "open",
        metadata,
        webhook: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
    }
}

fn stripe_post(played: &mut Played, path: &str, key: Option<&str>, body: &[u8]) -> Answer {
    let fields: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let metadata: BTreeMap<_, _> = fields
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((name.to_owned(), value.clone()))
        })
        .collect();
    let number = |name: &str| fields.get(name).and_then(|text| text.parse::<i64>().ok());
    if path == "/v1/checkout/sessions" {
        let amount = number("line_items[0][price_data][unit_amount]")?;
        let id = open(played, "cs", key, new_payment(amount, metadata));
        let session = stripe_session(played.payment(&id)?);
        return Some((StatusCode::OK, session));
    }
    let session = path.strip_prefix("/v1/checkout/sessions/");
    if let Some(id) = session.and_then(|rest| rest.strip_suffix("/expire")) {
        let payment = played.payment(id)?;
        if payment.status != "open" {
            let error = json!({ "error": { "message": "Only open sessions can be expired." } });
            return Some((StatusCode::BAD_REQUEST, error));
        }
        payment.status = "expired";
        return Some((StatusCode::OK, stripe_session(payment)));
    }
    let intent = fields.get("payment_intent")?;
    Some(
        match refund(played, intent, key, number("amount")?, metadata) {
            Some(refund) => (StatusCode::OK, stripe_refund(&refund)),
            None => {
                let error = json!({ "error": { "message": "This cannot be refunded." } });
                (StatusCode::BAD_REQUEST, error)
            }
        },
    )
}

fn stripe_get(played: &mut Played, uri: &Uri) -> Answer {
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let intent = query.get("payment_intent").cloned().unwrap_or_default();
    let list = |data: Vec<Value>| Some((StatusCode::OK, json!({ "data": data })));
    if let Some(id) = uri.path().strip_prefix("/v1/checkout/sessions/") {
        let session = stripe_session(played.payment(id)?);
        return Some((StatusCode::OK, session));
    }
    let payment = played.payment(&intent);
    match uri.path() {
        "/v1/checkout/sessions" => list(
            payment
                .iter()
                .map(|payment| stripe_session(payment))
                .collect(),
        ),
        "/v1/refunds" => list(payment?.refunds.iter().map(stripe_refund).collect()),
        "/v1/disputes" => {
            let dispute = |(id, amount): &(String, i64)| json!({ "id": id, "amount": amount, "currency": "eur" });
            list(payment?.disputes.iter().map(dispute).collect())
        }
        _ => None,
    }
}

fn stripe_session(payment: &PlayedPayment) -> Value {
    let (session, paid, intent) = match payment.status {
        "paid" => ("complete", "paid", "succeeded"),
        "failed" => ("complete", "unpaid", "requires_payment_method"),
        "expired" => ("expired", "unpaid", "canceled"),
        "processing" => ("complete", "unpaid", "processing"),
        _ => ("open", "unpaid", "requires_payment_method"),
    };
    json!({
        "id": payment.id,
        "object": "checkout.session",
        "url": format!("https://checkout.example/{}", payment.id),
        "status": session,
        "payment_status": paid,
        "amount_total": payment.amount,
        "currency": "eur",
        "payment_intent": { "id": payment.id.replace("cs_", "pi_"), "status": intent },
        "metadata": payment.metadata,
    })
}

fn stripe_refund(refund: &PlayedRefund) -> Value {
    let status = match refund.status {
        "done" => "succeeded",
        status => status,
    };
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "currency": "eur",
        "status": status,
        "metadata": refund.metadata,
    })
}

fn mollie_post(played: &mut Played, path: &str, key: Option<&str>, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).ok()?;
    let value = body["amount"]["value"].as_str()?.replace('.', "");
    let amount = value.parse().ok()?;
    let metadata = serde_json::from_value(body["metadata"].clone()).ok()?;
    if path == "/v2/payments" {
        let webhook = body["webhookUrl"].as_str().map(str::to_owned);
        let payment = PlayedPayment { webhook, ..new_payment(amount, metadata) };
        let id = open(played, "tr", key, payment);
        return Some((StatusCode::CREATED, mollie_payment(played.payment(&id)?)));
    }
    let id = path
        .strip_prefix("/v2/payments/")?
        .strip_suffix("/refunds")?;
    Some(match refund(played, id, key, amount, metadata) {
        Some(refund) => (StatusCode::CREATED, mollie_refund(&refund)),
        None => {
            let problem = json!({ "status": 422, "detail": "This cannot be refunded." });
            (StatusCode::UNPROCESSABLE_ENTITY, problem)
        }
    })
}

fn mollie_get(played: &mut Played, uri: &Uri) -> Answer {
    let id = uri.path().strip_prefix("/v2/payments/")?;
    Some((StatusCode::OK, mollie_payment(played.payment(id)?)))
}

fn mollie_delete(played: &mut Played, path: &str) -> Answer {
    let payment = played.payment(path.strip_prefix("/v2/payments/")?)?;
    if payment.status != "open" {
        let problem = json!({ "status": 422, "detail": "The payment cannot be cancelled." });
        return Some((StatusCode::UNPROCESSABLE_ENTITY, problem));
    }
    payment.status = "canceled";
    Some((StatusCode::OK, mollie_payment(payment)))
}

fn mollie_payment(payment: &PlayedPayment) -> Value {
    let dispute = |(id, amount): &(String, i64)| json!({ "id": id, "amount": euros(*amount) });
    let disputes: Vec<_> = payment.disputes.iter().map(dispute).collect();
    let refunds: Vec<_> = payment.refunds.iter().map(mollie_refund).collect();
    json!({
        "id": payment.id,
        "status": payment.status,
        "isCancelable": payment.status == "open",
        "amount": euros(payment.amount),
        "metadata": payment.metadata,
        "_links": { "checkout": { "href": format!("https://checkout.example/{}", payment.id) } },
        "_embedded": { "refunds": refunds, "chargebacks": disputes },
    })
}

fn mollie_refund(refund: &PlayedRefund) -> Value {
    let status = match refund.status {
        "done" => "refunded",
        status => status,
    };
    json!({
        "id": refund.id,
        "amount": euros(refund.amount),
        "status": status,
        "metadata": refund.metadata,
    })
}

fn euros(amount: i64) -> Value {
    json!({ "currency": "EUR", "value": format!("{}.{:02}", amount / 100, amount % 100) })
}
