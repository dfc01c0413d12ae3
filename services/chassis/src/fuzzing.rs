//! Fuzz target of access tokens: parsing and verification of arbitrary bytes.
//!
//! The function takes arbitrary bytes and asserts an invariant. The fuzzer in `fuzz/` and
//! the property test below call the same function, so a crash that the fuzzer finds is
//! reproduced by a plain test.

use std::sync::LazyLock;

use model::{Id, Time};

use crate::token::{AUDIENCE, Claims, ISSUER, KeyPair, Role, VerifyingKey, claimed_kid, parse};

/// A key pair of the official PASERK test vectors: a constant key makes a finding
/// reproducible.
const SECRET: &str = "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuTF-ZdQFV4D9vLTcNQ";

/// A key, and the one token that it signed.
static SIGNED: LazyLock<(VerifyingKey, String)> = LazyLock::new(|| {
    let pair = KeyPair::parse(SECRET).expect("the vector's key can be read");
    let id = "01h455vb4pex5vsknk084sn02q";
    let token = pair.issue(&Claims {
        scopes: None,
        key: None,
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: parsed_id(&format!("user_{id}")),
        sid: parsed_id(&format!("sess_{id}")),
        exp: Time(3),
        nbf: Time(2),
        iat: Time(2),
        jti: "a".into(),
        roles: vec![Role::Staff],
    });
    let key = VerifyingKey::parse(&pair.public_text()).expect("its public half can be read");
    (key, token)
});

fn parsed_id<K: model::Kind>(text: &str) -> Id<K> {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} cannot be read"))
}

/// Of all texts only the token that was signed verifies.
///
/// The bytes are read as a token, and as an edit of the signed one: a place (two bytes), a
/// number of bytes to remove, and those to insert.
///
/// # Panics
/// When the invariant does not hold.
pub fn token(data: &[u8]) {
    verify(data);
    if let [high, low, removed, inserted @ ..] = data {
        let mut edited = SIGNED.1.clone().into_bytes();
        let from = usize::from(u16::from_be_bytes([*high, *low])) % (edited.len() + 1);
        let to = edited.len().min(from + usize::from(removed % 8));
        edited.splice(from..to, inserted.iter().copied());
        verify(&edited);
    }
}

fn verify(text: &[u8]) {
    let (key, signed) = &*SIGNED;
    let parsed = std::str::from_utf8(text).ok().and_then(parse);
    let claims = parsed.as_ref().and_then(|token| key.claims(token));
    let is_signed = text == signed.as_bytes();
    assert_eq!(claims.is_some(), is_signed, "{}", text.escape_ascii());
    let kid = parsed.as_ref().and_then(claimed_kid);
    assert!(
        !is_signed || kid.is_some(),
        "the signed token names its key"
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens(
            data in any::<Vec<u8>>(),
            edit in (0u16..600, 0u8..8, "[A-Za-z0-9_.=-]{0,8}"),
            text in testkit::mutated([SIGNED.1.clone()]),
        ) {
            token(&data);
            let (from, removed, inserted) = edit;
            token(&[&from.to_be_bytes()[..], &[removed], inserted.as_bytes()].concat());
            token(&text);
        }
    }
}
