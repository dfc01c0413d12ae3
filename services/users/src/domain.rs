//! Accounts and sessions: types, limits and state changes.
//!
//! `account` and `session` are the two nouns, `fields` the validated parts of an account,
//! `commands` what validated requests ask for. **Invariant:** pure; no store, no clock, no
//! HTTP.

mod account;
mod commands;
mod fields;
mod session;

pub(crate) use account::User;
pub(crate) use commands::{
    Addition, Administration, LogIn, NewUser, PasswordChange, PasswordReset, Profile, Proof,
};
pub(crate) use fields::{Email, PlaintextPassword, name, roles};
#[cfg(test)]
pub(crate) use session::REFRESH_GRACE;
pub(crate) use session::{Refresh, SESSIONS_PER_USER_MAX, Session};
