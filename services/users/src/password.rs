//! Password hashing: argon2id (RFC 9106), bounded in memory and in waiting.
//!
//! A hash takes tens of milliseconds of a core and tens of MiB by design, so as
//! many run at once as there are cores, some more wait, and the rest is told to
//! come back. **Invariant:** a login with an unknown address costs one
//! verification, like every other.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use tokio::sync::Semaphore;

use crate::Error;
use crate::domain::Password;

/// How many may wait for a core. On a slow one of two that is half a minute of
/// work, which is as long as a request may take.
const WAITING_MAX: usize = 64;

/// Hashes and verifies. One a service.
pub(crate) struct Hasher {
    params: Params,
    /// A hash that no password has, in place of the one an unknown account lacks.
    nobody: String,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// What came of a verification.
pub(crate) struct Verified {
    /// The stored hash the password was found to match.
    pub(crate) hash: String,
    /// The same password hashed with the present parameters, where the stored
    /// hash was made with weaker ones.
    pub(crate) stronger: Option<String>,
}

impl Hasher {
    /// A hasher with the shop's parameters.
    pub(crate) async fn new(config: &chassis::config::Password) -> Result<Self, Error> {
        let params = Params::new(config.memory_kib, config.iterations, 1, None)
            .map_err(|error| Error::Hashing(error.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut hasher = Self {
            params,
            nobody: String::new(),
            admitted: Arc::new(Semaphore::new(cores + WAITING_MAX)),
            running: Arc::new(Semaphore::new(cores)),
        };
        let unknowable: [u8; 32] = rand::random();
        hasher.nobody = hasher.run(move |params| hash(&params, &unknowable)).await?;
        Ok(hasher)
    }

    /// A new hash as a PHC string.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Error> {
        self.run(move |params| hash(&params, password.as_bytes()))
            .await
    }

    /// Whether `password` is the one `stored` was made of; without a stored hash
    /// it takes as long and is wrong.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] when it is not, [`Error::Busy`] when too many wait.
    pub(crate) async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Verified, Error> {
        let is_known = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.nobody.clone());
        let verified = self
            .run(move |params| verify(&params, password.as_bytes(), hash))
            .await?;
        if is_known {
            Ok(verified)
        } else {
            Err(Error::WrongCredentials)
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Params) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| Error::Busy)?;
        let running = self.running.clone().acquire_owned().await;
        let running = running.expect("the semaphore is never closed");
        let params = self.params.clone();
        // The permits move along: a caller that goes away does not free a core
        // that still hashes for it.
        let worked = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running);
            work(params)
        });
        worked
            .await
            .unwrap_or_else(|error| Err(Error::Hashing(error.to_string())))
    }
}

fn hash(params: &Params, password: &[u8]) -> Result<String, Error> {
    let salt: [u8; 16] = rand::random();
    let hash = Argon2::from(params).hash_password_with_salt(password, &salt);
    hash.map(|hash| hash.to_string()).map_err(failed)
}

fn verify(params: &Params, password: &[u8], stored: String) -> Result<Verified, Error> {
    let parsed = PasswordHash::new(&stored).map_err(|error| Error::Hashing(error.to_string()))?;
    // The stored hash says which parameters it was made with; ours do not matter.
    match Argon2::default().verify_password(password, &parsed) {
        Ok(()) => {}
        Err(HashError::PasswordInvalid) => return Err(Error::WrongCredentials),
        Err(error) => return Err(failed(error)),
    }
    let used = Params::try_from(&parsed).map_err(failed)?;
    let is_weaker = used.m_cost() < params.m_cost() || used.t_cost() < params.t_cost();
    let stronger = is_weaker.then(|| hash(params, password)).transpose()?;
    Ok(Verified { hash: stored, stronger })
}

fn failed(error: HashError) -> Error {
    Error::Hashing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::config;

    #[tokio::test]
    async fn raised_parameters_make_a_stronger_hash() {
        let config = config::Password::default();
        let hasher = Hasher::new(&config).await.unwrap();
        let stored = hasher.hash(Password::attempt("kittens7")).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let verify = async |hasher: &Hasher, text, stored| {
            hasher.verify(Password::attempt(text), stored).await
        };
        let same = verify(&hasher, "kittens7", Some(stored.clone()))
            .await
            .unwrap();
        assert!(same.stronger.is_none());
        for (text, stored) in [("kittens8", Some(stored.clone())), ("kittens7", None)] {
            let refused = verify(&hasher, text, stored).await;
            assert!(matches!(refused, Err(Error::WrongCredentials)));
        }

        let raised = config::Password { iterations: 3, ..config };
        let hasher = Hasher::new(&raised).await.unwrap();
        let raised = verify(&hasher, "kittens7", Some(stored)).await.unwrap();
        let stronger = raised.stronger.unwrap();
        assert!(stronger.contains("t=3"), "{stronger}");
        assert!(verify(&hasher, "kittens7", Some(stronger)).await.is_ok());
    }

    #[tokio::test]
    async fn who_does_not_fit_in_is_sent_away() {
        let hasher = Hasher::new(&config::Password::default()).await.unwrap();
        let everyone = hasher.admitted.available_permits();
        let taken = hasher
            .admitted
            .clone()
            .try_acquire_many_owned(everyone.try_into().unwrap());
        let refused = hasher.hash(Password::attempt("kittens7")).await;
        assert!(matches!(refused, Err(Error::Busy)));
        drop(taken);
        assert!(hasher.hash(Password::attempt("kittens7")).await.is_ok());
    }
}
