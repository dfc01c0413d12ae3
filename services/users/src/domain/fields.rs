//! Validated fields of an account: format and length limits.
//!
//! A new password is checked more strictly than one that is verified, so that accounts from
//! before a rule can still log in; `model::Email` does the same for addresses.
//!
//! **Invariant:** two spellings of a password that are equal in NFKC are the same password.

use std::collections::HashSet;
use std::sync::LazyLock;

use chassis::Role;
use model::Email;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// How many characters are normalised. Composition merges at most four into one, so a
/// longer text exceeds every limit anyway.
const TYPED_CHARS_MAX: usize = 2048;
const NAME_CHARS_MAX: usize = 100;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;

/// Common passwords, which are refused (ASVS 5.0 §6.2.4): sorted by bytes and in lower case.
/// Origin: `data/README.md`.
static COMMON_PASSWORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    include_str!("../../data/common_passwords.txt")
        .lines()
        .collect()
});

/// The common passwords, [`folded`], without those that are shorter than
/// [`FOLDED_CHARS_MIN`] then.
static FOLDED_PASSWORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let folded = COMMON_PASSWORDS.iter().map(|password| folded(password));
    folded
        .filter(|rest| rest.chars().count() >= FOLDED_CHARS_MIN)
        .collect()
});
/// A shorter rest is part of many good passwords.
const FOLDED_CHARS_MIN: usize = 4;

/// Whether an account can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountStatus {
    Active,
    Disabled,
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
        let mut chars = password.0.chars();
        let first = chars.next();
        if chars.all(|c| Some(c) == first) {
            return Err("must not be one character repeated");
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

    /// Checks that a new password is not the account's address, the part before the `@`, or its
    /// name, whatever digits and marks follow.
    pub(crate) fn differ_from(&self, email: &Email, name: &str) -> Result<(), &'static str> {
        let lower = self.0.to_lowercase();
        let is_same = |own: &str| {
            let own = own.nfkc().collect::<String>().to_lowercase();
            lower == own || !folded(&own).is_empty() && folded(&lower) == folded(&own)
        };
        match [email.as_str(), email.local_part(), name]
            .into_iter()
            .any(is_same)
        {
            true => Err("must not be the account's own e-mail address or name"),
            false => Ok(()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether a password in NFKC is on the list, ignoring case and the digits and marks at its end.
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    COMMON_PASSWORDS.binary_search(&lower.as_str()).is_ok()
        || FOLDED_PASSWORDS.contains(folded(&lower))
}

/// A password in lower case without the digits and marks at its end, which are the first thing
/// a guesser varies.
fn folded(lower: &str) -> &str {
    lower.trim_end_matches(|c: char| !c.is_alphabetic())
}

/// Validates a display name, in the form in which texts are stored.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    let name = model::normalised(text);
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Err("must have 1..100 characters");
    }
    if !model::is_legible(&name) {
        return Err(model::ILLEGIBLE);
    }
    Ok(name.into_owned())
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
    fn names_that_look_equal_are_equal() {
        for (typed, stored) in [
            (" Ana Lima\u{a0}", "Ana Lima"),
            ("Jose\u{301}", "José"),
            ("\u{212b}sa", "Åsa"),
            (&"e\u{301}".repeat(100), &"é".repeat(100)),
        ] {
            assert_eq!(name(typed).unwrap(), stored);
        }
        for bad in ["", "\u{200b}", "\u{202e}anA", "A\nna", &"é".repeat(101)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_are_counted_and_compared_normalised() {
        assert!(PlaintextPassword::choose("kitten7").is_err());
        assert!(PlaintextPassword::choose("kittens7").is_ok());
        // Wide letters are the same ones in NFKC.
        assert!(PlaintextPassword::choose("\u{ff30}assword1").is_err());
        assert!(PlaintextPassword::choose(&"öä".repeat(128)).is_ok());
        assert!(PlaintextPassword::choose(&"o\u{308}a\u{308}".repeat(128)).is_ok());
        assert!(PlaintextPassword::choose(&"öäü".repeat(86)).is_err());
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
        assert!(is_common("Password!2026!") && is_common("jennifer77?"));
        assert!(!is_common("correct horse") && !is_common("8253918840"));
    }

    #[test]
    fn a_password_is_not_the_name_of_its_owner() {
        let email = Email::parse("Ana.Lima@example.org").unwrap();
        for bad in [
            "ana.lima@example.org",
            "ANA.LIMA",
            "ana.lima2026!",
            "Ana Lima",
            "ana lima!!",
        ] {
            let password = PlaintextPassword::attempt(bad);
            assert!(password.differ_from(&email, "Ana Lima").is_err(), "{bad}");
        }
        let other = PlaintextPassword::attempt("ana lima likes lamps");
        assert!(other.differ_from(&email, "Ana Lima").is_ok());
        for bad in ["aaaaaaaaaaaa", "ﬀﬀﬀﬀﬀﬀ", "        "] {
            assert!(PlaintextPassword::choose(bad).is_err(), "{bad}");
        }
    }
}
