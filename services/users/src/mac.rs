//! Message authentication codes: keyed BLAKE2b (RFC 7693 §2.9) with a secret of this
//! service.
//!
//! Data that must not be readable at rest, such as addresses in counters, is stored as
//! its MAC. **Invariant:** each part is hashed after its length, so two lists of parts
//! have the same MAC only if they are equal.

use blake2::Blake2bMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use chassis::Context;

/// A secret key for MACs.
pub(crate) struct MacKey([u8; 32]);

impl MacKey {
    /// Reads the key called `name` from the data folder; creates it on first use.
    pub(crate) fn open(context: &Context, name: &str) -> Result<Self, chassis::Error> {
        Ok(Self(context.folder.service_secret(context.name, name)?))
    }

    /// The 128-bit MAC of a list of parts.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mac = Blake2bMac::<U16>::new_from_slice(&self.0);
        let mut mac = mac.expect("BLAKE2b takes keys of up to 64 bytes");
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self([7; 32])
    }
}
