//! Secrets of API keys.

use super::*;

#[test]
fn only_the_secret_of_a_key_matches_it() {
    let ours = MacKey::of_bytes([1; 32]);
    let secret = ApiKeySecret::generate();
    let mac = secret.mac(&ours);
    let text = secret.text();
    let parsed = ApiKeySecret::parse(&text).unwrap();
    assert!(parsed == secret && parsed.matches(&ours, mac));
    assert!(!parsed.matches(&MacKey::of_bytes([2; 32]), mac));
    let other = ApiKeySecret { id: secret.id, ..ApiKeySecret::generate() };
    assert!(!other.matches(&ours, mac), "the same id");
    let moved = ApiKeySecret { id: ApiKeyId::new(), ..secret };
    assert!(!moved.matches(&ours, mac), "the same random number");
    for wrong in [
        "",
        API_KEY_PREFIX,
        &text[1..],
        &text[..text.len() - 1],
        &format!("{text}A"),
    ] {
        assert!(ApiKeySecret::parse(wrong).is_none(), "{wrong}");
    }
}
