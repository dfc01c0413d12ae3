//! What an account and a session are: types, limits and decisions.
//!
//! `fields` are the parts of an account, `requests` what people send about it,
//! `account` and `session` the two things this service keeps. Pure: no store, no
//! clock, no wire.

mod account;
mod common;
mod fields;
mod requests;
mod session;

pub(crate) use account::{Status, User};
pub(crate) use fields::{Email, Password, language};
pub(crate) use requests::{
    Addition, Administration, Credentials, Lost, NewUser, PasswordChange, Profile, Reset, code,
};
#[cfg(test)]
pub(crate) use session::REFRESH_GRACE;
pub(crate) use session::{Refresh, SESSIONS_PER_USER_MAX, Session};
