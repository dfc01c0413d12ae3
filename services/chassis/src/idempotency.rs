//! Requests that may be sent twice: one outcome under one `Idempotency-Key`.
//!
//! A key belongs to one user and one path, and is bound to one request by a
//! fingerprint of its body. The first outcome that is decided under it, an answer
//! below 300, 409 or 422, is written in the transaction that decided, and is what
//! every repeat is told for 24 hours, byte for byte. What only the moment decided
//! (401, 403, 429, 5xx) is not kept.
//!
//! A handler takes the key with [`IdempotentRequest`] and has its guard:
//!
//! ```
//! # use axum::http::StatusCode; use axum::response::Response; use store::Store;
//! # use chassis::{Problem, Staff, idempotency::{StoredResponse, IdempotentRequest}};
//! async fn pay(Staff(caller): Staff, request: IdempotentRequest, store: Store) -> Result<Response, Problem> {
//!     let guard = request.begin(&caller, &"the request's body")?;
//!     let reply = guard.once(&store, move |tx| {
//!         // Read, decide, write; `Err` takes back what was written.
//!         Ok(StoredResponse::new(StatusCode::OK, &"what is now"))
//!     });
//!     Ok(reply.await?.into())
//! }
//! ```
//!
//! A request whose outcome comes later, from elsewhere, binds its key to a
//! reference instead ([`Key::refer`]) and tells its answer from what it keeps
//! there.
//!
//! **Invariants:** a repeat is looked up in a transaction, so it is answered only
//! once what it repeats is durable. Of two requests under one key one is in flight
//! at a time. Keys lie in three rooms, one a day; while one is filled and the one
//! before it still counts, the third is emptied by the clock, some rows at a time, so
//! nothing ever looks through all of them, and no answer outlives two days.

mod keys;
mod response;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Serialize;
use store::{Store, Tx};

use self::keys::Scope;
pub use self::keys::{Key, KnownOutcome};
pub use self::response::{Reply, StoredResponse};
use crate::json::IdempotencyKey;
use crate::request_id::RequestId;
use crate::{Caller, Problem};

/// How often it is looked whether keys are over.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Between two transactions that drop some, since nothing waits for it.
const PAUSE: Duration = Duration::from_millis(50);

/// Deletes expired keys of `store` in batches, until dropped.
pub(crate) async fn expire(store: Store) {
    loop {
        let drop_some = |tx: &mut Tx<'_>| keys::drop_expired(tx, model::now());
        let pause = match store.write_when_free(drop_some).await {
            Ok(true) => PAUSE,
            Ok(false) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "expired Idempotency-Keys were not dropped; trying again");
                LOOK_EVERY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The scopes of the requests a service is handling now.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Scope>>>);

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashSet<Scope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, scope: Scope) -> Result<Entered, Problem> {
        if self.lock().insert(scope.clone()) {
            return Ok(Entered { among: self.clone(), scope });
        }
        Err(Problem::conflict(
            "idempotency-key-in-flight",
            "a request with this Idempotency-Key is being handled; ask again in a moment",
        ))
    }
}

/// One request in flight, until dropped.
#[derive(Debug)]
struct Entered {
    among: InFlight,
    scope: Scope,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.among.lock().remove(&self.scope);
    }
}

/// A request's path and the key it was sent under, if it has one.
#[derive(Debug)]
pub struct IdempotentRequest {
    in_flight: InFlight,
    path: String,
    key: Option<String>,
    request_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotentRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let missing = || Problem::internal("the layers around this router are not installed");
        let in_flight = parts.extensions.get::<InFlight>().cloned();
        let request_id = parts.extensions.get::<RequestId>().cloned();
        Ok(Self {
            in_flight: in_flight.ok_or_else(missing)?,
            path: parts.uri.path().to_owned(),
            key,
            request_id: request_id.ok_or_else(missing)?.0,
        })
    }
}

impl IdempotentRequest {
    /// The caller's guard under the key, or without one. `body` is the request as
    /// it was understood, so that white space makes no difference.
    ///
    /// # Errors
    /// 409 while a request under the same key is in flight.
    pub fn begin(self, caller: &Caller, body: &impl Serialize) -> Result<Guard, Problem> {
        let Self { in_flight, path, key, request_id } = self;
        let Some(key) = key else {
            return Ok(Guard { key: None, request_id, _entered: None });
        };
        let body = serde_json::to_vec(body).map_err(Problem::internal)?;
        let scope = Scope { user_id: caller.user_id, path, key };
        let entered = in_flight.enter(scope.clone())?;
        let key = Key::new(scope, &body, model::now());
        Ok(Guard { key: Some(key), request_id, _entered: Some(entered) })
    }
}

/// The time in which a request is the only one under its key: until dropped.
#[derive(Debug)]
pub struct Guard {
    /// The key, if there is one, for use inside a transaction.
    pub key: Option<Key>,
    /// The request's id.
    pub request_id: String,
    _entered: Option<Entered>,
}

impl Guard {
    /// Runs `work` in one transaction and keeps what it decided, or tells what was
    /// decided before. A decided refusal is kept too; what `work` wrote before it
    /// is taken back.
    ///
    /// # Errors
    /// 422 for a key of another request; what `work` refused with and is not kept.
    pub async fn once(
        &self,
        store: &Store,
        work: impl FnOnce(&mut Tx<'_>) -> Result<StoredResponse, Problem> + Send + 'static,
    ) -> Result<Reply, Problem> {
        let (key, request_id) = (self.key.clone(), self.request_id.clone());
        let write = store.write(move |tx| {
            let Some(key) = key else {
                return work(tx).map(|answer| Reply { answer, replayed: false });
            };
            match key.look_up(tx)? {
                Some(KnownOutcome::Response(answer)) => {
                    return Ok(Reply { answer, replayed: true });
                }
                Some(KnownOutcome::Reference(to)) => {
                    return Err(Problem::internal(format!(
                        "this path keeps no reference: {to}"
                    )));
                }
                None => {}
            }
            let answer = match tx.attempt(work) {
                Err(problem) if is_decided(&problem) => {
                    StoredResponse::refusal(&problem, &request_id)
                }
                outcome => outcome?,
            };
            key.keep(tx, &answer)?;
            Ok(Reply { answer, replayed: false })
        });
        write.await
    }

    /// Keeps a refusal that the request itself decided, before anything was read.
    ///
    /// # Errors
    /// The refusal, if there is no key to keep it under; as [`once`](Self::once).
    pub async fn refuse(
        &self,
        store: &Store,
        refusal: impl Into<Problem>,
    ) -> Result<Reply, Problem> {
        let refusal = refusal.into();
        if self.key.is_none() {
            return Err(refusal);
        }
        self.once(store, move |_| Err(refusal)).await
    }
}

/// Whether a refusal would be the same whenever it was asked for again.
fn is_decided(problem: &Problem) -> bool {
    matches!(
        problem.status(),
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_flight() {
        let in_flight = InFlight::default();
        let user_id = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let scope = Scope { user_id, path: "/v1/orders".into(), key: "k".into() };
        let first = in_flight.enter(scope.clone()).unwrap();
        assert_eq!(in_flight.enter(scope.clone()).unwrap_err().status(), 409);
        drop(first);
        assert!(in_flight.enter(scope).is_ok());
    }
}
