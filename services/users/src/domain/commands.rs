//! Commands on accounts: what a validated request asks for.
//!
//! `wire` reads request bodies into these types. **Invariant:** every field is valid, so no
//! transaction validates again.

use chassis::Role;
use model::Email;

use super::fields::{AccountStatus, PlaintextPassword};

/// Registers an account.
pub(crate) struct NewUser {
    pub(crate) email: Email,
    pub(crate) name: String,
    pub(crate) password: PlaintextPassword,
}

/// Logs in.
pub(crate) enum LogIn {
    /// The first step. A malformed address is the address of no account.
    Password {
        email: Option<Email>,
        password: PlaintextPassword,
    },
    /// The second step, where a second factor is enrolled.
    SecondFactor { challenge: String, code: String },
}

/// What proves that a request is the account owner's: the password, a code of the second
/// factor, or both.
pub(crate) struct Proof {
    pub(crate) password: Option<PlaintextPassword>,
    pub(crate) code: Option<String>,
}

/// Replaces the caller's password.
pub(crate) struct PasswordChange {
    pub(crate) new: PlaintextPassword,
}

/// Resets a password with a one-time code. A malformed address is the address of no account.
pub(crate) struct PasswordReset {
    pub(crate) email: Option<Email>,
    pub(crate) code: String,
    pub(crate) new: PlaintextPassword,
}

/// An owner's change of their account; a new address counts only once it is confirmed.
pub(crate) struct Profile {
    pub(crate) email: Option<Email>,
    pub(crate) name: Option<String>,
}

/// An admin's change of an account.
pub(crate) struct Administration {
    pub(crate) roles: Option<Vec<Role>>,
    pub(crate) status: Option<AccountStatus>,
}

/// The operator's description of an account, to be created or changed.
pub(crate) struct Addition {
    pub(crate) email: Email,
    pub(crate) password: Option<PlaintextPassword>,
    pub(crate) name: Option<String>,
    pub(crate) roles: Option<Vec<Role>>,
}
