//! Requests between services, for data that must not be in a log: a person's address, a
//! one-time code.
//!
//! An answer may be stale a moment later. Without an answer the asking service retries, the
//! mesh does not. Questions in flight are bounded by the subscription's queue and by
//! [`ANSWERS_AT_ONCE_MAX`].

mod order;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Mesh, TransportError};
use model::{CodePurpose, Id, Time, kinds};

pub use self::order::{
    GuestDetails, OrderChange, OrderChargesDetails, OrderDetails, OrderLineDetails, OrderOf,
};

/// The most answers in preparation at one time, for each kind of question of a service.
const ANSWERS_AT_ONCE_MAX: usize = 16;

/// A kind of question.
pub trait Ask: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The service that answers.
    const OF: &'static str;
    /// The question's name.
    const WHAT: &'static str;
    /// The answer's type.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Asks users for a person's contact; `None` for an unknown, disabled or erased account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContactOf {
    /// The account.
    pub user_id: Id<kinds::User>,
}

/// A person's contact. Personal data: never in an event, never in a log line, dropped on
/// `user.erased`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The e-mail address.
    pub email: String,
    /// Whether the address was verified by a code.
    pub email_verified: bool,
    /// The name for the salutation.
    pub name: String,
    /// Their language as a BCP 47 tag, if known.
    #[serde(default)]
    pub language: Option<String>,
}

impl Ask for ContactOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "contact";
    type Answer = Option<Contact>;
}

/// The most people in an answer to a [`PeopleQuery`].
pub const PEOPLE_MAX: usize = 200;

/// Asks users for people as the shop's staff see them: customers, and those who ordered.
/// Disabled accounts are among them, erased ones are not. `None` when that cannot be answered
/// now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PeopleQuery {
    /// The people with these accounts, at most [`PEOPLE_MAX`]; unknown ones are left out.
    Of(Vec<Id<kinds::User>>),
    /// The people whose address or name has a part that begins with each word of the text; at
    /// most [`PEOPLE_MAX`] of them.
    Matching(String),
    /// The people who registered before this one, or of all, the newest first.
    RegisteredBefore {
        /// The last one of the page before.
        before: Option<Id<kinds::User>>,
        /// The number of people, at most [`PEOPLE_MAX`].
        limit: usize,
    },
}

/// A person with an account. Personal data: never stored outside of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountContact {
    /// The account.
    pub user_id: Id<kinds::User>,
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: String,
    /// When the account was made.
    pub registered_at: Time,
}

impl Ask for PeopleQuery {
    const OF: &'static str = "users";
    const WHAT: &'static str = "people";
    type Answer = Option<Vec<AccountContact>>;
}

/// Asks users for the one-time code that was requested for a purpose; `None` when there is
/// no valid one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeOf {
    /// The account.
    pub user_id: Id<kinds::User>,
    /// The purpose.
    pub purpose: CodePurpose,
}

/// A one-time code, to be sent to its owner. A secret: never stored, and logged only by a
/// demo shop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeCode {
    /// The code.
    pub code: String,
    /// The recipient.
    pub contact: Contact,
}

impl Ask for CodeOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "code";
    type Answer = Option<OneTimeCode>;
}

/// Asks users for the mail that undoes a change of address; `None` when the change can no
/// longer be undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmailUndoOf {
    /// The account.
    pub user_id: Id<kinds::User>,
    /// The change.
    pub change_id: Id<kinds::EmailChange>,
}

/// The token that undoes a change of address. A secret: never stored or logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailUndo {
    /// The token.
    pub token: String,
    /// The recipient, at the address from before the change.
    pub contact: Contact,
}

impl Ask for EmailUndoOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "email-undo";
    type Answer = Option<EmailUndo>;
}

/// Asks orders for a whole order; `None` when orders cannot say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderBodyOf {
    /// The order.
    pub order_id: Id<kinds::Order>,
}

/// An order as the API shows it. Personal data: never stored or logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBody {
    /// Its JSON; `None` for an unknown order.
    pub json: Option<String>,
}

impl Ask for OrderBodyOf {
    const OF: &'static str = "orders";
    const WHAT: &'static str = "body";
    type Answer = Option<OrderBody>;
}

/// Asks users to exchange an API key for an access token; `None` when users cannot say.
#[derive(Serialize, Deserialize)]
pub struct TokenOf {
    /// The API key. A secret: never stored or logged.
    pub key: String,
    /// The client's address, by which failed keys are counted.
    pub address: IpAddr,
}

/// The result of an exchange.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAnswer {
    /// The key is valid.
    Issued {
        /// The access token, a secret.
        token: String,
        /// When it expires.
        until: Time,
    },
    /// The key is unknown, revoked or expired, or allows nothing any more.
    Refused,
    /// It is not valid either, and too many were not from that address.
    Throttled {
        /// The time until the next one is looked at.
        wait: Duration,
    },
}

impl Ask for TokenOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "token";
    type Answer = Option<TokenAnswer>;
}

impl Mesh {
    /// Sends a question; `None` without a decodable answer within `timeout`.
    pub async fn ask<Q: Ask>(&self, question: &Q, timeout: Duration) -> Option<Q::Answer> {
        let body = rmp_serde::to_vec_named(question).ok()?;
        let topic = self.topic("ask", &format!("{}/{}", Q::OF, Q::WHAT));
        let answer = self.transport().ask(&topic, body, timeout).await?;
        rmp_serde::from_slice(&answer).ok()
    }

    /// Answers every question of this kind until `stop`. An undecodable question gets no
    /// answer.
    ///
    /// # Errors
    /// When the transport refuses.
    pub async fn answer<Q: Ask>(
        &self,
        tasks: &TaskTracker,
        stop: CancellationToken,
        answer: impl Fn(Q) -> BoxFuture<'static, Q::Answer> + Send + Sync + 'static,
    ) -> Result<(), TransportError> {
        let topic = self.topic("ask", &format!("{}/{}", Q::OF, Q::WHAT));
        let questions = self.transport().serve(&topic).await?;
        let permits = Arc::new(Semaphore::new(ANSWERS_AT_ONCE_MAX));
        let each = tasks.clone();
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            // Moved as a whole: without its guard the subscription would end.
            let questions = questions;
            while let Ok(asked) = questions.messages.recv_async().await {
                let Ok(question) = rmp_serde::from_slice::<Q>(&asked.body) else {
                    continue;
                };
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                let answering = answer(question);
                each.spawn(async move {
                    if let Ok(body) = rmp_serde::to_vec_named(&answering.await) {
                        (asked.reply)(body).await;
                    }
                    drop(permit);
                });
            }
        }));
        Ok(())
    }
}
