//! Message authentication codes: keyed BLAKE2b (RFC 7693 §2.9) with a secret of a service.
//!
//! Data that must not be readable at rest, such as addresses in counters and tokens of carts, is
//! stored as its MAC, and refresh tokens carry one. **Invariant:** in a MAC of parts each part is
//! hashed after its length, so two lists have the same MAC only if they are equal.

use blake2::Blake2bMac;
use blake2::digest::consts::{U16, U20, U32};
use blake2::digest::{KeyInit, Mac};

use crate::{Context, Error};

/// Length of the MAC that [`MacKey::append`] adds.
const APPENDED_BYTES: usize = 32;

/// A secret key for MACs. It has no `Debug`, so it cannot reach a log.
pub struct MacKey([u8; 32]);

impl MacKey {
    /// Reads the key called `name` from the service's folder; creates it on first use.
    ///
    /// # Errors
    /// When it cannot be written or is damaged.
    pub fn open(context: &Context, name: &str) -> Result<Self, Error> {
        Ok(Self(context.folder.service_secret(context.name, name)?))
    }

    /// The 128-bit MAC of a list of parts.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        self.of_parts::<Blake2bMac<U16>>(parts)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether `mac` is the 128-bit MAC of a list of parts. Compared in constant time.
    pub fn is_mac(&self, parts: &[&[u8]], mac: [u8; 16]) -> bool {
        let whole = self.of_parts::<Blake2bMac<U16>>(parts);
        whole.verify(&mac.into()).is_ok()
    }

    /// The 160-bit MAC of a list of parts. The length is part of what BLAKE2b hashes, so it has
    /// nothing in common with the shorter MAC of the same parts.
    pub fn mac160(&self, parts: &[&[u8]]) -> [u8; 20] {
        self.of_parts::<Blake2bMac<U20>>(parts)
            .finalize()
            .into_bytes()
            .into()
    }

    fn of_parts<M: Mac + KeyInit>(&self, parts: &[&[u8]]) -> M {
        let mac = <M as KeyInit>::new_from_slice(&self.0);
        let mut mac = mac.expect("BLAKE2b takes keys of up to 64 bytes");
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        mac
    }

    /// Appends the 256-bit MAC of `content` to it.
    pub fn append(&self, mut content: Vec<u8>) -> Vec<u8> {
        let mac = self.whole(&content).finalize().into_bytes();
        content.extend_from_slice(&mac);
        content
    }

    /// The content before an appended MAC, if that verifies. Compared in constant time.
    pub fn verify<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let content_len = bytes.len().checked_sub(APPENDED_BYTES)?;
        let (content, mac) = bytes.split_at_checked(content_len)?;
        self.whole(content).verify_slice(mac).ok()?;
        Some(content)
    }

    fn whole(&self, content: &[u8]) -> Blake2bMac<U32> {
        let mac = Blake2bMac::new_from_slice(&self.0);
        mac.expect("BLAKE2b takes keys of up to 64 bytes")
            .chain_update(content)
    }

    /// A key that only the memory of this process has.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The key of these bytes.
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
