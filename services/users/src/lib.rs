//! People: accounts, passwords, sessions, and the keys that sign their tokens.
//!
//! | room | holds |
//! | --- | --- |
//! | `domain` | what an account and a session are, their limits, who decides what |
//! | `password` | argon2id behind a bound on how much of it runs at once |
//! | `tokens` | the signing key, access tokens and refresh tokens |
//! | `store` | the tables, what is read from them and every change to them |
//! | `http` | the endpoints and the operator's door |
//! | `error` | every refusal, and the problem it becomes |
//!
//! | endpoint | who |
//! | --- | --- |
//! | `POST /v1/users` | anyone |
//! | `GET`, `PATCH /v1/users/me` | the caller |
//! | `GET /v1/users`, `GET`, `PATCH /v1/users/{id}` | admin |
//! | `POST /v1/sessions`, `POST /v1/sessions/refresh` | anyone |
//! | `GET /v1/sessions`, `DELETE /v1/sessions/{id}`, `…/current` | the caller |
//! | `GET /.well-known/paserk.json` | anyone |
//! | `POST /control/users` | whoever may open `control.sock` |
//!
//! Events written: `user.registered`, `session.revoked`, `key.published`, each
//! with the account (or `keys`) as its key. Events followed: none; this service
//! believes tokens like all the others do, by following its own log.
//!
//! Trees: `users`, `users_by_email`, `passwords`, `sessions`, `signing_keys`.
//!
//! **Invariants:** an e-mail address belongs to one account at most. A password
//! is stored only as its argon2id hash, a refresh token not at all. An account
//! that is disabled, or loses a role, has no session left in that very
//! transaction.

mod domain;
mod error;
mod http;
mod password;
mod store;
mod tokens;

use std::sync::Arc;

use chassis::http::RequestId;
use chassis::{Context, Service};
use futures::future::BoxFuture;
use mesh::{Id, Log, kinds};

use crate::error::Error;
use crate::password::Hasher;
use crate::store::Cause;
use crate::tokens::Tokens;

/// Opens the service: makes or reads its keys, then serves.
///
/// # Errors
/// When a key cannot be kept or read, or the store fails.
pub fn open(context: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let hasher = Hasher::new(&context.config.password)
            .await
            .map_err(|error| chassis::Error::Service(error.to_string()))?;
        let users = Arc::new(Users {
            store: context.store.clone(),
            log: context.log.clone(),
            tokens: Tokens::open(&context).await?,
            hasher,
        });
        let (public, control) = (http::routes(users.clone()), http::control(users));
        Ok(context.serve(public).with_control(control))
    })
}

/// What every handler works with.
pub(crate) struct Users {
    store: ::store::Store,
    log: Log,
    tokens: Tokens,
    hasher: Hasher,
}

impl Users {
    /// What the events of one request share: `by` does something now.
    fn cause(&self, by: Option<Id<kinds::User>>, request: RequestId) -> Cause {
        Cause {
            log: self.log.clone(),
            at: mesh::now(),
            by,
            trace: Some(request.0),
        }
    }
}
