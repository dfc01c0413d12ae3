//! Mollie: Payments, by JSON bodies. Amounts are decimal texts.
//!
//! Its webhook is not signed and names a payment's id alone, so every program can send it, and it says
//! nothing but that the payment is to be fetched.

use axum::http::{HeaderMap, Method};
use futures::future::BoxFuture;
use model::{Currency, Money, Time};
use serde_json::{Value, json};

use super::client::{ProviderCall, ProviderClient, text};
use super::{
    BegunPayment, CallFault, FetchedDispute, FetchedPayment, FetchedRefund, HintFault,
    PaymentProvider, PaymentToBegin, RefundToMake,
};
use crate::domain::PaymentMethod;
use crate::payments::refunds::RefundStatus;
use crate::payments::tables::AttemptStatus;

/// Bytes of an id, several times those of any.
const ID_BYTES_MAX: usize = 64;

pub(super) struct Mollie {
    client: ProviderClient,
    /// Where it sends hints; `None` while the shop's address on the web is not known.
    webhook: Option<String>,
}

impl Mollie {
    pub(super) fn new(
        key: &str,
        api_url: &str,
        webhook: Option<String>,
    ) -> Result<Self, chassis::Error> {
        let client = ProviderClient::new(key, api_url, Vec::new())?;
        Ok(Self { client, webhook })
    }

    async fn post(&self, path: &str, key: String, body: &Value) -> Result<Value, CallFault> {
        let call = ProviderCall {
            method: Method::POST,
            path,
            idempotency_key: Some(key),
            content_type: "application/json",
            body: body.to_string(),
        };
        let answer = self.client.send(call).await?;
        answer.ok_or_else(|| CallFault::Refused("404: Mollie does not know it".into()))
    }
}

impl PaymentProvider for Mollie {
    fn method(&self) -> PaymentMethod {
        PaymentMethod::Mollie
    }

    fn require_payable(&self, _: Money) -> Result<(), String> {
        Ok(())
    }

    fn begin<'a>(
        &'a self,
        payment: &'a PaymentToBegin,
    ) -> BoxFuture<'a, Result<BegunPayment, CallFault>> {
        Box::pin(async move {
            let payment_id = payment.payment_id.to_string();
            let mut body = json!({
                "amount": decimal(payment.amount),
                "description": payment.order_name,
                "redirectUrl": payment.return_url,
                "metadata": { "order_id": payment.order_id, "payment_id": payment_id },
            });
            if let Some(webhook) = &self.webhook {
                body["webhookUrl"] = json!(webhook);
            }
            let begun = self.post("/v2/payments", payment_id, &body).await?;
            let checkout = begun["_links"]["checkout"]["href"].as_str();
            let redirect_url = checkout.map(str::to_owned);
            Ok(BegunPayment { id: text(&begun, "id")?, redirect_url })
        })
    }

    fn fetch<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<FetchedPayment>, CallFault>> {
        Box::pin(async move {
            let path = format!("/v2/payments/{id}?embed=refunds,chargebacks");
            let found = self.client.send(ProviderCall::get(&path)).await?;
            found.as_ref().map(payment).transpose()
        })
    }

    fn refund<'a>(
        &'a self,
        made: &'a RefundToMake,
    ) -> BoxFuture<'a, Result<FetchedRefund, CallFault>> {
        Box::pin(async move {
            let RefundToMake { order_id, refund_id, payment, amount } = made;
            let path = format!("/v2/payments/{payment}/refunds");
            let body = json!({
                "amount": decimal(*amount),
                "metadata": { "order_id": order_id, "refund_id": refund_id },
            });
            refund(&self.post(&path, refund_id.to_string(), &body).await?)
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CallFault>> {
        Box::pin(async move {
            let path = format!("/v2/payments/{id}");
            let found = self.client.send(ProviderCall::get(&path)).await?;
            if !found.is_some_and(|payment| payment["isCancelable"] == true) {
                let why = "the payment cannot be cancelled (any more)";
                return Err(CallFault::Refused(why.into()));
            }
            let call = ProviderCall { method: Method::DELETE, ..ProviderCall::get(&path) };
            self.client.send(call).await.map(drop)
        })
    }

    fn read_hint(&self, _: &HeaderMap, body: &[u8], _: Time) -> Result<Option<String>, HintFault> {
        let mut fields = form_urlencoded::parse(body);
        let id = fields.find(|(name, _)| name == "id");
        let id = id.map(|(_, id)| id.into_owned());
        Ok(id.filter(|id| {
            let rest = id.strip_prefix("tr_").unwrap_or_default();
            let has_length = (1..=ID_BYTES_MAX).contains(&rest.len());
            let mut signs = rest.bytes();
            has_length && signs.all(|sign| sign.is_ascii_alphanumeric() || sign == b'_')
        }))
    }
}

fn decimal(amount: Money) -> Value {
    json!({ "currency": amount.currency, "value": amount.decimal() })
}

fn payment(found: &Value) -> Result<FetchedPayment, CallFault> {
    let id = text(found, "id")?;
    let metadata = |name: &str| found["metadata"][name].as_str();
    let embedded = |name: &str| {
        let objects = found["_embedded"][name].as_array();
        objects.map_or(&[][..], Vec::as_slice)
    };
    let dispute = |found: &Value| {
        let (id, amount) = (text(found, "id")?, amount(&found["amount"])?);
        Ok(FetchedDispute { id, amount })
    };
    Ok(FetchedPayment {
        reference: id.clone(),
        id,
        status: match found["status"].as_str() {
            Some("paid") => AttemptStatus::Succeeded,
            Some("failed") => AttemptStatus::Failed,
            Some("canceled") => AttemptStatus::Cancelled,
            Some("expired") => AttemptStatus::Expired,
            _ => AttemptStatus::Pending,
        },
        amount: amount(&found["amount"])?,
        order_id: metadata("order_id").map(str::to_owned),
        payment_id: metadata("payment_id").and_then(|id| id.parse().ok()),
        refunds: embedded("refunds")
            .iter()
            .map(refund)
            .collect::<Result<_, _>>()?,
        disputes: embedded("chargebacks")
            .iter()
            .map(dispute)
            .collect::<Result<_, _>>()?,
    })
}

fn refund(found: &Value) -> Result<FetchedRefund, CallFault> {
    let refund_id = found["metadata"]["refund_id"].as_str();
    Ok(FetchedRefund {
        id: text(found, "id")?,
        refund_id: refund_id.and_then(|id| id.parse().ok()),
        status: match found["status"].as_str() {
            Some("refunded") => RefundStatus::Succeeded,
            Some("failed" | "canceled") => RefundStatus::Failed,
            _ => RefundStatus::Pending,
        },
        amount: amount(&found["amount"])?,
    })
}

/// An amount, which a chargeback may give below zero.
fn amount(found: &Value) -> Result<Money, CallFault> {
    let currency: Option<Currency> = found["currency"].as_str().and_then(|it| it.parse().ok());
    let value = found["value"].as_str();
    let amount = currency.zip(value).and_then(|(currency, value)| {
        let value = value.trim_start_matches('-');
        Some(Money {
            amount: minor_units(value, currency.minor_digits())?,
            currency,
        })
    });
    amount.ok_or_else(|| CallFault::Later("the response has an amount in no known form".into()))
}

/// A decimal text in minor units; digits beyond those must be 0.
fn minor_units(value: &str, digits: u32) -> Option<i64> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = digits as usize;
    let (part, beyond) = part.split_at(part.len().min(digits));
    let is_number = !whole.is_empty() && beyond.bytes().all(|digit| digit == b'0');
    let text = format!("{whole}{part:0<digits$}");
    let is_number = is_number && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        for (currency, value, minor) in [
            ("EUR", "10.00", Some(1000)),
            ("EUR", "0.05", Some(5)),
            ("JPY", "1000", Some(1000)),
            ("KWD", "5.124", Some(5124)),
        ] {
            let currency: Currency = currency.parse().unwrap();
            let money = amount(&json!({ "currency": currency, "value": value })).ok();
            assert_eq!(money.map(|money| money.amount), minor, "{value}");
            assert_eq!(decimal(money.unwrap())["value"], value);
        }
        for (value, digits, minor) in [
            ("10", 2, Some(1000)),
            ("10.0", 2, Some(1000)),
            ("10.000", 2, Some(1000)),
            ("1000.00", 0, Some(1000)),
            ("10.001", 2, None),
            ("1e3", 2, None),
            ("", 2, None),
            (".5", 2, None),
            ("92233720368547758.08", 2, None),
        ] {
            assert_eq!(minor_units(value, digits), minor, "{value}");
        }
    }

    #[test]
    fn a_hint_is_the_id_of_a_payment() {
        let mollie = Mollie::new("test_1", "https://api.mollie.com", None).unwrap();
        for (body, expected) in [
            ("id=tr_d0b0E3EA3v", Some("tr_d0b0E3EA3v")),
            ("x=1&id=tr_1", Some("tr_1")),
            ("id=ord_1", None),
            ("id=tr_", None),
            ("id=tr_1%2F..", None),
            ("{}", None),
            ("", None),
        ] {
            let hint = mollie.read_hint(&HeaderMap::new(), body.as_bytes(), Time(0));
            assert_eq!(hint.unwrap().as_deref(), expected, "{body}");
        }
    }
}
