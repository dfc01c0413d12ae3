//! Idempotent requests: one outcome under one `Idempotency-Key`.
//!
//! A key belongs to one user, or one holder of a cart or an order, and one path, and is bound to one request by a fingerprint of
//! its body. The first decided outcome, a response below 300, 409 or 422, is stored in the
//! transaction that decided it and replayed byte for byte to every repeat for 24 hours.
//! Outcomes that depend on the moment (401, 403, 429, 5xx) are not stored.
//!
//! A handler extracts [`IdempotentRequest`] and begins a guard:
//!
//! ```
//! # use axum::http::StatusCode; use axum::response::Response; use store::Store;
//! # use chassis::{Problem, Staff, idempotency::{StoredResponse, IdempotentRequest}};
//! async fn pay(Staff(caller): Staff, request: IdempotentRequest, store: Store) -> Result<Response, Problem> {
//!     let guard = request.begin(&caller, &"the request's body")?;
//!     let reply = guard.once(&store, move |tx| {
//!         // Read, decide, write; `Err` rolls the writes back.
//!         Ok(StoredResponse::new(StatusCode::OK, &"the resource"))
//!     });
//!     Ok(reply.await?.into())
//! }
//! ```
//!
//! A request whose outcome is decided later, by an event, binds its key to a reference
//! instead ([`BoundKey::refer`]) and makes its response from the row referred to.
//!
//! **Invariants:** a repeat is looked up in a transaction, so it is answered only once the
//! original is durable. One request under a key is in flight at a time. Keys are
//! partitioned by day into three tables; the oldest is deleted in batches, so expiry scans
//! no valid key, and no response outlives two days.

mod keys;
mod response;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use model::{Id, Kind};
use serde::Serialize;
use store::{Store, Tx};

use self::keys::Scope;
pub use self::keys::{BoundKey, KnownOutcome};
pub use self::response::{Reply, StoredResponse};
use crate::json::IdempotencyKey;
use crate::occupancy::{Occupancy, Place};
use crate::request_id::RequestId;
use crate::{Caller, Problem};

/// Deletes a batch of expired keys. Returns whether there may be more.
pub(crate) use self::keys::delete_expired;

/// The requests in flight: at most one of a scope.
pub(crate) type InFlight = Occupancy<Scope>;

fn enter(in_flight: &InFlight, scope: Scope) -> Result<Place<Scope>, Problem> {
    // The gateway bounds all requests in flight at a service (`[gateway.limits] in_flight`).
    let place = in_flight.enter(scope, 1, usize::MAX);
    place.map_err(|_| {
        Problem::conflict(
            "idempotency-key-in-flight",
            "a request with this Idempotency-Key is in flight; repeat it in a moment",
        )
    })
}

/// A request's path and its `Idempotency-Key`, if it has one.
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
    /// Begins the request under the caller's key, if it has one. `body` is the parsed
    /// request, so that white space makes no difference.
    ///
    /// # Errors
    /// 409 while a request under the same key is in flight.
    pub fn begin(
        self,
        caller: &Caller,
        body: &impl Serialize,
    ) -> Result<IdempotencyGuard, Problem> {
        self.begin_as(caller.user_id, body)
    }

    /// The same for one who has no account: `holder` is what they hold, such as a cart.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_as<K: Kind>(
        self,
        holder: Id<K>,
        body: &impl Serialize,
    ) -> Result<IdempotencyGuard, Problem> {
        let Self { in_flight, path, key, request_id } = self;
        let Some(key) = key else {
            return Ok(IdempotencyGuard { key: None, request_id, _place: None });
        };
        let body = serde_json::to_vec(body).map_err(Problem::internal)?;
        let scope = Scope { holder: Id::from_uuid(holder.uuid()), path, key };
        let place = enter(&in_flight, scope.clone())?;
        let key = BoundKey::new(scope, &body, model::now());
        Ok(IdempotencyGuard { key: Some(key), request_id, _place: Some(place) })
    }
}

/// The only request in flight under its key, until dropped.
#[derive(Debug)]
pub struct IdempotencyGuard {
    /// The key, if there is one, for use inside a transaction.
    pub key: Option<BoundKey>,
    /// The request's id.
    pub request_id: String,
    _place: Option<Place<Scope>>,
}

impl IdempotencyGuard {
    /// Runs `work` in one transaction and stores its outcome, or replays the stored one.
    /// The writes of `work` are rolled back when it refuses.
    ///
    /// # Errors
    /// 422 for a key of another request; a refusal of `work` that is not decided.
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
                        "this path stores no reference: {to}"
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

    /// Stores a refusal that depends on the request alone.
    ///
    /// # Errors
    /// The refusal, if the request has no key; as [`once`](Self::once).
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

/// Whether a refusal is an outcome, the same for every repeat.
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
        let holder = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let scope = Scope { holder, path: "/v1/orders".into(), key: "k".into() };
        let first = enter(&in_flight, scope.clone()).unwrap();
        assert_eq!(enter(&in_flight, scope.clone()).unwrap_err().status(), 409);
        drop(first);
        assert!(enter(&in_flight, scope).is_ok());
    }
}
