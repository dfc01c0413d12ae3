//! Errors of this service and the problem documents they become.
//!
//! **Invariant:** every failed login gets the same problem, and so does every refused
//! refresh token, so neither reveals whether an account exists.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use chassis::{FieldError, Problem};

/// Why a request was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Understood, but these fields are not valid.
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// Another account has the address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Wrong e-mail address or password.
    #[error("wrong credentials")]
    WrongCredentials,
    /// The current password, required for the change, is missing.
    #[error("the password is required")]
    PasswordRequired,
    /// The current password, required for the change, is wrong.
    #[error("wrong password")]
    WrongPassword,
    /// The one-time code is wrong, used or expired.
    #[error("wrong code")]
    WrongCode,
    /// The password is right, and a code of the second factor is asked for under this challenge.
    #[error("a second factor is required")]
    SecondFactor(String),
    /// The login challenge is wrong or expired, or had too many tries.
    #[error("wrong challenge")]
    WrongChallenge,
    /// The code of the second factor is wrong or was used.
    #[error("wrong code of the second factor")]
    WrongFactorCode,
    /// The code that proves a request to be the owner's is wrong or was used.
    #[error("wrong code of the second factor as a proof")]
    WrongProofCode,
    /// The account has a second factor.
    #[error("a second factor is enrolled")]
    FactorEnrolled,
    /// The account has no second factor, or none that waits for its confirmation.
    #[error("no second factor")]
    NoFactor,
    /// The token that undoes a change of address is wrong, used or expired.
    #[error("wrong undo token")]
    WrongUndoToken,
    /// The token of the set-up link is wrong or expired.
    #[error("wrong set-up token")]
    WrongSetUpToken,
    /// The shop has an admin, so it is set up.
    #[error("there is an admin")]
    HasAdmin,
    /// Too many attempts; the next is allowed after this wait.
    #[error("too many tries, {0:?} to wait")]
    Throttled(Duration),
    /// The clock is before the build of this program, so a token would end at a wrong time.
    #[error("the clock is not set")]
    ClockNotSet,
    /// The shop has as many API keys as it can have.
    #[error("too many API keys")]
    TooManyApiKeys,
    /// The account has as many addresses as it can have.
    #[error("the address book is full")]
    AddressBookFull,
    /// The change would leave the shop without an active admin.
    #[error("the last admin")]
    LastAdmin,
    /// The list of erasures could not be written.
    #[error("the list of erasures: {0}")]
    Erasures(#[source] std::io::Error),
    /// The refresh token is malformed or spent, or its session has ended.
    #[error("wrong refresh token")]
    WrongRefreshToken,
    /// The access token is valid, but its session has ended.
    #[error("the caller's session has ended")]
    Unauthenticated,
    /// It does not exist, or belongs to another account.
    #[error("not found")]
    NotFound,
    /// `If-Match` names an outdated version.
    #[error("a precondition failed")]
    Stale(Problem),
    /// The queue of the password hasher is full.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// Hashing failed, or a stored hash is invalid.
    #[error("password hashing: {0}")]
    Hashing(String),
    /// The signing keys cannot be rotated now.
    #[error(transparent)]
    Keys(#[from] chassis::Error),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self::invalid(errors),
            Error::EmailTaken => Self::conflict(
                "email-taken",
                "another account has this e-mail address, or had it within the last seven days; log in, or choose another",
            ),
            Error::WrongCredentials => unauthorized(
                "wrong-credentials",
                "The login failed",
                "the e-mail address or the password is wrong",
            ),
            Error::PasswordRequired => Self::new(
                StatusCode::FORBIDDEN,
                "password-required",
                "The current password is required",
                "add `current_password` with the password of the account you are logged in to, or `code` with a code of its second factor; nothing was changed",
            ),
            Error::WrongPassword => Self::new(
                StatusCode::FORBIDDEN,
                "wrong-password",
                "The current password is wrong",
                "`current_password` is not the password of the account you are logged in to; nothing was changed",
            ),
            Error::WrongCode => unauthorized(
                "wrong-code",
                WRONG_CODE,
                "the code is wrong, was used before, was replaced by a later one or is older than ten minutes; request a new one",
            ),
            Error::SecondFactor(challenge) => second_factor(challenge),
            Error::WrongChallenge => unauthorized(
                "wrong-challenge",
                "The challenge is not valid",
                "the challenge is wrong, is older than five minutes, had five wrong codes, or the password was changed; log in with the password again",
            ),
            Error::WrongFactorCode => unauthorized("wrong-code", WRONG_CODE, FACTOR_CODE),
            Error::WrongProofCode => wrong_proof_code(),
            Error::FactorEnrolled => Self::conflict(
                "second-factor-enrolled",
                "the account has a second factor; remove it with DELETE /v1/users/me/totp before another one is enrolled",
            ),
            Error::NoFactor => Self::conflict(
                "no-second-factor",
                "the account has no second factor, or its secret was not confirmed within an hour; POST /v1/users/me/totp makes one",
            ),
            Error::WrongUndoToken => wrong_link("wrong-undo-token", UNDO_TOKEN),
            Error::WrongSetUpToken => wrong_link("wrong-setup-token", SET_UP_TOKEN),
            Error::HasAdmin => Self::conflict("set-up", SET_UP),
            Error::Throttled(wait) => Problem::too_many_attempts("too many attempts failed", wait),
            Error::ClockNotSet => clock_not_set(),
            Error::TooManyApiKeys => Self::conflict("too-many-api-keys", TOO_MANY_API_KEYS),
            Error::AddressBookFull => Self::conflict("address-book-full", ADDRESS_BOOK_FULL),
            Error::LastAdmin => Self::conflict(
                "last-admin",
                "this is the last active admin of the shop; give another account the role `admin` first",
            ),
            Error::Erasures(cause) => Self::internal(cause),
            Error::WrongRefreshToken => unauthorized(
                "wrong-refresh-token",
                "The refresh token is not valid",
                "the token is malformed, was used before, or its session has ended; log in again",
            ),
            Error::Unauthenticated => Self::unauthenticated(),
            Error::NotFound => Self::not_found(),
            Error::Stale(problem) => problem,
            Error::Busy => Self::busy(),
            Error::Hashing(cause) => Self::internal(cause),
            // Only the control socket leads here.
            Error::Keys(why) => Self::conflict("keys", why.to_string()),
            Error::Store(error) => error.into(),
        }
    }
}

const WRONG_CODE: &str = "The code is not valid";
const FACTOR_CODE: &str = "the code is not the one that the authenticator app shows now, or was used before; wait for the app's next code, or use a recovery code";

const UNDO_TOKEN: &str =
    "the token is incomplete, was used before, or is older than seven days; ask the shop for help";
const SET_UP_TOKEN: &str = "the token is incomplete, is older than 30 minutes, or is of an earlier start of the shop; start the shop again for a new link, or run `konbini user add --role admin` on its host";
const SET_UP: &str = "the shop has an admin already, so the link is not valid any more; log in, or let an admin give you the role";

const TOO_MANY_API_KEYS: &str =
    "the shop has 200 API keys, as many as it can have; revoke one that is not used any more";

const ADDRESS_BOOK_FULL: &str =
    "the address book has 20 entries, as many as it can have; remove or replace one";

/// The problem of a token that a link had.
fn wrong_link(code: &'static str, detail: &str) -> Problem {
    unauthorized(code, "The link is not valid", detail)
}

fn second_factor(challenge: String) -> Problem {
    unauthorized(
        "second-factor",
        "A second factor is required",
        "the password is right; send this `challenge` and a `code` of the authenticator app, or a recovery code, to POST /v1/sessions within five minutes",
    )
    .member("challenge", challenge)
}

fn wrong_proof_code() -> Problem {
    let detail = format!("{FACTOR_CODE}; nothing was changed");
    Problem::new(StatusCode::FORBIDDEN, "wrong-code", WRONG_CODE, detail)
}

fn clock_not_set() -> Problem {
    let now = model::now();
    let detail = format!(
        "the clock of the shop's host says {now}, which is before this program was built; it is set once the host has reached a time server, then try again"
    );
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "clock-not-set",
        "The clock is not set",
        detail,
    )
    .header(RETRY_AFTER, "10")
}

fn unauthorized(code: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, title, detail).header(WWW_AUTHENTICATE, "Bearer")
}
