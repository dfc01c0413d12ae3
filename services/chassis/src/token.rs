//! Keys and tokens: PASETO `v4.public` (Ed25519) by `pasetors`, keys and key ids
//! as PASERK.
//!
//! **Invariant:** the algorithm is never chosen by the token: only `v4.public`
//! parses, and a token's footer only says which of the known keys to try.

use mesh::{Id, Time, kinds};
use pasetors::Public;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{self, FormatAsPaserk};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

use crate::Role;
use crate::limits::{FOOTER_BYTES_MAX, TOKEN_BYTES_MAX};

/// Who made the token, and for whom: one shop's services.
pub const ISSUER: &str = "konbini/users";
/// Who may believe it.
pub const AUDIENCE: &str = "konbini";

/// An Ed25519 key pair.
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

    fn sign(&self, payload: &impl Serialize) -> String {
        let payload = serde_json::to_vec(payload).expect("plain structs encode");
        let footer = serde_json::to_vec(&Footer { kid: self.kid() }).expect("plain structs encode");
        PublicToken::sign(&self.0.secret, &payload, Some(&footer), None)
            .expect("a generated or parsed key signs")
    }

    /// An access token with these claims.
    pub fn issue(&self, claims: &Claims) -> String {
        self.sign(claims)
    }

    /// This key's word for another: a token whose claims name it.
    pub fn vouch_for(&self, other: &KeyPair) -> mesh::KeyPublished {
        let voucher = Voucher { kid: other.kid(), key: other.public_text() };
        let token = self.sign(&voucher);
        mesh::KeyPublished { kid: voucher.kid, key: voucher.key, voucher: token }
    }
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

#[derive(Serialize, Deserialize)]
struct Voucher {
    kid: String,
    key: String,
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
    fn open<'t>(&self, token: &'t UntrustedToken<Public, V4>) -> Option<&'t [u8]> {
        let footer = token.untrusted_footer();
        let footer = (!footer.is_empty()).then_some(footer);
        PublicToken::verify(&self.0, token, footer, None).ok()?;
        Some(token.untrusted_payload())
    }

    /// Whether the owner of this key vouched for `published`.
    pub(crate) fn vouched_for(&self, published: &mesh::KeyPublished) -> bool {
        let Some(token) = parse(&published.voucher) else {
            return false;
        };
        let Some(payload) = self.open(&token) else {
            return false;
        };
        serde_json::from_slice::<Voucher>(payload).is_ok_and(|voucher| {
            voucher.kid == published.kid
                && voucher.key == published.key
                && kid_of(&voucher.key) == Some(voucher.kid)
        })
    }

    /// The claims of a token that this key signed, unchecked otherwise.
    pub(crate) fn claims(&self, token: &UntrustedToken<Public, V4>) -> Option<Claims> {
        serde_json::from_slice(self.open(token)?).ok()
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
mod tests {
    use super::*;
    use data_encoding::HEXLOWER_PERMISSIVE as HEX;
    use serde_json::Value;

    /// The official vectors (paseto-standard/test-vectors): `paseto-v4.json` and
    /// the PASERK files, in the folder that `KONBINI_VECTORS` names.
    #[expect(clippy::disallowed_methods, reason = "names test data, no setting")]
    fn vectors(file: &str) -> Vec<Value> {
        let Ok(folder) = std::env::var("KONBINI_VECTORS") else {
            println!("{file}: skipped, KONBINI_VECTORS names no folder with the vectors");
            return Vec::new();
        };
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        vectors["tests"].as_array().unwrap().clone()
    }

    fn key(vector: &Value, field: &str) -> Option<VerifyingKey> {
        let bytes = HEX.decode(vector[field].as_str()?.as_bytes()).ok()?;
        AsymmetricPublicKey::from(&bytes).ok().map(VerifyingKey)
    }

    /// Ours is `v4.public` without an implicit assertion: 4-S-3, which has one,
    /// must not open either, nor anything encrypted, nor what is made to fail.
    #[test]
    fn official_tokens() {
        let vectors = vectors("paseto-v4.json");
        let signer = vectors.iter().find_map(|vector| key(vector, "public-key"));
        for vector in &vectors {
            let key = key(vector, "public-key").or(signer.clone()).unwrap();
            let token = parse(vector["token"].as_str().unwrap());
            let opened = token.as_ref().and_then(|token| key.open(token));
            let opened = opened.map(|bytes| std::str::from_utf8(bytes).unwrap());
            let name = vector["name"].as_str().unwrap();
            if ["4-S-1", "4-S-2"].contains(&name) {
                assert_eq!(opened, vector["payload"].as_str(), "{name}");
                let footer = token.as_ref().map(|token| token.untrusted_footer());
                let expected = vector["footer"].as_str().map(str::as_bytes);
                assert_eq!(footer, expected, "{name}");
            } else {
                assert_eq!(opened, None, "{name}");
            }
        }
    }

    #[test]
    fn official_keys() {
        for vector in vectors("k4.pid.json") {
            let pid = key(&vector, "key").map(|key| pid(&key.0));
            assert_eq!(pid.as_deref(), vector["paserk"].as_str(), "{vector}");
        }
        for vector in vectors("k4.public.json") {
            let Some(text) = vector["paserk"].as_str() else {
                assert!(key(&vector, "key").is_none(), "{vector}");
                continue;
            };
            let parsed = VerifyingKey::parse(text).unwrap();
            assert_eq!(HEX.encode(parsed.0.as_bytes()), vector["key"], "{vector}");
        }
        for vector in vectors("k4.secret.json") {
            // The Ed25519 crate takes no seed of zeros, which nobody draws.
            let zeros = vector["secret-key-seed"] == "0".repeat(64);
            let Some(text) = vector["paserk"].as_str().filter(|_| !zeros) else {
                continue;
            };
            let pair = KeyPair::parse(text).unwrap();
            assert_eq!(pair.secret_text(), text);
            assert_eq!(HEX.encode(pair.0.public.as_bytes()), vector["public-key"]);
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let pair = KeyPair::generate();
        let (public, secret) = (pair.public_text(), pair.secret_text());
        assert_eq!(KeyPair::parse(&secret).unwrap().kid(), pair.kid());
        assert_eq!(kid_of(&public), Some(pair.kid()));
        for wrong in [
            "",
            &public,
            &secret[..secret.len() - 2],
            &secret.replacen("k4", "k3", 1),
        ] {
            assert!(KeyPair::parse(wrong).is_none(), "{wrong}");
        }
        for wrong in [
            "",
            &secret,
            &public[..public.len() - 2],
            &public.replacen("k4", "k2", 1),
        ] {
            assert!(VerifyingKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
