//! Validated fields of an account: format and length limits.
//!
//! **Invariant:** two addresses that differ only in case have the same [`Email::key`]; two
//! spellings of a password that are equal in NFKC are the same password.

use std::sync::LazyLock;

use chassis::Role;
use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// How many characters are normalised. Composition merges at most four into one, so a
/// longer text exceeds every limit anyway.
const TYPED_CHARS_MAX: usize = 2048;
const EMAIL_BYTES_MAX: usize = 254;
const NAME_CHARS_MAX: usize = 100;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;

/// Common passwords, which are refused (ASVS 5.0 §6.2.4): sorted by bytes and in lower case.
/// Origin: `data/README.md`.
static COMMON_PASSWORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    include_str!("../../data/common_passwords.txt")
        .lines()
        .collect()
});

/// Whether an account can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountStatus {
    Active,
    Disabled,
}

/// An e-mail address as its owner writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Email(String);

impl Email {
    /// Parses a practical address: RFC 5321 without quoted local parts,
    /// address literals and display names; the domain has a dot or is `localhost`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let options = Options::default()
            .with_no_minimum_sub_domains()
            .without_domain_literal()
            .without_display_text();
        let typed = text.trim().chars().take(TYPED_CHARS_MAX);
        let text: String = typed.nfc().take(EMAIL_BYTES_MAX + 1).collect();
        let fits = text.len() <= EMAIL_BYTES_MAX && !text.contains(['"', ' ']);
        let address = fits.then(|| EmailAddress::parse_with_options(&text, options));
        match address {
            Some(Ok(address)) if is_reachable(address.domain()) => Ok(Self(text)),
            _ => Err("must be an e-mail address such as ana@example.org, of at most 254 bytes"),
        }
    }

    /// The form in which addresses are compared.
    pub(crate) fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// The part before the `@`: the default name.
    pub(super) fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

impl std::fmt::Display for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_reachable(domain: &str) -> bool {
    domain.contains('.') || domain.eq_ignore_ascii_case("localhost")
}

/// A password before hashing, in Unicode NFKC so that every keyboard produces the same
/// bytes (NIST SP 800-63B §5.1.1.2). It has no `Debug` and is never stored.
pub(crate) struct PlaintextPassword(String);

impl PlaintextPassword {
    /// Validates a new password.
    pub(crate) fn choose(text: &str) -> Result<Self, &'static str> {
        let password = Self::attempt(text);
        if !PASSWORD_CHARS.contains(&password.0.chars().count()) {
            return Err("must have 8..256 characters");
        }
        if is_common(&password.0) {
            return Err("is one of the most common passwords; choose another one");
        }
        Ok(password)
    }

    /// Takes a password to verify. It is truncated beyond the maximum length, so a long
    /// one costs as much as a short one.
    pub(crate) fn attempt(text: &str) -> Self {
        let typed = text.chars().take(TYPED_CHARS_MAX);
        Self(typed.nfkc().take(PASSWORD_CHARS.end() + 1).collect())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether a password in NFKC is on the list, ignoring case.
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    COMMON_PASSWORDS.binary_search(&lower.as_str()).is_ok()
}

/// Validates a display name.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("must have 1..100 characters, none of them a control character")
    }
}

/// Normalises roles: sorted, without duplicates.
pub(crate) fn roles(mut given: Vec<Role>) -> Result<Vec<Role>, &'static str> {
    given.sort_unstable();
    given.dedup();
    if given.is_empty() {
        return Err("must name at least one role");
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn practical_addresses() {
        for good in [
            "ana@example.org",
            " Ana.Lima+shop@Mail.Example.org ",
            "josé@exemplo.pt",
            "admin@localhost",
            &format!("{}@example.org", "a".repeat(64)),
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ana",
            "ana@",
            "@example.org",
            "ana@example",
            "ana@@example.org",
            "ana lima@example.org",
            "\"ana lima\"@example.org",
            "Ana <ana@example.org>",
            "ana@[127.0.0.1]",
            "ana@example.org\r\nBcc: all@example.org",
            "a..b@example.org",
            &format!("ana@{}.org", "example.".repeat(40)),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
        let key = |text| Email::parse(text).unwrap().key();
        assert_eq!(key("ANA@Example.ORG"), key("ana@example.org"));
        assert_eq!(key("Jos\u{e9}@x.pt"), key("JOSE\u{301}@x.pt"));
    }

    #[test]
    fn passwords_are_counted_and_compared_normalised() {
        assert!(PlaintextPassword::choose("kitten7").is_err());
        assert!(PlaintextPassword::choose("kittens7").is_ok());
        // Wide letters are the same ones in NFKC.
        assert!(PlaintextPassword::choose("\u{ff30}assword1").is_err());
        assert!(PlaintextPassword::choose(&"ö".repeat(256)).is_ok());
        assert!(PlaintextPassword::choose(&"o\u{308}".repeat(256)).is_ok());
        assert!(PlaintextPassword::choose(&"ö".repeat(257)).is_err());
        // One character that normalises to eighteen.
        assert!(PlaintextPassword::choose(&"\u{fdfa}".repeat(20)).is_err());
        let bytes = |text| PlaintextPassword::attempt(text).as_bytes().to_vec();
        assert_eq!(bytes("Kätzchen№7"), bytes("Ka\u{308}tzchenNo7"));
    }

    #[test]
    fn the_list_of_common_passwords_can_be_searched() {
        assert!(
            COMMON_PASSWORDS.len() >= 3_000,
            "{}",
            COMMON_PASSWORDS.len()
        );
        assert!(COMMON_PASSWORDS.is_sorted());
        for line in COMMON_PASSWORDS.iter() {
            assert!(line.chars().count() >= 8 && is_common(line), "{line}");
        }
        assert!(is_common("PassWord1") && is_common("jennifer"));
        assert!(!is_common("correct horse"));
    }
}
