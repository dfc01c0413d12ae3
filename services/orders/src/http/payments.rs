//! The payment provider's webhook.

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use chassis::limits::HEADER_ID_BYTES_MAX;
use chassis::{FieldError, Json, Problem, json};
use model::{Money, now};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Orders;
use crate::Error;
use crate::payments::{self, Message, Outcome};
use crate::signature::Signed;

/// Of a payment's reference, which is kept with its order.
const REFERENCE_BYTES_MAX: usize = 255;
/// How soon a provider should try again while none is set up here.
const SETUP_TIMEOUT_SECONDS: &str = "600";

/// What a provider sends. It may say more than is read here.
#[derive(Deserialize)]
struct Webhook {
    r#type: String,
    data: Value,
}

#[derive(Deserialize)]
struct PaymentData {
    order_id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    reference: Option<String>,
}

/// Takes in a message of the provider. Everything that is signed and readable is
/// 200, whatever came of it: asking again would not change it.
pub(super) async fn webhook(
    State(orders): State<Orders>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, Problem> {
    if orders.secrets.is_empty() {
        return Err(not_set_up());
    }
    let body = json::read_body(request).await?;
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    let id = header("webhook-id");
    let signed = Signed {
        id,
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
    };
    let sane = (1..=HEADER_ID_BYTES_MAX).contains(&id.len());
    if !sane || !orders.secrets.vouch_for(signed, &body, now()) {
        return Err(unsigned());
    }
    let Webhook { r#type, data } = json::parse(&body)?;
    let succeeded = match r#type.as_str() {
        "payment.succeeded" => true,
        "payment.failed" => false,
        _ => return Ok(Json(json!({ "outcome": "ignored" }))),
    };
    let message = read(succeeded, data)?;
    let (log, id) = (orders.log.clone(), id.to_owned());
    let receive = move |tx: &mut store::Tx<'_>| payments::receive(tx, &log, &id, message, now());
    let outcome: Outcome = orders.store.write(receive).await?;
    Ok(Json(match outcome {
        Outcome::Unmatched(reason) => json!({ "outcome": "unmatched", "reason": reason }),
        outcome => json!({ "outcome": outcome }),
    }))
}

fn read(succeeded: bool, data: Value) -> Result<Message, Error> {
    let invalid =
        |pointer: &str, detail: &str| Error::Invalid(vec![FieldError::new(pointer, detail)]);
    let data: PaymentData =
        serde_json::from_value(data).map_err(|error| invalid("/data", &error.to_string()))?;
    let PaymentData { order_id, amount, currency, reference } = data;
    let mut faults = Vec::new();
    let mut fault = |field: &str, detail: &str| {
        faults.push(FieldError::new(format!("/data/{field}"), detail));
    };
    if order_id.is_none() {
        fault("order_id", "is required");
    }
    if amount.is_none() {
        fault("amount", "is required, in minor units");
    }
    let currency = currency.and_then(|code| code.parse().ok());
    if currency.is_none() {
        fault("currency", "is required, an ISO 4217 code");
    }
    let sane = |text: &String| (1..=REFERENCE_BYTES_MAX).contains(&text.len());
    let reference = reference.filter(sane);
    if reference.is_none() {
        fault("reference", "is required, 1..255 bytes");
    }
    match (amount, currency, reference) {
        (Some(amount), Some(currency), Some(reference)) if faults.is_empty() => Ok(Message {
            succeeded,
            order_id: order_id.and_then(|id| id.parse().ok()),
            amount: Money { amount, currency },
            reference,
        }),
        _ => Err(Error::Invalid(faults)),
    }
}

fn unsigned() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "webhook-signature",
        "It is not signed by the payment provider",
        "webhook-id, webhook-timestamp and webhook-signature must be those of Standard Webhooks, made with one of the shop's secrets within five minutes",
    )
}

fn not_set_up() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "payments-not-configured",
        "No payment provider is set up here",
        "nothing was written; set payments.secrets or payments.secrets_files in konbini.toml, restart, and let the provider try again",
    )
    .header(RETRY_AFTER, SETUP_TIMEOUT_SECONDS)
}
