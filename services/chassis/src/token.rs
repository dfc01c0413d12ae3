//! Keys and tokens: PASETO `v4.public` (Ed25519) by `pasetors`, keys and key ids
//! as PASERK.
//!
//! **Invariants:** the algorithm is never chosen by the token: only `v4.public`
//! parses, and a token's footer only says which of the known keys to try. The
//! root key signs vouchers and nothing else, and no signature over a voucher is
//! one over an access token: they differ in the implicit assertion.

use model::{Id, Time, kinds};
use pasetors::Public;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{self, FormatAsPaserk};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

use crate::limits::{FOOTER_BYTES_MAX, TOKEN_BYTES_MAX};

/// Who made the token, and for whom: one shop's services.
pub const ISSUER: &str = "konbini/users";
/// Who may believe it.
pub const AUDIENCE: &str = "konbini";

/// What a signature over an access token covers beside it (PASETO's implicit
/// assertion): nothing.
const ACCESS: &[u8] = b"";
/// What a signature over a voucher covers beside it.
const VOUCHER: &[u8] = b"konbini/key";

/// A role of an account, in ascending order of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Runs the shop.
    Staff,
    /// Runs the installation; has all rights of staff.
    Admin,
}

/// An Ed25519 key pair. Formatted for people it shows its kid alone.
pub struct KeyPair(AsymmetricKeyPair<V4>);

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.kid())
    }
}

impl KeyPair {
    /// A new pair from the operating system's randomness.
    ///
    /// # Panics
    /// When the operating system has none to give.
    pub fn generate() -> Self {
        Self(AsymmetricKeyPair::generate().expect("the operating system gives randomness"))
    }

    /// Reads PASERK `k4.secret.…`.
    pub fn parse(text: &str) -> Option<Self> {
        // The Ed25519 crate panics at a seed of zeros, which nobody draws.
        if text.starts_with(&format!("k4.secret.{}", "A".repeat(42))) {
            return None;
        }
        let secret = AsymmetricSecretKey::<V4>::try_from(text).ok()?;
        let public = AsymmetricPublicKey::<V4>::try_from(&secret).ok()?;
        Some(Self(AsymmetricKeyPair { public, secret }))
    }

    /// PASERK `k4.pid.…` of the public key.
    pub fn kid(&self) -> String {
        pid(&self.0.public)
    }

    /// PASERK `k4.public.…`.
    pub fn public_text(&self) -> String {
        let mut text = String::new();
        self.0
            .public
            .fmt(&mut text)
            .expect("writing to a string succeeds");
        text
    }

    /// PASERK `k4.secret.…`: for the key's file and nothing else.
    pub(crate) fn secret_text(&self) -> String {
        let mut text = String::new();
        self.0
            .secret
            .fmt(&mut text)
            .expect("writing to a string succeeds");
        text
    }

    fn sign(&self, payload: &impl Serialize, assertion: &[u8]) -> String {
        let payload = serde_json::to_vec(payload).expect("plain structs encode");
        let footer = serde_json::to_vec(&Footer { kid: self.kid() }).expect("plain structs encode");
        PublicToken::sign(&self.0.secret, &payload, Some(&footer), Some(assertion))
            .expect("a generated or parsed key signs")
    }

    /// An access token with these claims.
    pub fn issue(&self, claims: &Claims) -> String {
        self.sign(claims, ACCESS)
    }

    /// The word of this key, the shop's root, for another.
    pub fn vouch_for(&self, other: &KeyPair, place: Succession) -> model::KeyPublished {
        let (kid, key) = (other.kid(), other.public_text());
        let voucher = Voucher { kid: kid.clone(), key: key.clone(), place };
        model::KeyPublished { kid, key, voucher: self.sign(&voucher, VOUCHER) }
    }
}

/// A key's place among the shop's keys, vouched for with it. So the publication
/// of a key is also what ends the ones before it, and whoever cannot publish a key
/// cannot end one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// When the key was published: later than any key before it.
    pub published_at: Time,
    /// From when on no token of an earlier key is believed.
    pub earlier_until: Time,
}

fn pid(key: &AsymmetricPublicKey<V4>) -> String {
    let mut text = String::new();
    paserk::Id::from(key)
        .fmt(&mut text)
        .expect("writing to a string succeeds");
    text
}

/// PASERK `k4.pid.…` of a PASERK `k4.public.…`.
pub(crate) fn kid_of(public: &str) -> Option<String> {
    AsymmetricPublicKey::<V4>::try_from(public)
        .ok()
        .map(|key| pid(&key))
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: String,
}

/// What the root key signs.
#[derive(Serialize, Deserialize)]
struct Voucher {
    kid: String,
    key: String,
    #[serde(flatten)]
    place: Succession,
}

/// What an access token says (PASETO registered claims, plus `sid` and `roles`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it: [`ISSUER`].
    pub iss: String,
    /// Who may believe it: [`AUDIENCE`].
    pub aud: String,
    /// Whose it is.
    pub sub: Id<kinds::User>,
    /// The login it belongs to.
    pub sid: Id<kinds::Session>,
    /// When it ends.
    pub exp: Time,
    /// Not before.
    pub nbf: Time,
    /// When it was made.
    pub iat: Time,
    /// Its own name, unique.
    pub jti: String,
    /// What its owner may do.
    pub roles: Vec<Role>,
}

/// A public key that signatures are checked with.
#[derive(Clone)]
pub(crate) struct VerifyingKey(AsymmetricPublicKey<V4>);

impl VerifyingKey {
    /// Reads PASERK `k4.public.…`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        AsymmetricPublicKey::try_from(text).ok().map(Self)
    }

    /// The signed bytes of a token, if this key signed it.
    fn open<'t>(
        &self,
        token: &'t UntrustedToken<Public, V4>,
        assertion: &[u8],
    ) -> Option<&'t [u8]> {
        PublicToken::verify(&self.0, token, None, Some(assertion)).ok()?;
        Some(token.untrusted_payload())
    }

    /// The published key and its place, if the owner of this key vouched for both.
    pub(crate) fn vouched_for(
        &self,
        published: &model::KeyPublished,
    ) -> Option<(VerifyingKey, Succession)> {
        let token = parse(&published.voucher)?;
        let voucher: Voucher = serde_json::from_slice(self.open(&token, VOUCHER)?).ok()?;
        let honest = voucher.kid == published.kid
            && voucher.key == published.key
            && kid_of(&voucher.key).as_ref() == Some(&voucher.kid);
        let key = Self::parse(&voucher.key)?;
        honest.then_some((key, voucher.place))
    }

    /// The claims of a token that this key signed, unchecked otherwise.
    pub(crate) fn claims(&self, token: &UntrustedToken<Public, V4>) -> Option<Claims> {
        serde_json::from_slice(self.open(token, ACCESS)?).ok()
    }
}

/// A token of the one kind there is; its content is not believed yet.
pub(crate) fn parse(token: &str) -> Option<UntrustedToken<Public, V4>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    UntrustedToken::try_from(token).ok()
}

/// Which key a token claims to be signed with.
pub(crate) fn claimed_kid(token: &UntrustedToken<Public, V4>) -> Option<String> {
    let footer = token.untrusted_footer();
    if footer.len() > FOOTER_BYTES_MAX {
        return None;
    }
    serde_json::from_slice::<Footer>(footer)
        .ok()
        .map(|footer| footer.kid)
}

#[cfg(test)]
mod tests;
