//! Users: accounts, passwords, sessions, and the keys that sign access tokens.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | accounts and sessions: types, limits, state changes |
//! | `password` | argon2id hashing with bounded concurrency and memory |
//! | `throttle` | rate limits and backoff of login attempts |
//! | `codes` | one-time codes, derived from a stored nonce |
//! | `email_changes` | changes of address: request, confirmation, undo |
//! | `erasure` | the list of erased accounts, beside the store |
//! | `mac` | message authentication codes with a secret of this service |
//! | `keys` | the signing keys and their rotation |
//! | `tokens` | access tokens and refresh tokens |
//! | `queries` | answers to mesh queries: contact data and codes |
//! | `tables` | the tables and the transactions over them |
//! | `http` | the public endpoints and the control socket's |
//! | `wire` | request and response bodies |
//! | `error` | every refusal, and the problem it becomes |
//!
//! Events written: `user.registered`, `user.updated`, `user.disabled`,
//! `user.erased`, `user.code_requested`, `user.email_change_requested`,
//! `session.revoked`, `key.published`, each with the account (or `keys`) as its key.
//! Queries answered: `ContactOf`, `CodeOf`, `EmailUndoOf`.
//! Events followed: only its own log, to verify tokens as every service does.
//!
//! Tables: `users`, `users_by_email`, `passwords`, `languages`, `sessions`, `letters`,
//! `codes`, `email_undos`, `email_undo_ends`, `email_reserved`, `known_addresses`, `counters`, `counters_by_end`, `counters_kept`,
//! `signing_keys`.
//!
//! **Invariants:** an e-mail address belongs to at most one account. A password is
//! stored only as its argon2id hash; refresh tokens and one-time codes are not stored.
//! The transaction that disables an account or removes a role also ends its sessions.
//! An acknowledged erasure survives restoring an older copy of the store.

mod codes;
pub mod config;
mod domain;
mod email_changes;
mod erasure;
mod error;
mod http;
mod keys;
mod mac;
mod password;
mod queries;
mod tables;
mod throttle;
mod tokens;
mod wire;

pub use config::Config;

use std::sync::Arc;

use chassis::request_id::RequestId;
use chassis::{Context, Opening};
use mesh::{Cause, Log};
use model::UserId;
use store::{Read, Store};
use tokio_util::task::TaskTracker;

use crate::codes::Codes;
use crate::domain::{Email, PlaintextPassword, User};
use crate::erasure::{Erasures, Listed};
use crate::error::Error;
use crate::password::{Hasher, Verified};
use crate::tables::{AccountCause, PendingReset};
use crate::throttle::{AttemptCounters, Throttle};
use crate::tokens::Tokens;

/// Opens the service: reads or creates its keys, applies the list of erasures to the
/// store, then serves.
///
/// # Errors
/// When a key or the list of erasures cannot be kept or read, or the store fails.
pub fn open(context: Context, config: Config) -> Opening {
    Box::pin(async move {
        mac::warn_of_missing_keys(&context)?;
        let hasher = Hasher::new(&config.password)
            .await
            .map_err(|error| chassis::Error::Service(error.to_string()))?;
        let users = Arc::new(Users {
            store: context.store.clone(),
            log: context.log.clone(),
            tokens: Tokens::open(&context, config.keys.rotate_every()).await?,
            codes: Arc::new(Codes::open(&context)?),
            throttle: Throttle::open(&context)?,
            erasures: Erasures::in_folder(&context.data_dir),
            tasks: context.tasks.clone(),
            hasher,
        });
        users.reapply_erasures().await?;
        for pending in tables::pending_resets(&users.store)? {
            users.complete_reset_request(pending, users.own_cause());
        }
        queries::start(&context, &users).await?;
        let expiry = users.clone().expire_email_undos(context.stop.clone());
        context.tasks.spawn(expiry);
        let (public, control) = (http::endpoints(users.clone()), http::control(users));
        Ok(context.serve(public).with_control(control))
    })
}

/// The state that handlers share.
pub(crate) struct Users {
    store: Store,
    log: Log,
    tokens: Tokens,
    codes: Arc<Codes>,
    throttle: Throttle,
    erasures: Erasures,
    hasher: Hasher,
    /// Work that goes on after a response.
    tasks: TaskTracker,
}

impl Users {
    /// The cause that the events of one request share.
    fn cause(&self, by: Option<UserId>, request: RequestId) -> AccountCause {
        let by = by.map(|id| id.to_string());
        let cause = Cause { at: model::now(), by, trace: Some(request.0) };
        AccountCause { log: self.log.clone(), cause }
    }

    /// The cause of events that no request led to.
    fn own_cause(&self) -> AccountCause {
        AccountCause { log: self.log.clone(), cause: Cause::own(model::now()) }
    }

    /// The active account with an address, if there is one.
    fn account(&self, email: Option<&Email>) -> Result<Option<User>, Error> {
        let user = email.map(|email| tables::by_email(&self.store, email));
        Ok(user.transpose()?.flatten().filter(User::is_active))
    }

    /// Verifies an account's password and counts a wrong one. Without an account it
    /// takes as long and fails.
    async fn verify(
        &self,
        attempt: &AttemptCounters,
        password: PlaintextPassword,
        user_id: Option<UserId>,
    ) -> Result<Verified, Error> {
        // Checked first, so that a throttled attempt occupies no slot of the hasher.
        attempt.check(&self.store, model::now())?;
        let slot = self.hasher.admit()?;
        let _serial = self.throttle.serialize(attempt).await;
        attempt.check(&self.store, model::now())?;
        let stored = user_id.map(|id| tables::password(&self.store, id));
        let stored = stored.transpose()?.flatten();
        let verified = self.hasher.verify(slot, password, stored).await;
        if matches!(verified, Err(Error::WrongCredentials)) {
            let (attempt, now) = (attempt.clone(), model::now());
            let counted = self.store.write(move |tx| {
                // Staff log in on a nearly full disk, so guesses at their passwords count.
                tx.use_reserve();
                attempt.count(tx, now)
            });
            counted.await?;
        }
        verified
    }

    /// Requests the code of a pending reset, after its request was answered.
    fn complete_reset_request(&self, pending: PendingReset, cause: AccountCause) {
        let store = self.store.clone();
        self.tasks.spawn(async move {
            let completed = store
                .write_when_free(move |tx| tables::complete_reset_request(tx, pending, &cause));
            if let Err(error) = completed.await {
                tracing::error!(%error, "a password reset waits for the next start");
            }
        });
    }

    /// Erases accounts that the list names and the store still has: an older copy of the
    /// store was restored. What the store knows and the list does not is added to the list.
    async fn reapply_erasures(&self) -> Result<(), chassis::Error> {
        let path = self.erasures.path().to_owned();
        let failed = |why| chassis::Error::File { path: path.clone(), why };
        let Listed { ids, unreadable } = self.erasures.read().map_err(failed)?;
        for id in &ids {
            let cause = self.own_cause();
            let user = self.store.get(tables::USERS, id)?;
            let is_known = self.store.contains(tables::ERASED, id)?;
            if user.is_none() && is_known {
                continue;
            }
            let (id, is_back) = (*id, user.is_some());
            let erased = self.store.write(move |tx| match user {
                Some(user) => tables::erase(tx, &user, &cause),
                // An earlier version erased it.
                None => Ok(tx.put(tables::ERASED, &id, &cause.at())?),
            });
            erased
                .await
                .map_err(|error| chassis::Error::Service(error.to_string()))?;
            if is_back {
                tracing::info!(user_id = %id, "erased again: an older copy of the store was restored");
            }
        }
        let known = self.store.scan(tables::ERASED.all())?;
        let known: Vec<_> = known.collect::<Result<_, _>>()?;
        if ids.len() + unreadable.len() > known.len() {
            let lines = unreadable.iter().map(ToString::to_string);
            let lines = lines.collect::<Vec<_>>().join(", ");
            let why = format!(
                "lines that do not read: {lines}. The account of an erased person may come back with an older copy \
                 of users. Restore the file from a copy, or delete the line to go on without it"
            );
            return Err(chassis::Error::Folder { path, why });
        }
        if !unreadable.is_empty() || ids.len() < known.len() {
            tracing::warn!(file = %path.display(), "the list of erasures is damaged or incomplete and is written anew");
            self.erasures.replace(&known).map_err(failed)?;
        }
        Ok(())
    }
}
