//! Accounts, address books, sessions and API keys: types, limits and state changes.
//!
//! `account`, `address_book`, `session` and `api_key` are the nouns, `fields` the validated parts of an account,
//! `commands` what validated requests ask for. **Invariant:** pure; no store, no clock, no
//! HTTP.

mod account;
mod address_book;
mod api_key;
mod commands;
mod fields;
mod session;

pub(crate) use account::User;
pub(crate) use address_book::{ADDRESS_BOOK_MAX, AddressContent, AddressDefaults, AddressEntry};
pub(crate) use api_key::{API_KEYS_MAX, ApiKey, NewApiKey, is_within, role_for};
pub(crate) use commands::{
    Addition, Administration, LogIn, NewUser, PasswordChange, PasswordReset, Profile, Proof,
};
pub(crate) use fields::{PlaintextPassword, name, roles};
pub(crate) use model::Email;
#[cfg(test)]
pub(crate) use session::REFRESH_GRACE;
pub(crate) use session::{Refresh, SESSIONS_PER_USER_MAX, Session};
