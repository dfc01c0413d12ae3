//! Accounts and sessions: types, limits and state changes.
//!
//! `account` and `session` are the two nouns, `fields` the validated parts of an account,
//! `requests` the parsed request bodies. **Invariant:** pure; no store, no clock, no HTTP.

mod account;
mod common;
mod fields;
mod requests;
mod session;

pub(crate) use account::{AccountStatus, User};
pub(crate) use fields::{Email, PlaintextPassword, language};
pub(crate) use requests::{
    Addition, Administration, Credentials, Lost, NewUser, PasswordChange, Profile, Reset, code,
};
#[cfg(test)]
pub(crate) use session::REFRESH_GRACE;
pub(crate) use session::{Refresh, SESSIONS_PER_USER_MAX, Session};
