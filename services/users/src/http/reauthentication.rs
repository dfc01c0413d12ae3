//! Re-authentication: the caller's password in the very request that needs it, however recent
//! the login is (ASVS 5.0, 7.5.1).
//!
//! An access token may be stolen, so a request that gives an account away, or gives away what
//! it may do, proves the password once more. **Invariants:** guesses count like those of a
//! login. The password is compared again in the transaction of the change, so one that was
//! replaced meanwhile allows nothing.

use chassis::Caller;
use chassis::client_address::ClientAddress;
use store::Tx;

use crate::domain::{PlaintextPassword, User};
use crate::password::Verified;
use crate::tables;
use crate::throttle::{AttemptCounters, LoginAttempt, ThrottleTarget};
use crate::{Error, Users};

/// A caller whose password was verified.
pub(super) struct Reauthenticated {
    caller: Caller,
    attempt: AttemptCounters,
    verified: Verified,
}

impl Users {
    /// Verifies the password of the caller's own account.
    ///
    /// # Errors
    /// [`Error::PasswordRequired`] without a password, [`Error::WrongPassword`] for a wrong one.
    pub(super) async fn reauthenticate(
        &self,
        caller: Caller,
        password: Option<PlaintextPassword>,
        address: ClientAddress,
    ) -> Result<Reauthenticated, Error> {
        let user = tables::caller(&self.store, &caller)?;
        let password = password.ok_or(Error::PasswordRequired)?;
        let target = ThrottleTarget { email: Some(&user.email), user_id: Some(user.id) };
        let attempt =
            self.throttle
                .counters(&self.store, LoginAttempt::Password, target, address)?;
        let verified = self.verify(&attempt, password, Some(user.id)).await;
        let verified = verified.map_err(|error| match error {
            Error::WrongCredentials => Error::WrongPassword,
            error => error,
        })?;
        Ok(Reauthenticated { caller, attempt, verified })
    }
}

impl Reauthenticated {
    /// The caller's account, in the transaction of the change.
    ///
    /// # Errors
    /// When the session has ended or the password was replaced since it was verified.
    pub(super) fn confirm(&self, tx: &mut Tx<'_>) -> Result<User, Error> {
        let user = tables::caller(tx, &self.caller)?;
        if !tables::confirm_password(tx, user.id, &self.verified)? {
            return Err(Error::WrongPassword);
        }
        self.attempt.clear(tx)?;
        Ok(user)
    }
}
