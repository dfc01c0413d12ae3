//! People: accounts, passwords, sessions, and the keys that sign their tokens.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | what an account and a session are, their limits, who decides what |
//! | `password` | argon2id behind a bound on how much of it runs at once |
//! | `throttle` | how often somebody may fail, and how long they wait then |
//! | `codes` | one-time codes, of which nothing is stored that could be typed in |
//! | `erasure` | the list of who was forgotten, beside the store |
//! | `keyed` | hashes only this service can make |
//! | `keys` | the ring of keys that sign, and their rotation |
//! | `tokens` | access tokens and refresh tokens |
//! | `answer` | what others ask about people, because it is in no event |
//! | `store` | the tables, what is read from them and every change to them |
//! | `http` | the endpoints and the operator's door |
//! | `error` | every refusal, and the problem it becomes |
//!
//! | endpoint | who |
//! | --- | --- |
//! | `POST /v1/users` | anyone |
//! | `GET`, `PATCH`, `DELETE /v1/users/me`, `GET …/export` | the caller |
//! | `POST /v1/users/me/password`, `…/verify-email`, `…/verify-email/confirm` | the caller |
//! | `POST /v1/users/password-reset`, `…/confirm` | anyone |
//! | `GET /v1/users`, `GET`, `PATCH /v1/users/{id}` | admin |
//! | `POST /v1/sessions`, `POST /v1/sessions/refresh` | anyone |
//! | `GET /v1/sessions`, `DELETE /v1/sessions/{id}`, `…/current` | the caller |
//! | `GET /.well-known/paserk.json` | anyone |
//! | `POST`, `PATCH`, `GET /control/users` | whoever may open `control.sock` |
//!
//! Events written: `user.registered`, `user.updated`, `user.disabled`,
//! `user.erased`, `user.code_requested`, `session.revoked`, `key.published`, each
//! with the account (or `keys`) as its key. Questions answered: `ContactOf`,
//! `CodeOf`. Events followed: none; this service believes tokens like all the
//! others do, by following its own log.
//!
//! Trees: `users`, `users_by_email`, `passwords`, `languages`, `sessions`, `letters`,
//! `codes`, `known_addresses`, `counters`, `counters_by_end`, `counters_kept`,
//! `signing_keys`.
//!
//! **Invariants:** an e-mail address belongs to one account at most. A password
//! is stored only as its argon2id hash, a refresh token and a one-time code not
//! at all. An account that is disabled, or loses a role, has no session left in
//! that very transaction. Once somebody is told that they are forgotten, no copy
//! of the store brings them back.

mod answer;
mod codes;
mod domain;
mod erasure;
mod error;
mod http;
mod keyed;
mod keys;
mod password;
mod store;
mod throttle;
mod tokens;

use std::sync::Arc;

use ::store::Read;
use chassis::http::RequestId;
use chassis::{Context, Service};
use futures::future::BoxFuture;
use mesh::Log;
use model::{Id, kinds};
use tokio_util::task::TaskTracker;

use crate::codes::Codes;
use crate::domain::{Email, Password, User};
use crate::erasure::Erasures;
use crate::error::Error;
use crate::password::{Hasher, Verified};
use crate::store::{Cause, Letter};
use crate::throttle::{Attempt, Throttle};
use crate::tokens::Tokens;

/// Opens the service: makes or reads its keys, forgets again whom an older copy
/// of the store remembers, then serves.
///
/// # Errors
/// When a key or the list of erasures cannot be kept or read, or the store fails.
pub fn open(context: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let hasher = Hasher::new(&context.config.password)
            .await
            .map_err(|error| chassis::Error::Service(error.to_string()))?;
        let users = Arc::new(Users {
            store: context.store.clone(),
            log: context.log.clone(),
            tokens: Tokens::open(&context).await?,
            codes: Arc::new(Codes::open(&context)?),
            throttle: Throttle::open(&context)?,
            erasures: Erasures::in_room(&context.data_dir),
            tasks: context.tasks.clone(),
            hasher,
        });
        users.forget_again().await?;
        for letter in store::letters(&users.store)? {
            users.post(letter, users.own_cause());
        }
        answer::start(&context, &users).await?;
        let (public, control) = (http::endpoints(users.clone()), http::control(users));
        Ok(context.serve(public).with_control(control))
    })
}

/// What every handler works with.
pub(crate) struct Users {
    store: ::store::Store,
    log: Log,
    tokens: Tokens,
    codes: Arc<Codes>,
    throttle: Throttle,
    erasures: Erasures,
    hasher: Hasher,
    /// What is done after an answer.
    tasks: TaskTracker,
}

impl Users {
    /// What the events of one request share: `by` does something now.
    fn cause(&self, by: Option<Id<kinds::User>>, request: RequestId) -> Cause {
        Cause {
            log: self.log.clone(),
            at: model::now(),
            by,
            trace: Some(request.0),
        }
    }

    /// What the service does by itself.
    fn own_cause(&self) -> Cause {
        Cause {
            log: self.log.clone(),
            at: model::now(),
            by: None,
            trace: None,
        }
    }

    /// The account with an address that may be used, if there is one.
    fn account(&self, email: Option<&Email>) -> Result<Option<User>, Error> {
        let user = email.map(|email| store::by_email(&self.store, email));
        Ok(user.transpose()?.flatten().filter(User::is_active))
    }

    /// Whether `password` is the account's; without an account it takes as long
    /// and is wrong. A wrong one counts.
    async fn verify(
        &self,
        attempt: &Attempt,
        password: Password,
        user_id: Option<Id<kinds::User>>,
    ) -> Result<Verified, Error> {
        // Whoever has to wait anyway takes no place from others.
        attempt.check(&self.store, model::now())?;
        let place = self.hasher.admit()?;
        let _turn = self.throttle.turn(attempt).await;
        attempt.check(&self.store, model::now())?;
        let stored = user_id.map(|id| store::password(&self.store, id));
        let stored = stored.transpose()?.flatten();
        let verified = self.hasher.verify(place, password, stored).await;
        if matches!(verified, Err(Error::WrongCredentials)) {
            let (attempt, now) = (attempt.clone(), model::now());
            let counted = self.store.write(move |tx| attempt.count(tx, now));
            counted.await?;
        }
        verified
    }

    /// Sends a letter on its way, after its asker was answered.
    fn post(&self, letter: Letter, cause: Cause) {
        let store = self.store.clone();
        self.tasks.spawn(async move {
            let sent = store.write_when_free(move |tx| store::send_letter(tx, letter, &cause));
            if let Err(error) = sent.await {
                tracing::error!(%error, "a letter waits for the next start");
            }
        });
    }

    /// Forgets whoever was forgotten after the store's copy was made.
    async fn forget_again(&self) -> Result<(), chassis::Error> {
        let listed = self.erasures.all();
        let listed = listed.map_err(|error| chassis::Error::Service(error.to_string()))?;
        for id in listed {
            let Some(user) = self.store.get(store::USERS, &id)? else {
                continue;
            };
            let cause = self.own_cause();
            let erased = self.store.write(move |tx| store::erase(tx, &user, &cause));
            erased
                .await
                .map_err(|error| chassis::Error::Service(error.to_string()))?;
            tracing::info!(user_id = %id, "forgotten again: an older copy of the store was put back");
        }
        Ok(())
    }
}
