//! argon2id hashes (RFC 9106) as PHC strings, and the memory that they are computed in.
//!
//! To ask the system for a hash's memory takes nearly as long as the hash, page by page, so a
//! thread keeps it from hash to hash. **Invariant:** a stored hash is verified with the parameters
//! it was made with, whatever the present ones are.

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64_NOPAD;

use crate::Error;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;

/// The memory of one hash at a time, as large as the largest before.
#[derive(Default)]
pub(super) struct HashMemory(Vec<Block>);

impl HashMemory {
    /// Gives the memory back to the system.
    pub(super) fn release(&mut self) {
        self.0 = Vec::new();
    }

    fn hash(
        &mut self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let blocks = argon2.params().block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        let blocks = &mut self.0[..blocks];
        let hashed = argon2.hash_password_into_with_memory(password, salt, out, blocks);
        hashed.map_err(failed)
    }
}

/// The hash of a password, with a salt of its own.
pub(super) fn hash(
    memory: &mut HashMemory,
    params: &Params,
    password: &[u8],
) -> Result<String, Error> {
    let salt: [u8; SALT_BYTES] = rand::random();
    let mut out = [0; HASH_BYTES];
    memory.hash(&Argon2::from(params), password, &salt, &mut out)?;
    Ok(phc(params, salt, out))
}

/// A hash with these parameters that no password is known for, since its bytes are random.
pub(super) fn decoy(params: &Params) -> String {
    phc(params, rand::random(), rand::random())
}

fn phc(params: &Params, salt: [u8; SALT_BYTES], hash: [u8; HASH_BYTES]) -> String {
    let [salt, hash] = [salt.as_slice(), &hash].map(|bytes| BASE64_NOPAD.encode(bytes));
    let (memory, iterations, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    format!("$argon2id$v=19$m={memory},t={iterations},p={lanes}${salt}${hash}")
}

/// Verifies a password; returns a stronger hash if the stored one is too weak.
///
/// # Errors
/// [`Error::WrongCredentials`] for another password.
pub(super) fn verify(
    memory: &mut HashMemory,
    params: &Params,
    password: &[u8],
    stored: &str,
) -> Result<Option<String>, Error> {
    let stored = PasswordHash::new(stored).map_err(failed)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(Error::Hashing(
            "a stored hash has no salt or no output".into(),
        ));
    };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(failed)?;
    let version = stored.version.map(Version::try_from).transpose();
    let version = version.map_err(failed)?.unwrap_or_default();
    let used = Params::try_from(&stored).map_err(failed)?;
    let argon2 = Argon2::new(algorithm, version, used.clone());
    let mut out = vec![0; expected.len()];
    memory.hash(&argon2, password, salt, &mut out)?;
    // In constant time.
    if Output::new(&out).map_err(failed)? != *expected {
        return Err(Error::WrongCredentials);
    }
    let is_weaker = used.m_cost() < params.m_cost() || used.t_cost() < params.t_cost();
    is_weaker
        .then(|| hash(memory, params, password))
        .transpose()
}

fn failed(error: impl ToString) -> Error {
    Error::Hashing(error.to_string())
}
