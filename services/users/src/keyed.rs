//! Hashes that only this service can make: keyed BLAKE2b (RFC 7693 §2.9).
//!
//! **Invariant:** each part goes in after its length, so two lists of parts have
//! one hash only when they are the same list.

use blake2::Blake2bMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use chassis::Context;

/// A secret of this service and what is hashed with it.
pub(crate) struct Keyed([u8; 32]);

impl Keyed {
    /// With the secret called `name`, made when it is first asked for.
    ///
    /// # Errors
    /// When it cannot be kept or read.
    pub(crate) fn open(context: &Context, name: &str) -> Result<Self, chassis::Error> {
        Ok(Self(context.folder.service_secret(context.name, name)?))
    }

    /// 128 bits that say nothing about the parts to who does not have the secret.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mac = Blake2bMac::<U16>::new_from_slice(&self.0);
        let mut mac = mac.expect("BLAKE2b takes keys of up to 64 bytes");
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        Self([7; 32])
    }
}
