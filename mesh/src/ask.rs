//! Questions one service answers another, for what must not be in any log: a
//! person's address, a one-time code.
//!
//! An answer is as good as the moment it was given in; whoever keeps it keeps it
//! in a table it can delete from. No answer means "not now": the asker tries
//! again, the mesh does not. Questions in flight are bounded, by the
//! subscription's queue and by [`ANSWERS_AT_ONCE_MAX`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Mesh, TransportError};
use model::{CodePurpose, Id, kinds};

/// Answers being made at one time, a service and kind of question.
const ANSWERS_AT_ONCE_MAX: usize = 16;

/// A kind of question: who answers it, by what name, and with what.
pub trait Ask: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The service that answers.
    const OF: &'static str;
    /// The question's name.
    const WHAT: &'static str;
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// How to reach a person. Answered by users; `None` for nobody, or somebody who is
/// disabled or erased.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContactOf {
    /// Who.
    pub user_id: Id<kinds::User>,
}

/// Where a person is reached. Personal data: never in an event, never in a log
/// line, dropped on `user.erased`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Their address.
    pub email: String,
    /// Whether they showed that it is theirs.
    pub email_verified: bool,
    /// What to call them.
    pub name: String,
    /// What they read, as a BCP 47 tag, where they said so.
    #[serde(default)]
    pub language: Option<String>,
}

impl Ask for ContactOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "contact";
    type Answer = Option<Contact>;
}

/// The one-time code that was requested for a purpose. Answered by users; `None`
/// when there is none that could still be used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeOf {
    /// For whose account.
    pub user_id: Id<kinds::User>,
    /// What it allows.
    pub purpose: CodePurpose,
}

/// A one-time code on its way to its owner. A secret: never kept, never logged but
/// where a demo shop says so.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeCode {
    /// What they are to type.
    pub code: String,
    /// Where it is to be sent.
    pub contact: Contact,
}

impl Ask for CodeOf {
    const OF: &'static str = "users";
    const WHAT: &'static str = "code";
    type Answer = Option<OneTimeCode>;
}

impl Mesh {
    /// Asks; `None` when there was no answer within `timeout`, or none that this
    /// program understands.
    pub async fn ask<Q: Ask>(&self, question: &Q, timeout: Duration) -> Option<Q::Answer> {
        let body = rmp_serde::to_vec_named(question).ok()?;
        let topic = self.topic("ask", &format!("{}/{}", Q::OF, Q::WHAT));
        let answer = self.transport().ask(&topic, body, timeout).await?;
        rmp_serde::from_slice(&answer).ok()
    }

    /// Answers every question of this kind until `stop`. A question that cannot be
    /// read gets no answer.
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
        let room = Arc::new(Semaphore::new(ANSWERS_AT_ONCE_MAX));
        let each = tasks.clone();
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            // Taken whole: the block would else leave the guard behind, and with it
            // nobody would ask here any more.
            let questions = questions;
            while let Ok(asked) = questions.messages.recv_async().await {
                let Ok(question) = rmp_serde::from_slice::<Q>(&asked.body) else {
                    continue;
                };
                let Ok(permit) = room.clone().acquire_owned().await else {
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
