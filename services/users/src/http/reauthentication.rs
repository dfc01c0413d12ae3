//! Re-authentication: the caller's password, or a code of their second factor, in the very
//! request that needs it, however recent the login is (ASVS 5.0, 7.5.1).
//!
//! An access token may be stolen, so a request that gives an account away, or gives away what
//! it may do, proves its owner once more. **Invariants:** guesses count like those of a login.
//! The proof is compared again in the transaction of the change, so a password that was
//! replaced meanwhile allows nothing, and a code that was used meanwhile neither.

use std::sync::Arc;

use chassis::Caller;
use chassis::client_address::ClientAddress;
use model::Time;
use store::Tx;

use crate::domain::{Proof, User};
use crate::factors::Factors;
use crate::password::Verified;
use crate::tables;
use crate::throttle::{AttemptCounters, LoginAttempt, ThrottleTarget};
use crate::{Error, Users};

/// A caller whose proof was verified: the password, a code, or both.
pub(super) struct Reauthenticated {
    caller: Caller,
    password: Option<(AttemptCounters, Verified)>,
    code: Option<(AttemptCounters, String)>,
    factors: Arc<Factors>,
    at: Time,
}

impl Users {
    /// Verifies the proof of the caller's own account. Of two, both have to be right.
    ///
    /// # Errors
    /// [`Error::PasswordRequired`] without a proof, [`Error::WrongPassword`] or
    /// [`Error::WrongProofCode`] for a wrong one.
    pub(super) async fn reauthenticate(
        &self,
        caller: Caller,
        proof: Proof,
        address: ClientAddress,
    ) -> Result<Reauthenticated, Error> {
        let user = tables::caller(&self.store, &caller)?;
        if proof.password.is_none() && proof.code.is_none() {
            return Err(Error::PasswordRequired);
        }
        let at = model::now();
        let counters = |attempt| {
            let target = ThrottleTarget { email: Some(&user.email), user_id: Some(user.id) };
            self.throttle
                .counters(&self.store, attempt, target, address)
        };
        let password = match proof.password {
            Some(password) => {
                let attempt = counters(LoginAttempt::Password)?;
                let verified = self.verify(&attempt, password, Some(user.id)).await;
                let verified = verified.map_err(|error| match error {
                    Error::WrongCredentials => Error::WrongPassword,
                    error => error,
                })?;
                Some((attempt, verified))
            }
            None => None,
        };
        let code = match proof.code {
            Some(code) => {
                let attempt = counters(LoginAttempt::Factor)?;
                let checked = self.check_factor(&attempt, user.clone(), code.clone());
                if !checked.await? {
                    return Err(Error::WrongProofCode);
                }
                Some((attempt, code))
            }
            None => None,
        };
        let factors = self.factors.clone();
        Ok(Reauthenticated { caller, password, code, factors, at })
    }
}

impl Reauthenticated {
    /// The caller's account, in the transaction of the change.
    ///
    /// # Errors
    /// When the session has ended, or since the verification the password was replaced or the
    /// code used.
    pub(super) fn confirm(&self, tx: &mut Tx<'_>) -> Result<User, Error> {
        let user = tables::caller(tx, &self.caller)?;
        if let Some((attempt, verified)) = &self.password {
            if !tables::confirm_password(tx, user.id, verified)? {
                return Err(Error::WrongPassword);
            }
            attempt.clear(tx)?;
        }
        if let Some((attempt, code)) = &self.code {
            if !self.factors.redeem(tx, &user, code, self.at)? {
                return Err(Error::WrongProofCode);
            }
            attempt.clear(tx)?;
        }
        Ok(user)
    }
}
