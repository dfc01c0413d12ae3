//! Request and response body of the payment webhook.

use chassis::FieldError;
use model::{Mismatch, Money};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{PaymentMessage, PaymentOutcome, PaymentResult, REFERENCE_BYTES_MAX};

/// `POST /v1/payments/webhook`: a message of the payment provider. It is read by serde and
/// not with `chassis::fields`, which refuses unknown members: a provider may add some.
#[derive(Debug, Deserialize)]
pub(crate) struct WebhookBody {
    r#type: String,
    data: Value,
}

#[derive(Debug, Deserialize)]
struct PaymentData {
    order_id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    reference: Option<String>,
}

impl WebhookBody {
    /// The message; `None` for a type that is not about a payment's result.
    pub(crate) fn read(self) -> Result<Option<PaymentMessage>, Vec<FieldError>> {
        let result = match self.r#type.as_str() {
            "payment.succeeded" => PaymentResult::Succeeded,
            "payment.failed" => PaymentResult::Failed,
            _ => return Ok(None),
        };
        let PaymentData { order_id, amount, currency, reference } =
            serde_json::from_value(self.data)
                .map_err(|error| vec![FieldError::new("/data", error.to_string())])?;
        let currency = currency.and_then(|code| code.parse().ok());
        let has_length = |text: &String| (1..=REFERENCE_BYTES_MAX).contains(&text.len());
        let reference = reference.filter(has_length);
        let required = [
            (order_id.is_some(), "/data/order_id", "is required"),
            (
                amount.is_some(),
                "/data/amount",
                "is required, in minor units",
            ),
            (
                currency.is_some(),
                "/data/currency",
                "is required, an ISO 4217 code",
            ),
            (
                reference.is_some(),
                "/data/reference",
                "is required, 1..255 bytes",
            ),
        ];
        let faults = required.into_iter().filter(|(is_given, ..)| !is_given);
        let faults: Vec<_> = faults
            .map(|(_, pointer, detail)| FieldError::new(pointer, detail))
            .collect();
        match (amount, currency, reference) {
            (Some(amount), Some(currency), Some(reference)) if faults.is_empty() => {
                Ok(Some(PaymentMessage {
                    result,
                    order_id: order_id.and_then(|id| id.parse().ok()),
                    amount: Money { amount, currency },
                    reference,
                }))
            }
            _ => Err(faults),
        }
    }
}

/// The response to a message of the payment provider.
#[derive(Debug, Serialize)]
pub(crate) struct WebhookResponse {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Mismatch>,
}

impl WebhookResponse {
    /// For a message that is not about a payment's result.
    pub(crate) const IGNORED: Self = Self { outcome: "ignored", reason: None };

    pub(crate) fn new(outcome: PaymentOutcome) -> Self {
        let (outcome, reason) = match outcome {
            PaymentOutcome::Paid => ("paid", None),
            PaymentOutcome::Awaiting => ("awaiting", None),
            PaymentOutcome::Repeated => ("repeated", None),
            PaymentOutcome::Failed => ("failed", None),
            PaymentOutcome::Unmatched(reason) => ("unmatched", Some(reason)),
        };
        Self { outcome, reason }
    }
}
