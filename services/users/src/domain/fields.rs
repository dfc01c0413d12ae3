//! Validated fields of an account: format and length limits.
//!
//! A new address or password is checked more strictly than one that is looked up or verified,
//! so that accounts from before a rule can still log in.
//!
//! **Invariant:** two spellings of an address, in another case or with the domain in another
//! form (RFC 5891), have the same [`Email::key`]; two spellings of a password that are equal in
//! NFKC are the same password.

use std::collections::HashSet;
use std::sync::LazyLock;

use chassis::Role;
use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, UnicodeScript};

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

    /// Parses an address that an account is to have: its domain is a valid one (UTS 46), and
    /// neither of its parts mixes alphabets that look alike.
    pub(crate) fn choose(text: &str) -> Result<Self, &'static str> {
        let email = Self::parse(text)?;
        let (local, domain) = email.parts();
        let (shown, valid) = idna::domain_to_unicode(domain);
        if valid.is_err() {
            return Err("must have a valid domain, such as example.org or bücher.example");
        }
        if mixes_scripts(local) || shown.split('.').any(mixes_scripts) {
            return Err("must not mix Latin, Cyrillic and Greek letters, which look alike");
        }
        match domain.is_ascii() {
            true => Ok(email),
            false => Ok(Self(format!("{local}@{shown}"))),
        }
    }

    /// The form in which addresses are compared: lower case, the domain in A-labels.
    pub(crate) fn key(&self) -> String {
        let (local, domain) = self.parts();
        match idna::domain_to_ascii(domain) {
            Ok(domain) => format!("{}@{domain}", local.to_lowercase()),
            Err(_) => self.0.to_lowercase(),
        }
    }

    /// The forms under which earlier versions may have indexed the address; they differ from
    /// [`Self::key`] only for domains beyond ASCII.
    pub(crate) fn former_keys(&self) -> [String; 2] {
        let (local, domain) = self.parts();
        let (unicode, _) = idna::domain_to_unicode(domain);
        [
            self.0.to_lowercase(),
            format!("{local}@{unicode}").to_lowercase(),
        ]
    }

    /// The address as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }

    /// The part before the `@`: the default name.
    pub(super) fn local_part(&self) -> &str {
        self.parts().0
    }
}

impl std::fmt::Display for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn mixes_scripts(text: &str) -> bool {
    let alike = [Script::Latin, Script::Cyrillic, Script::Greek];
    let is_used = |script: &Script| text.chars().any(|c| c.script() == *script);
    alike.iter().filter(|script| is_used(script)).count() > 1
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
        let (local, _) = email.parts();
        match [email.0.as_str(), local, name].into_iter().any(is_same) {
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
        assert_eq!(
            key("ana@B\u{dc}CHER.example"),
            key("ana@xn--bcher-kva.example")
        );
        assert_eq!(key("ana@ex\u{ff41}mple.com"), key("ana@example.com"));
    }

    #[test]
    fn chosen_addresses_look_like_no_other() {
        for (good, shown) in [
            ("ana@b\u{fc}cher.example", "ana@b\u{fc}cher.example"),
            ("ana@ex\u{ff41}mple.com", "ana@example.com"),
            (
                "\u{43f}\u{43e}\u{447}\u{442}\u{430}@\u{43f}\u{43e}\u{447}\u{442}\u{430}.com",
                "\u{43f}\u{43e}\u{447}\u{442}\u{430}@\u{43f}\u{43e}\u{447}\u{442}\u{430}.com",
            ),
        ] {
            assert_eq!(Email::choose(good).unwrap().to_string(), shown);
        }
        for bad in [
            // Cyrillic and Greek letters among Latin ones.
            "v\u{456}ctim@example.org",
            "victim@ex\u{430}mple.org",
            "vict\u{3b9}m@example.org",
            "ana@xn--a.example",
        ] {
            assert!(Email::choose(bad).is_err(), "{bad}");
            assert!(Email::parse(bad).is_ok(), "{bad} may have an account");
        }
    }

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
