//! Users: accounts, passwords, sessions, and the keys that sign access tokens.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | accounts, address books and sessions: types, limits, state changes |
//! | `password` | argon2id hashing with bounded concurrency and memory |
//! | `throttle` | rate limits and backoff of login attempts |
//! | `api_keys` | secrets of API keys, and their exchange for access tokens |
//! | `codes` | one-time codes, derived from a stored nonce |
//! | `factors` | second factors: time-based codes and recovery codes, derived from a stored nonce |
//! | `challenges` | what a right password gives where a second factor is enrolled |
//! | `email_changes` | changes of address: request, confirmation, undo |
//! | `setup` | the link with which the first admin is made |
//! | `mac_keys` | the names of the keys for MACs |
//! | `keys` | the signing keys and their rotation |
//! | `tokens` | access tokens and refresh tokens |
//! | `queries` | answers to mesh queries: contact data and codes |
//! | `state` | the present state, for new followers |
//! | `tables` | the tables and the transactions over them |
//! | `http` | the public endpoints and the control socket's |
//! | `wire` | request and response bodies |
//! | `error` | every refusal, and the problem it becomes |
//!
//! Events written: `user.registered`, `user.updated`, `user.disabled`,
//! `user.erased`, `user.code_requested`, `user.email_change_requested`,
//! `user.second_factor_changed`, `session.revoked`, `key.published`, each with the account (or `keys`) as its key.
//! Queries answered: `ContactOf`, `CodeOf`, `EmailUndoOf`, `PeopleQuery`, `TokenOf`.
//! Events followed: only its own log, to verify tokens as every service does.
//!
//! Tables: `users`, `users_by_email`, `people_by_part`, `passwords`, `languages`, `addresses`, `sessions`, `api_keys`, `letters`,
//! `codes`, `factors`, `email_undos`, `email_undo_ends`, `email_reserved`, `known_addresses`, `counters`, `counters_by_end`, `counters_kept`,
//! `signing_keys`.
//!
//! **Invariants:** an e-mail address belongs to at most one account. A password is
//! stored only as its argon2id hash and the secret of an API key as its MAC; refresh tokens, one-time codes, and the secrets and
//! recovery codes of second factors are not stored.
//! The transaction that disables an account or removes a role also ends its sessions and the
//! tokens of its API keys.
//! An acknowledged erasure survives restoring an older copy of the store.

mod api_keys;
mod challenges;
mod codes;
pub mod config;
mod domain;
mod email_changes;
mod error;
mod factors;
mod http;
mod keys;
mod mac_keys;
mod password;
mod queries;
mod setup;
mod state;
mod tables;
mod throttle;
mod tokens;
mod wire;

pub use config::Config;

use std::sync::Arc;

use chassis::erasures::Erasures;
use chassis::request_id::RequestId;
use chassis::{Backfill, Context, Opening, Role};
use mesh::{Cause, Log};
use model::{Time, UserId, kinds};
use store::{Read, Store};
use tokio_util::task::TaskTracker;

use crate::challenges::Challenge;
use crate::codes::Codes;
use crate::domain::{Email, PlaintextPassword, User};
use crate::error::Error;
use crate::factors::Factors;
use crate::password::{Hasher, Verified};
use crate::setup::SetUpLinks;
use crate::tables::{AccountCause, PendingReset};
use crate::throttle::{AttemptCounters, Throttle};
use crate::tokens::Tokens;
use chassis::mac::MacKey;

/// Opens the service: reads or creates its keys, applies the list of erasures to the
/// store, then serves.
///
/// # Errors
/// When a key or the list of erasures cannot be kept or read, or the store fails.
pub fn open(context: Context, config: Config) -> Opening {
    Box::pin(async move {
        mac_keys::warn_of_missing(&context)?;
        let hasher = Hasher::new(&config.password)
            .await
            .map_err(|error| chassis::Error::Service(error.to_string()))?;
        let users = Arc::new(Users {
            store: context.store.clone(),
            log: context.log.clone(),
            tokens: Tokens::open(&context, config.keys.rotate_every()).await?,
            codes: Arc::new(Codes::open(&context)?),
            factors: Arc::new(Factors::open(&context, config.shop)?),
            challenge_key: MacKey::open(&context, mac_keys::FACTORS)?,
            api_key_mac: MacKey::open(&context, mac_keys::API_KEYS)?,
            require_second_factor: config.users.require_second_factor,
            throttle: Throttle::open(&context)?,
            set_up_links: SetUpLinks::new(),
            erasures: Erasures::in_folder(&context.data_dir),
            people: Backfill::new("index of people", tables::USERS, tables::INDEXES_OF_PEOPLE),
            tasks: context.tasks.clone(),
            hasher,
        });
        users.reapply_erasures().await?;
        users
            .people
            .start(&context, |tx, _, user| {
                tables::index_known_person(tx, &user)
            })
            .await?;
        let store = users.store.clone();
        let read =
            move |log: &Log, place: Option<&[u8]>| state::page(&store, log, place, model::now());
        users.log.set_state(read);
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
    factors: Arc<Factors>,
    challenge_key: MacKey,
    api_key_mac: MacKey,
    /// The roles whose accounts need a second factor.
    require_second_factor: Vec<Role>,
    throttle: Throttle,
    set_up_links: SetUpLinks,
    erasures: Erasures<kinds::User>,
    /// The index by which people are searched.
    people: Backfill<UserId, User>,
    hasher: Hasher,
    /// Work that goes on after a response.
    tasks: TaskTracker,
}

impl Users {
    /// The cause that the events of one request share.
    fn cause(&self, by: Option<UserId>, request: RequestId) -> AccountCause {
        let by = by.map(|id| id.to_string());
        let cause = Cause { by, trace: Some(request.0), ..Cause::own(model::now()) };
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

    /// Checks a code of an account's second factor, which stays unused, and counts a wrong one.
    async fn check_factor(
        &self,
        attempt: &AttemptCounters,
        user: User,
        code: String,
    ) -> Result<bool, Error> {
        let (attempt, factors, now) = (attempt.clone(), self.factors.clone(), model::now());
        let checked = self.store.write(move |tx| {
            // A guess costs the same where its count does not fit on the disk any more.
            tx.use_reserve();
            attempt.check(tx, now)?;
            let is_right = factors.is_right(tx, &user, &code, now)?;
            if !is_right {
                attempt.count(tx, now)?;
            }
            Ok::<_, Error>(is_right)
        });
        checked.await
    }

    /// The roles that an account's tokens have: none while one of its roles needs a second
    /// factor and it has none, so that it can enrol one and do nothing else.
    fn token_roles(&self, user: &User) -> Vec<Role> {
        let needs_one = |role: &Role| self.require_second_factor.contains(role);
        match user.second_factor_since {
            None if user.roles.iter().any(needs_one) => Vec::new(),
            _ => user.roles.clone(),
        }
    }

    /// The challenge of an account whose password was verified.
    fn challenge(&self, user_id: UserId, generation: u32, now: Time) -> String {
        Challenge::new(user_id, generation, now).token(&self.challenge_key)
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
        let listed = self.erasures.read().map_err(failed)?;
        for id in &listed.ids {
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
        self.erasures.complete(&listed, &self.store, tables::ERASED)
    }
}
