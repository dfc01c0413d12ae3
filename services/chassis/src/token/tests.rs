//! The official test vectors, and tampering with tokens.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE as HEX};
use serde_json::Value;

use super::*;

/// From paseto-standard/test-vectors, unchanged: every case of `v4.json` that is
/// about `v4.public` or must fail, and `PASERK/k4.{public,secret,pid}.json`.
const OFFICIAL: &str = include_str!("vectors.json");

/// The cases of one official file: those in [`OFFICIAL`], or all of the file in the folder
/// that `KONBINI_VECTORS` names.
#[expect(clippy::disallowed_methods, reason = "names test data, no setting")]
fn vectors(file: &str) -> Vec<Value> {
    let ours: Value = serde_json::from_str(OFFICIAL).unwrap();
    let mut vectors = ours[file].as_array().unwrap().clone();
    if let Ok(folder) = std::env::var("KONBINI_VECTORS") {
        let text = std::fs::read_to_string(format!("{folder}/{file}.json")).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        vectors.extend_from_slice(all["tests"].as_array().unwrap());
    }
    vectors
}

fn bytes(vector: &Value, field: &str) -> Option<Vec<u8>> {
    HEX.decode(vector[field].as_str()?.as_bytes()).ok()
}

fn public(vector: &Value, field: &str) -> Option<VerifyingKey> {
    let key = AsymmetricPublicKey::from(&bytes(vector, field)?).ok()?;
    Some(VerifyingKey(key))
}

fn must_fail(vector: &Value) -> bool {
    vector["expect-fail"].as_bool().unwrap()
}

#[test]
fn official_token_vectors_pass() {
    let vectors = vectors("paseto-v4");
    let signer = vectors
        .iter()
        .find_map(|vector| public(vector, "public-key"));
    let mut opened_ones = 0;
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        let key = public(vector, "public-key").or(signer.clone()).unwrap();
        let assertion = vector["implicit-assertion"].as_str().unwrap().as_bytes();
        let token = parse(vector["token"].as_str().unwrap());
        let opened = token.as_ref().and_then(|token| key.open(token, assertion));
        if must_fail(vector) || name.starts_with("4-E") {
            assert_eq!(opened, None, "{name}");
            continue;
        }
        opened_ones += 1;
        assert_eq!(
            opened,
            vector["payload"].as_str().map(str::as_bytes),
            "{name}"
        );
        let token = token.unwrap();
        let footer = vector["footer"].as_str().unwrap();
        assert_eq!(token.untrusted_footer(), footer.as_bytes(), "{name}");
        assert_eq!(key.open(&token, b"another"), None, "{name}: assertion");

        // Ed25519 is deterministic.
        let secret = AsymmetricSecretKey::from(&bytes(vector, "secret-key").unwrap()).unwrap();
        let payload = vector["payload"].as_str().unwrap().as_bytes();
        let signed =
            PublicToken::sign(&secret, payload, Some(footer.as_bytes()), Some(assertion)).unwrap();
        assert_eq!(signed, vector["token"].as_str().unwrap(), "{name}");
    }
    assert!(opened_ones >= 3, "all three signed ones");
}

#[test]
fn official_key_vectors_pass() {
    for vector in vectors("k4.public") {
        let key = public(&vector, "key");
        assert_eq!(key.is_none(), must_fail(&vector), "{vector}");
        if let Some(key) = key {
            let parsed = VerifyingKey::parse(vector["paserk"].as_str().unwrap()).unwrap();
            assert_eq!(parsed.0.as_bytes(), key.0.as_bytes(), "{vector}");
        }
    }
    for vector in vectors("k4.pid") {
        let pid = public(&vector, "key").map(|key| pid(&key.0));
        assert_eq!(pid.is_none(), must_fail(&vector), "{vector}");
        assert_eq!(pid.as_deref(), vector["paserk"].as_str(), "{vector}");
    }
    for vector in vectors("k4.secret") {
        if vector["key"].as_str().unwrap().starts_with(&"0".repeat(64)) {
            let text = vector["paserk"].as_str().unwrap();
            assert!(KeyPair::parse(text).is_none(), "refused, and no panic");
            continue;
        }
        let key = AsymmetricSecretKey::<V4>::from(&bytes(&vector, "key").unwrap());
        assert_eq!(key.is_err(), must_fail(&vector), "{vector}");
        if key.is_ok() {
            let text = vector["paserk"].as_str().unwrap();
            let pair = KeyPair::parse(text).unwrap();
            assert_eq!(pair.secret_text(), text);
            assert_eq!(
                pair.0.public.as_bytes(),
                bytes(&vector, "public-key").unwrap()
            );
        }
    }
}

#[test]
fn malformed_keys_are_refused() {
    let pair = KeyPair::generate();
    let (public, secret) = (pair.public_text(), pair.secret_text());
    assert_eq!(KeyPair::parse(&secret).unwrap().kid(), pair.kid());
    assert_eq!(kid_of(&public), Some(pair.kid()));
    let half = &secret[..secret.len() - 2];
    for wrong in ["", &public, half, &secret.replacen("k4", "k3", 1)] {
        assert!(KeyPair::parse(wrong).is_none(), "{wrong}");
    }
    let half = &public[..public.len() - 2];
    for wrong in ["", &secret, half, &public.replacen("k4", "k2", 1)] {
        assert!(VerifyingKey::parse(wrong).is_none(), "{wrong}");
    }
    // The public half of another seed would sign with one key and name another.
    let other = KeyPair::generate().secret_text();
    let decode = |text: &str| BASE64URL_NOPAD.decode(&text.as_bytes()[10..]).unwrap();
    let mixed = [&decode(&secret)[..32], &decode(&other)[32..]].concat();
    let mixed = format!("k4.secret.{}", BASE64URL_NOPAD.encode(&mixed));
    assert!(KeyPair::parse(&mixed).is_none());
}

/// Formatted values may be logged, so they contain no secret.
#[test]
fn debug_output_has_no_secret() {
    let pair = KeyPair::generate();
    let secret = pair.secret_text();
    let shown = format!("{pair:?} {pair:#?}");
    assert!(shown.contains(&pair.kid()), "{shown}");
    let encoded = secret.strip_prefix("k4.secret.").unwrap();
    assert!(!shown.contains(&encoded[..16]), "{shown}");
    let seed = BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap();
    assert!(!shown.contains(&HEX.encode(&seed[..8])), "{shown}");
    assert!(
        !shown.contains(&format!("{:?}", &seed[..4])[1..]),
        "{shown}"
    );
}

#[test]
fn vouchers_and_access_tokens_are_not_interchangeable() {
    let (root, other) = (KeyPair::generate(), KeyPair::generate());
    let key = VerifyingKey::parse(&root.public_text()).unwrap();
    let place = Succession { published_at: Time(1), earlier_until: Time(2) };
    let published = root.vouch_for(&other, place);
    assert_eq!(key.vouched_for(&published).map(|(_, at)| at), Some(place));
    let voucher = parse(&published.voucher).unwrap();
    assert_eq!(key.open(&voucher, ACCESS), None);

    // The same payload, signed like an access token.
    let words: Value = serde_json::from_slice(key.open(&voucher, VOUCHER).unwrap()).unwrap();
    let forged = model::KeyPublished { voucher: root.sign(&words, ACCESS), ..published };
    assert!(key.vouched_for(&forged).is_none());
}

/// The group's order, little-endian: S and S + L would be one signature (RFC 8032
/// §5.1.7 demands S < L).
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn signed(roles: Vec<Role>) -> (VerifyingKey, String) {
    let pair = KeyPair::generate();
    let claims = Claims {
        scopes: None,
        key: None,
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: Id::new(),
        sid: Id::new(),
        exp: Time(3),
        nbf: Time(2),
        iat: Time(2),
        jti: "a".into(),
        roles,
    };
    let key = VerifyingKey::parse(&pair.public_text()).unwrap();
    (key, pair.issue(&claims))
}

fn believed(key: &VerifyingKey, token: &str) -> bool {
    parse(token).is_some_and(|token| key.claims(&token).is_some())
}

/// Every bit of every byte: any change makes the token invalid, also in unused bits of
/// base64.
#[test]
fn a_token_with_a_flipped_bit_is_refused() {
    let (key, token) = signed(vec![Role::Customer]);
    assert!(believed(&key, &token));
    for place in 0..token.len() {
        for bit in 0..7 {
            let mut bent = token.clone().into_bytes();
            bent[place] ^= 1 << bit;
            let bent = String::from_utf8(bent).unwrap();
            assert!(!believed(&key, &bent), "bit {bit} of byte {place}: {bent}");
        }
        assert!(!believed(&key, &token[..place]), "cut at {place}");
    }
    let (head, footer) = token.rsplit_once('.').unwrap();
    let body = BASE64URL_NOPAD.decode(&head.as_bytes()[10..]).unwrap();
    let (payload, signature) = body.split_at(body.len() - 64);
    let mut carry = 0;
    let mut twin = signature.to_vec();
    for (byte, order) in twin[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    let twin = BASE64URL_NOPAD.encode(&[payload, &twin].concat());
    assert!(!believed(&key, &format!("v4.public.{twin}.{footer}")));
}

/// A footer, signature or body of another token makes the token invalid.
#[test]
fn a_token_with_a_part_of_another_is_refused() {
    let (key, ours) = signed(vec![Role::Customer]);
    let (_, theirs) = signed(vec![Role::Admin]);
    assert!(!believed(&key, &theirs));
    for part in [2, 3] {
        let mut parts: Vec<_> = ours.split('.').collect();
        parts[part] = theirs.split('.').nth(part).unwrap();
        assert!(!believed(&key, &parts.join(".")), "part {part}");
    }
}
