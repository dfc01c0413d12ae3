//! What an account and a session are: types, limits and decisions.
//!
//! `fields` are the parts of an account, `requests` what people send about it,
//! `account` and `session` the two things this service keeps. Pure: no store, no
//! clock, no wire.

mod account;
mod fields;
mod requests;
mod session;

pub(crate) use account::{Status, User};
pub(crate) use fields::{Email, Password};
pub(crate) use requests::{Addition, Administration, Credentials, NewUser, Profile};
pub(crate) use session::{Refresh, SESSIONS_PER_USER_MAX, Session};
