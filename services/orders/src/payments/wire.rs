//! Request and response bodies of payments.

use chassis::fields::{Fields, ReadFields};
use model::{Currency, Mismatch, Money, OrderId, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::methods::OfferedMethod;
use super::providers::hints::HintOutcome;
use super::refunds::{RefundRow, RefundStatus};
use super::tables::{PaymentId, RefundId, UnmatchedPlace, UnmatchedRow};
use super::unmatched::SUCCEEDED;
use super::webhook::SignedMessage;
use crate::domain::{
    METHOD_CHARS_MAX, Order, PaymentMessage, PaymentOutcome, PaymentResult, REFERENCE_BYTES_MAX,
    StatusChange,
};

/// Bytes of a return URL: what browsers and proxies take.
const RETURN_URL_BYTES_MAX: usize = 2_000;

/// `GET /v1/payment-methods`.
#[derive(Debug, Serialize)]
pub(crate) struct MethodsResponse {
    items: Vec<MethodResponse>,
}

#[derive(Debug, Serialize)]
struct MethodResponse {
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
}

impl MethodsResponse {
    pub(crate) fn new(offered: &[OfferedMethod]) -> Self {
        let items = offered.iter().map(|offered| MethodResponse {
            method: offered.method.name(),
            instructions: offered.instructions.clone(),
        });
        Self { items: items.collect() }
    }
}

/// `POST /v1/orders/{id}/payments`.
#[derive(Debug, Serialize)]
pub(crate) struct PaymentBody {
    pub(super) method: String,
    /// Where a provider sends the buyer afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) return_url: Option<String>,
}

impl ReadFields for PaymentBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let method = fields.required("method", |text| {
            let fits = text.chars().count() <= METHOD_CHARS_MAX;
            fits.then(|| text.to_owned())
                .ok_or("is no payment method of this shop")
        });
        let return_url = fields.optional("return_url", return_url);
        Some(Self { method: method?, return_url })
    }
}

/// An absolute URL, in the form that browsers give it.
fn return_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|_| text.len() <= RETURN_URL_BYTES_MAX);
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let why = || format!("must be an http or https URL of at most {RETURN_URL_BYTES_MAX} bytes");
    url.map(String::from).ok_or_else(why)
}

/// An attempt to pay.
#[derive(Debug, Serialize)]
pub(crate) struct AttemptResponse {
    pub(super) id: PaymentId,
    pub(super) method: &'static str,
    pub(super) status: &'static str,
    pub(super) amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instructions: Option<String>,
    /// Where the buyer pays: `None` without a provider, `Some(None)` until it has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redirect_url: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    pub(super) created_at: Time,
}

/// `GET /v1/orders/{id}/payments`.
#[derive(Debug, Serialize)]
pub(crate) struct PaymentsResponse {
    items: Vec<AttemptResponse>,
    refunds: Vec<RefundResponse>,
    /// Of the payment that paid, whether it was one of the attempts or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

#[derive(Debug, Serialize)]
struct RefundResponse {
    /// Of one that a provider was asked for and that does not count yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<RefundId>,
    status: &'static str,
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: Time,
}

impl PaymentsResponse {
    pub(crate) fn new(
        items: Vec<AttemptResponse>,
        order: &Order,
        history: Vec<StatusChange>,
        asked: Vec<(RefundId, RefundRow)>,
    ) -> Self {
        let mut made = Vec::new();
        for change in history {
            if let Some(amount) = change.refunded.filter(|refund| refund.amount > 0) {
                made.push(RefundResponse {
                    id: None,
                    status: RefundStatus::Succeeded.name(),
                    amount,
                    reason: change.reason,
                    at: change.at,
                });
            }
            // It is among those that the provider was asked for.
            let failed = change.refund_failed;
            let failed = made.iter().rposition(|made| Some(made.amount) == failed);
            failed.map(|place| made.remove(place));
        }
        let asked = asked.into_iter();
        let asked = asked.filter(|(_, row)| row.status != RefundStatus::Succeeded || row.uncounted);
        let asked = asked.map(|(id, row)| RefundResponse {
            id: Some(id),
            status: row.status.name(),
            amount: row.amount,
            reason: row.reason,
            at: id.made_at(),
        });
        let refunds = made.into_iter().chain(asked);
        let reference = order.payment.clone().filter(|_| order.is_paid());
        Self { items, refunds: refunds.collect(), reference }
    }
}

/// An item of `GET /v1/payments/unmatched`.
#[derive(Debug, Serialize)]
pub(crate) struct UnmatchedResponse {
    received_at: Time,
    /// The provider's id of the message, or of the payment.
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    reason: Mismatch,
}

impl UnmatchedResponse {
    pub(crate) fn new((received_at, message_id): UnmatchedPlace, row: UnmatchedRow) -> Self {
        let UnmatchedRow { kind, order_id, amount, reference, reason } = row;
        Self {
            received_at,
            message_id,
            r#type: kind,
            order_id,
            amount,
            reference,
            reason,
        }
    }
}

/// `POST /v1/payments/webhook`: a message of the payment provider. It is read by serde and
/// not with `chassis::fields`, which refuses unknown members: a provider may add some.
#[derive(Debug, Deserialize)]
struct WebhookBody {
    r#type: String,
    #[serde(default)]
    data: Value,
}

/// Each member alone, so that one that is odd costs no other.
struct PaymentData(Value);

impl PaymentData {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name)?.as_str().map(str::to_owned)
    }

    fn message(&self, result: PaymentResult) -> Option<PaymentMessage> {
        let currency: Currency = self.text("currency")?.parse().ok()?;
        let has_length = |text: &String| (1..=REFERENCE_BYTES_MAX).contains(&text.len());
        let order_id: Option<OrderId> = self.text("order_id")?.parse().ok();
        Some(PaymentMessage {
            result,
            order_id,
            amount: Money { amount: self.0.get("amount")?.as_i64()?, currency },
            reference: self.text("reference").filter(has_length)?,
            method: None,
        })
    }
}

/// Reads a signed body; `None` for a type that is not about money.
pub(super) fn read_signed(id: String, body: &[u8]) -> Option<SignedMessage> {
    let Ok(WebhookBody { r#type, data }) = serde_json::from_slice(body) else {
        return Some(SignedMessage { id, kind: None, named: None, message: None });
    };
    let result = match r#type.as_str() {
        SUCCEEDED => PaymentResult::Succeeded,
        "payment.failed" => PaymentResult::Failed,
        "payment.refunded" => PaymentResult::Refunded,
        "payment.disputed" => PaymentResult::Disputed,
        _ => return None,
    };
    let data = PaymentData(data);
    let message = data.message(result);
    Some(SignedMessage {
        id,
        kind: Some(r#type),
        named: data.text("order_id"),
        message,
    })
}

/// The response to a message of the payment provider.
#[derive(Debug, Serialize)]
pub(crate) struct WebhookResponse {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Mismatch>,
}

impl WebhookResponse {
    /// For a message that is not about money.
    pub(crate) const IGNORED: Self = Self { outcome: "ignored", reason: None };

    pub(crate) fn new(outcome: PaymentOutcome) -> Self {
        let (outcome, reason) = match outcome {
            PaymentOutcome::Paid => ("paid", None),
            PaymentOutcome::Awaiting => ("awaiting", None),
            PaymentOutcome::Repeated => ("repeated", None),
            PaymentOutcome::Reviving => ("reviving", None),
            PaymentOutcome::Failed => ("failed", None),
            PaymentOutcome::Reported => ("reported", None),
            PaymentOutcome::Unmatched(reason) => ("unmatched", Some(reason)),
        };
        Self { outcome, reason }
    }
}

/// The response to a provider's webhook.
#[derive(Debug, Serialize)]
pub(crate) struct HintResponse {
    outcome: &'static str,
}

impl HintResponse {
    pub(crate) fn new(outcome: HintOutcome) -> Self {
        let outcome = match outcome {
            HintOutcome::Accepted => "accepted",
            HintOutcome::Ignored => "ignored",
        };
        Self { outcome }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The outcome of reading: not about money, not readable, or read.
    #[test]
    fn what_can_be_read_of_a_signed_body() {
        let order = "order_01h455vb4pex5vsknk084sn02q";
        let data = |changed: Value| {
            let mut data =
                json!({ "order_id": order, "amount": 5, "currency": "EUR", "reference": "R" });
            let members = changed.as_object().unwrap().clone();
            data.as_object_mut().unwrap().extend(members);
            data
        };
        let message = |kind: &str, changed: Value| json!({ "type": kind, "data": data(changed) });
        let long = "x".repeat(REFERENCE_BYTES_MAX + 1);
        for (body, expected) in [
            (json!({ "type": "customer.created", "data": {} }), "other"),
            (message("payment.succeeded", json!({})), "read"),
            (message("payment.failed", json!({ "more": [] })), "read"),
            (message("payment.refunded", json!({})), "read"),
            (message("payment.disputed", json!({})), "read"),
            (
                message("payment.succeeded", json!({ "order_id": "#1001" })),
                "read",
            ),
            (
                message("payment.succeeded", json!({ "amount": "5.00" })),
                "unreadable",
            ),
            (
                message("payment.succeeded", json!({ "currency": "euro" })),
                "unreadable",
            ),
            (
                message("payment.succeeded", json!({ "reference": "" })),
                "unreadable",
            ),
            (
                message("payment.succeeded", json!({ "reference": long })),
                "unreadable",
            ),
            (
                message("payment.succeeded", json!({ "order_id": null })),
                "unreadable",
            ),
            (json!({ "type": "payment.succeeded" }), "unreadable"),
            (json!({ "data": {} }), "unreadable"),
            (json!([]), "unreadable"),
        ] {
            let read = read_signed("m".into(), body.to_string().as_bytes());
            let got = match read {
                None => "other",
                Some(SignedMessage { message: None, .. }) => "unreadable",
                Some(_) => "read",
            };
            assert_eq!(got, expected, "{body}");
        }
        let cut = read_signed("m".into(), b"{").unwrap();
        assert!(cut.message.is_none() && cut.kind.is_none());
        let named = message("payment.succeeded", json!({ "order_id": "#1001" }));
        let named = read_signed("m".into(), named.to_string().as_bytes()).unwrap();
        assert_eq!(named.named.as_deref(), Some("#1001"));
    }
}
