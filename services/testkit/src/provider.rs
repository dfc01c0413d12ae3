//! Payment providers that are played: a server that speaks as much of the APIs of Stripe and
//! Mollie as the shop uses, keeps the payments, and goes wrong on request.
//!
//! localstripe 1.15, which plays Stripe with other things, has neither Checkout Sessions nor
//! disputes; its refunds and signatures are as they are here.
//!
//! Buyers, the provider's console and its bank are played by methods. **Invariant:** the same
//! `Idempotency-Key` is answered by the same object, also where the answer was forgotten.

mod api;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use serde_json::json;
use sha2::Sha256;

/// The secret that the played Stripe signs its webhooks with.
pub const STRIPE_WEBHOOK_SECRET: &str = "whsec_of_the_played_stripe";

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayedKind {
    /// Checkout Sessions.
    Stripe,
    /// Payments.
    Mollie,
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct PlayedSwitches {
    /// How long each answer takes.
    pub delay: Duration,
    /// So many requests from now on are answered 500, and nothing is done.
    pub fail_next: u32,
    /// So many writing requests from now on are done, and answered 500.
    pub forget_next: u32,
    /// Refunds are refused.
    pub refuse_refunds: bool,
    /// Refunds stay pending until [`PlayedProvider::finish_refunds`].
    pub hold_refunds: bool,
}

/// A payment at the played provider.
#[derive(Debug, Clone)]
pub struct PlayedPayment {
    /// `cs_…` or `tr_…`.
    pub id: String,
    /// Minor units of euros.
    pub amount: i64,
    /// `open`, `processing` (Stripe), `paid`, `failed`, `expired`, or `canceled` (Mollie).
    pub status: &'static str,
    /// What the shop wrote on it.
    pub metadata: BTreeMap<String, String>,
    /// Where hints go, if the shop said so.
    pub webhook: Option<String>,
    /// Its refunds.
    pub refunds: Vec<PlayedRefund>,
    /// Ids and amounts of its disputes.
    pub disputes: Vec<(String, i64)>,
}

/// A refund at the played provider.
#[derive(Debug, Clone)]
pub struct PlayedRefund {
    /// `re_…`
    pub id: String,
    /// Minor units of euros.
    pub amount: i64,
    /// `pending`, `done` or `failed`.
    pub status: &'static str,
    /// What the shop wrote on it; empty for one made at the provider.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Played {
    switches: PlayedSwitches,
    payments: Vec<PlayedPayment>,
    /// The objects by the keys under which they were made.
    keys: BTreeMap<String, String>,
    requests: u32,
    objects: u32,
}

impl Played {
    fn object(&mut self, prefix: &str) -> String {
        self.objects += 1;
        format!("{prefix}_{}", self.objects)
    }

    /// By the id of a session or a payment, or of its payment intent.
    fn payment(&mut self, id: &str) -> Option<&mut PlayedPayment> {
        let session = id.replace("pi_", "cs_");
        self.payments
            .iter_mut()
            .find(|payment| payment.id == session)
    }
}

/// A played provider; it ends with the runtime of the test.
#[derive(Clone)]
pub struct PlayedProvider {
    /// Whose API it speaks.
    pub kind: PlayedKind,
    /// Where it listens.
    pub address: SocketAddr,
    played: Arc<Mutex<Played>>,
}

impl PlayedProvider {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(kind: PlayedKind) -> Self {
        let played = Arc::new(Mutex::new(Played::default()));
        let address = api::serve(kind, played.clone()).await;
        Self { kind, address, played }
    }

    /// The URL of its API.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what goes wrong.
    pub fn switch(&self, change: impl FnOnce(&mut PlayedSwitches)) {
        change(&mut self.played.lock().switches);
    }

    /// Its payments, the oldest first.
    pub fn payments(&self) -> Vec<PlayedPayment> {
        self.played.lock().payments.clone()
    }

    /// The number of requests so far.
    pub fn requests(&self) -> u32 {
        self.played.lock().requests
    }

    /// Changes a payment, as a buyer, a bank or the provider's console does.
    ///
    /// # Panics
    /// When there is no such payment.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut PlayedPayment)) {
        let mut played = self.played.lock();
        change(played.payment(id).expect("there is such a payment"));
    }

    /// Refunds a payment in the provider's console.
    pub fn refund_there(&self, id: &str, amount: i64) {
        let refund = self.played.lock().object("re");
        let metadata = BTreeMap::new();
        let refund = PlayedRefund { id: refund, amount, status: "done", metadata };
        self.change(id, |payment| payment.refunds.push(refund));
    }

    /// The buyer disputes a payment.
    pub fn dispute(&self, id: &str, amount: i64) {
        let dispute = self.played.lock().object("dp");
        self.change(id, |payment| payment.disputes.push((dispute, amount)));
    }

    /// The bank executes the pending refunds, or sends them back.
    pub fn finish_refunds(&self, status: &'static str) {
        self.move_refunds("pending", status);
    }

    /// The money of all refunds comes back, as from an account that was closed.
    pub fn return_refunds(&self) {
        self.move_refunds("done", "failed");
    }

    fn move_refunds(&self, from: &'static str, to: &'static str) {
        let mut played = self.played.lock();
        let refunds = played
            .payments
            .iter_mut()
            .flat_map(|payment| &mut payment.refunds);
        for refund in refunds.filter(|refund| refund.status == from) {
            refund.status = to;
        }
    }

    /// The webhook's request about a payment: its path, the header that signs it, and the body.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn hint(&self, id: &str, second: i64) -> (String, Option<(&'static str, String)>, String) {
        match self.kind {
            PlayedKind::Mollie => {
                let body = format!("id={id}");
                ("/v1/payments/mollie/webhook".into(), None, body)
            }
            PlayedKind::Stripe => {
                let object = json!({ "id": id, "object": "checkout.session" });
                let body =
                    json!({ "id": "evt_1", "object": "event", "data": { "object": object } });
                let body = body.to_string();
                let mac = Hmac::<Sha256>::new_from_slice(STRIPE_WEBHOOK_SECRET.as_bytes());
                let mac = mac
                    .expect("any key")
                    .chain_update(format!("{second}.{body}"));
                let mac = HEXLOWER.encode(&mac.finalize().into_bytes());
                let signature = ("stripe-signature", format!("t={second},v1={mac}"));
                ("/v1/payments/stripe/webhook".into(), Some(signature), body)
            }
        }
    }
}
