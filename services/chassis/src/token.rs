//! Access tokens and signing keys: PASETO `v4.public` (Ed25519), with keys and key ids in
//! PASERK.
//!
//! **Invariants:** a token never chooses the algorithm: only `v4.public` parses, and the
//! footer only selects one of the known keys. The root key signs only vouchers, and a
//! signature over a voucher is none over an access token, because their implicit
//! assertions differ.

use api::KeyScope;
use model::{ApiKeyId, Id, Time, kinds};
use pasetors::Public;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{self, FormatAsPaserk};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

use crate::limits::{FOOTER_BYTES_MAX, TOKEN_BYTES_MAX};

/// The issuer of access tokens.
pub const ISSUER: &str = "konbini/users";
/// The audience of access tokens.
pub const AUDIENCE: &str = "konbini";

/// The audience of access tokens that were given for an API key. It is another one, so that a
/// verifier that knows no scopes refuses them.
pub const KEY_AUDIENCE: &str = "konbini/key";
/// The beginning of API keys, by which scanners recognise a leaked one.
pub const API_KEY_PREFIX: &str = "konbini_";

/// The implicit assertion of an access token.
const ACCESS: &[u8] = b"";
/// The implicit assertion of a voucher.
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

/// An Ed25519 key pair. `Debug` prints the key id alone.
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
        // The Ed25519 crate panics at a seed of zeros.
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

    /// PASERK `k4.secret.…`, for the key's file.
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

    /// Signs a voucher for another key with this one, the shop's root.
    pub fn vouch_for(&self, other: &KeyPair, place: Succession) -> model::KeyPublished {
        let (kid, key) = (other.kid(), other.public_text());
        let voucher = Voucher { kid: kid.clone(), key: key.clone(), place };
        model::KeyPublished { kid, key, voucher: self.sign(&voucher, VOUCHER) }
    }
}

/// A key's place among the shop's keys, part of its voucher: the publication of a key
/// expires its predecessors, so only the root key can expire one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The time of publication, later than that of every predecessor.
    pub published_at: Time,
    /// The expiry of its predecessors.
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

/// The payload that the root key signs.
#[derive(Serialize, Deserialize)]
struct Voucher {
    kid: String,
    key: String,
    #[serde(flatten)]
    place: Succession,
}

/// The claims of an access token: PASETO's registered ones, `sid`, `roles` and `scopes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer: [`ISSUER`].
    pub iss: String,
    /// The audience: [`AUDIENCE`].
    pub aud: String,
    /// The account.
    pub sub: Id<kinds::User>,
    /// The login session.
    pub sid: Id<kinds::Session>,
    /// The expiry.
    pub exp: Time,
    /// The beginning of its validity.
    pub nbf: Time,
    /// The time of issue.
    pub iat: Time,
    /// The unique id of the token.
    pub jti: String,
    /// The account's roles.
    pub roles: Vec<Role>,
    /// The scopes of the API key that it was given for; absent for a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<KeyScope>>,
    /// That API key; absent for a login, and in tokens of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKeyId>,
}

/// A public key.
#[derive(Clone)]
pub struct VerifyingKey(AsymmetricPublicKey<V4>);

impl VerifyingKey {
    /// Reads PASERK `k4.public.…`.
    pub fn parse(text: &str) -> Option<Self> {
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

    /// The published key and its place, if this key signed the voucher for both.
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

    /// The unchecked claims of a token, if this key signed it.
    pub fn verified(&self, token: &str) -> Option<Claims> {
        self.claims(&parse(token)?)
    }

    /// The unchecked claims of a token that this key signed.
    pub(crate) fn claims(&self, token: &UntrustedToken<Public, V4>) -> Option<Claims> {
        serde_json::from_slice(self.open(token, ACCESS)?).ok()
    }
}

/// Parses a token without verifying it.
pub(crate) fn parse(token: &str) -> Option<UntrustedToken<Public, V4>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    UntrustedToken::try_from(token).ok()
}

/// The key id in a token's unverified footer.
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
