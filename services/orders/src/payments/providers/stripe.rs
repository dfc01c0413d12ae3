//! Stripe: Checkout Sessions, by form bodies.
//!
//! A payment is opened as a session (`cs_…`), at which the buyer pays; refunds and disputes are
//! of its payment intent (`pi_…`). A session may be complete before its money has come, as with
//! bank debits: its payment intent then says whether it comes.

use axum::http::{HeaderMap, HeaderValue, Method};
use data_encoding::HEXLOWER;
use form_urlencoded::Serializer;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use model::{Money, Time};
use serde_json::Value;
use sha2::Sha256;

use super::client::{ProviderCall, ProviderClient, text};
use super::stripe_units::{of_units, to_units};
use super::{
    BegunPayment, CallFault, FetchedDispute, FetchedPayment, FetchedRefund, HintFault,
    PaymentProvider, PaymentToBegin, RefundToMake, TOLERANCE_SECONDS,
};
use crate::config::StripeKeys;
use crate::domain::{PaymentMethod, REFERENCE_BYTES_MAX};
use crate::payments::refunds::RefundStatus;
use crate::payments::tables::AttemptStatus;

/// The version of the API whose shapes are read here, whatever that of the account is.
const VERSION: &str = "2024-06-20";

pub(super) struct Stripe {
    client: ProviderClient,
    webhook_secrets: Vec<String>,
}

impl Stripe {
    pub(super) fn new(keys: StripeKeys, api_url: &str) -> Result<Self, chassis::Error> {
        let StripeKeys { key, webhook_secrets } = keys;
        let headers = vec![("stripe-version", HeaderValue::from_static(VERSION))];
        let client = ProviderClient::new(&key, api_url, headers)?;
        Ok(Self { client, webhook_secrets })
    }

    async fn post(
        &self,
        path: &str,
        key: String,
        fields: &[(&str, &str)],
    ) -> Result<Value, CallFault> {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let call = ProviderCall {
            method: Method::POST,
            path,
            idempotency_key: Some(key),
            content_type: "application/x-www-form-urlencoded",
            body,
        };
        let answer = self.client.send(call).await?;
        answer.ok_or_else(|| CallFault::Refused("404: Stripe does not know it".into()))
    }

    async fn get(&self, path: &str) -> Result<Option<Value>, CallFault> {
        self.client.send(ProviderCall::get(path)).await
    }

    /// The session of an id: its own, or that of its payment intent.
    async fn session(&self, id: &str) -> Result<Option<Value>, CallFault> {
        if id.starts_with("cs_") {
            let path = format!("/v1/checkout/sessions/{id}?expand[]=payment_intent");
            return self.get(&path).await;
        }
        let path = format!(
            "/v1/checkout/sessions?payment_intent={id}&limit=1&expand[]=data.payment_intent"
        );
        let found = self.get(&path).await?;
        Ok(found.and_then(|mut found| {
            let session = found["data"].get_mut(0);
            session.map(Value::take)
        }))
    }

    /// The objects of a payment intent, of which there is one page.
    async fn of_intent(&self, objects: &str, intent: &str) -> Result<Vec<Value>, CallFault> {
        let path = format!("/v1/{objects}?payment_intent={intent}&limit=100");
        let found = self.get(&path).await?.unwrap_or_default();
        Ok(found["data"].as_array().cloned().unwrap_or_default())
    }
}

impl PaymentProvider for Stripe {
    fn method(&self) -> PaymentMethod {
        PaymentMethod::Stripe
    }

    fn require_payable(&self, amount: Money) -> Result<(), String> {
        to_units(amount).map(drop)
    }

    fn begin<'a>(
        &'a self,
        payment: &'a PaymentToBegin,
    ) -> BoxFuture<'a, Result<BegunPayment, CallFault>> {
        Box::pin(async move {
            let units = to_units(payment.amount).map_err(CallFault::Refused)?;
            let (units, currency) = (units.to_string(), payment.amount.currency.to_string());
            let currency = currency.to_ascii_lowercase();
            let (order_id, payment_id) =
                (payment.order_id.to_string(), payment.payment_id.to_string());
            let fields = [
                ("mode", "payment"),
                ("success_url", &payment.return_url),
                ("cancel_url", &payment.return_url),
                ("client_reference_id", &order_id),
                ("metadata[order_id]", &order_id),
                ("metadata[payment_id]", &payment_id),
                ("payment_intent_data[metadata][order_id]", &order_id),
                ("line_items[0][quantity]", "1"),
                ("line_items[0][price_data][currency]", &currency),
                ("line_items[0][price_data][unit_amount]", &units),
                (
                    "line_items[0][price_data][product_data][name]",
                    &payment.order_name,
                ),
            ];
            let path = "/v1/checkout/sessions";
            let session = self.post(path, payment_id.clone(), &fields).await?;
            let redirect_url = session["url"].as_str().map(str::to_owned);
            Ok(BegunPayment { id: text(&session, "id")?, redirect_url })
        })
    }

    fn fetch<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<FetchedPayment>, CallFault>> {
        Box::pin(async move {
            let Some(session) = self.session(id).await? else {
                return Ok(None);
            };
            // One that collects no money, such as a card for later.
            if session["amount_total"].is_null() {
                return Ok(None);
            }
            let mut payment = payment(&session)?;
            if payment.reference.starts_with("pi_") && payment.status == AttemptStatus::Succeeded {
                for found in self.of_intent("refunds", &payment.reference).await? {
                    payment.refunds.push(refund(&found)?);
                }
                for found in self.of_intent("disputes", &payment.reference).await? {
                    let (id, amount) = (text(&found, "id")?, amount(&found, "amount")?);
                    payment.disputes.push(FetchedDispute { id, amount });
                }
            }
            Ok(Some(payment))
        })
    }

    fn refund<'a>(
        &'a self,
        made: &'a RefundToMake,
    ) -> BoxFuture<'a, Result<FetchedRefund, CallFault>> {
        Box::pin(async move {
            let units = to_units(made.amount)
                .map_err(CallFault::Refused)?
                .to_string();
            let (order_id, refund_id) = (made.order_id.to_string(), made.refund_id.to_string());
            let fields = [
                ("payment_intent", made.payment.as_str()),
                ("amount", &units),
                ("metadata[order_id]", &order_id),
                ("metadata[refund_id]", &refund_id),
            ];
            refund(&self.post("/v1/refunds", refund_id.clone(), &fields).await?)
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CallFault>> {
        Box::pin(async move {
            let path = format!("/v1/checkout/sessions/{id}/expire");
            self.post(&path, format!("expire {id}"), &[])
                .await
                .map(drop)
        })
    }

    fn read_hint(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Time,
    ) -> Result<Option<String>, HintFault> {
        let header = headers.get("stripe-signature");
        let header = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        verify(&self.webhook_secrets, header, body, now)?;
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        let object = &event["data"]["object"];
        let id = match object["object"].as_str() {
            Some("checkout.session" | "payment_intent") => &object["id"],
            Some("charge" | "refund" | "dispute") => &object["payment_intent"],
            _ => return Ok(None),
        };
        let is_id = |id: &&str| {
            let is_prefixed = id.starts_with("cs_") || id.starts_with("pi_");
            let mut signs = id.bytes();
            is_prefixed
                && id.len() <= REFERENCE_BYTES_MAX
                && signs.all(|sign| sign.is_ascii_alphanumeric() || sign == b'_')
        };
        Ok(id.as_str().filter(is_id).map(str::to_owned))
    }
}

/// Verifies `Stripe-Signature`: `t=SECONDS,v1=HEX` with any number of signatures, each an
/// HMAC-SHA256 over the time, a dot and the body, under any of the secrets.
fn verify(secrets: &[String], header: &str, body: &[u8], now: Time) -> Result<(), HintFault> {
    if secrets.is_empty() {
        return Err(HintFault::NotConfigured);
    }
    let parts = || {
        header
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
    };
    let seconds = parts().find(|(name, _)| *name == "t");
    let (_, seconds) = seconds.ok_or(HintFault::Timestamp)?;
    let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
    let signed_at: i64 = Some(seconds)
        .filter(|_| is_number)
        .and_then(|text| text.parse().ok())
        .ok_or(HintFault::Timestamp)?;
    let signatures: Vec<_> = parts()
        .filter(|(name, _)| *name == "v1")
        .filter_map(|(_, hex)| HEXLOWER.decode(hex.as_bytes()).ok())
        .collect();
    let is_signed = secrets.iter().any(|secret| {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
        let mac = mac.expect("HMAC takes keys of any length");
        let mac = mac
            .chain_update(seconds)
            .chain_update(".")
            .chain_update(body);
        // Compared in constant time.
        signatures
            .iter()
            .any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if !is_signed {
        return Err(HintFault::Signature);
    }
    let behind = (now.0.div_euclid(1000)).saturating_sub(signed_at);
    match behind.saturating_abs() <= TOLERANCE_SECONDS {
        true => Ok(()),
        false => Err(HintFault::Clock(behind)),
    }
}

/// A session, with its payment intent expanded or not.
fn payment(session: &Value) -> Result<FetchedPayment, CallFault> {
    let id = text(session, "id")?;
    let intent = &session["payment_intent"];
    let intent_id = intent.as_str().or(intent["id"].as_str());
    let metadata = |name: &str| session["metadata"][name].as_str();
    let order_id = metadata("order_id").or(session["client_reference_id"].as_str());
    Ok(FetchedPayment {
        reference: intent_id.unwrap_or(&id).to_owned(),
        status: status(session),
        amount: amount(session, "amount_total")?,
        order_id: order_id.map(str::to_owned),
        payment_id: metadata("payment_id").and_then(|id| id.parse().ok()),
        refunds: Vec::new(),
        disputes: Vec::new(),
        id,
    })
}

fn status(session: &Value) -> AttemptStatus {
    let is_complete = session["status"] == "complete";
    match session["payment_status"].as_str() {
        Some("paid" | "no_payment_required") => AttemptStatus::Succeeded,
        _ if session["status"] == "expired" => AttemptStatus::Expired,
        // The buyer is done, and the money comes later, or does not come.
        _ if is_complete => match session["payment_intent"]["status"].as_str() {
            Some("requires_payment_method") => AttemptStatus::Failed,
            Some("canceled") => AttemptStatus::Cancelled,
            _ => AttemptStatus::Pending,
        },
        _ => AttemptStatus::Pending,
    }
}

fn refund(found: &Value) -> Result<FetchedRefund, CallFault> {
    let refund_id = found["metadata"]["refund_id"].as_str();
    Ok(FetchedRefund {
        id: text(found, "id")?,
        refund_id: refund_id.and_then(|id| id.parse().ok()),
        status: match found["status"].as_str() {
            // Of earlier versions of the API: done at once.
            Some("succeeded") | None => RefundStatus::Succeeded,
            Some("failed" | "canceled") => RefundStatus::Failed,
            Some(_) => RefundStatus::Pending,
        },
        amount: amount(found, "amount")?,
    })
}

fn amount(found: &Value, member: &str) -> Result<Money, CallFault> {
    let units = found[member].as_i64();
    let currency = found["currency"].as_str().unwrap_or_default();
    let amount = units.and_then(|units| of_units(units, currency));
    let missing = || {
        CallFault::Later(format!(
            "the response has no `{member}` in a known currency"
        ))
    };
    amount.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// Of the body below, at second 1,700,000,000, made by `openssl dgst -sha256 -hmac`.
    const SIGNED: &str = "f16c81ee9a82b4a4d804d7e2106e7f98607402da7a3fe10957302910147f7bd9";
    const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"checkout.session.completed","data":{"object":{"id":"cs_test_1","object":"checkout.session"}}}"#;

    fn stripe(secrets: &[&str]) -> Stripe {
        let webhook_secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let keys = StripeKeys { key: "sk_test_1".into(), webhook_secrets };
        Stripe::new(keys, "https://api.stripe.com").unwrap()
    }

    fn hint(header: &str, secrets: &[&str], second: i64) -> Result<Option<String>, HintFault> {
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", header.parse().unwrap());
        stripe(secrets).read_hint(&headers, BODY, Time(second * 1000))
    }

    const SECOND: i64 = 1_700_000_000;

    #[test]
    fn signatures_of_the_secrets_are_accepted() {
        let good = format!("v1={SIGNED}");
        let other = format!("v1={}", "0".repeat(64));
        let timed = format!("t={SECOND},{good}");
        let several = format!("t={SECOND},{other},{good},v0=x");
        let turned = format!("{good}, t={SECOND}");
        for (header, secrets, late) in [
            (&timed, &[SECRET][..], 0),
            (&timed, &["whsec_old", SECRET], 0),
            (&several, &[SECRET], 0),
            (&turned, &[SECRET], 300),
            (&timed, &[SECRET], -300),
        ] {
            let id = hint(header, secrets, SECOND + late).unwrap();
            assert_eq!(id.as_deref(), Some("cs_test_1"), "{header}");
        }
    }

    #[test]
    fn no_other_signature_is_accepted() {
        use HintFault::{Clock, NotConfigured, Signature, Timestamp};
        let good = format!("v1={SIGNED}");
        let other = format!("v1={}", "0".repeat(64));
        let timed = format!("t={SECOND},{good}");
        for (header, secrets, late, fault) in [
            (timed.clone(), &[SECRET][..], 301, Clock(301)),
            (timed.clone(), &[SECRET], -301, Clock(-301)),
            (timed.clone(), &["whsec_old"], 0, Signature),
            (format!("t={},{good}", SECOND + 1), &[SECRET], 0, Signature),
            (format!("t={SECOND},{other}"), &[SECRET], 0, Signature),
            (format!("t={SECOND},v1=xyz"), &[SECRET], 0, Signature),
            (format!("t=soon,{good}"), &[SECRET], 0, Timestamp),
            (good, &[SECRET], 0, Timestamp),
            (timed, &[], 0, NotConfigured),
        ] {
            let refused = hint(&header, secrets, SECOND + late);
            assert_eq!(refused, Err(fault), "{header}");
        }
    }

    #[test]
    fn a_session_says_what_became_of_it() {
        use AttemptStatus::{Cancelled, Expired, Failed, Pending, Succeeded};
        for (session, payment, intent, expected) in [
            ("open", "unpaid", "requires_payment_method", Pending),
            ("complete", "paid", "succeeded", Succeeded),
            ("complete", "unpaid", "processing", Pending),
            ("complete", "unpaid", "requires_payment_method", Failed),
            ("complete", "unpaid", "canceled", Cancelled),
            ("expired", "unpaid", "canceled", Expired),
        ] {
            let session = serde_json::json!({
                "status": session,
                "payment_status": payment,
                "payment_intent": { "id": "pi_1", "status": intent },
            });
            assert_eq!(status(&session), expected, "{session}");
        }
    }
}
