//! E-mail addresses of people.
//!
//! A new address is checked more strictly than one that is looked up, so that accounts from
//! before a rule can still log in.
//!
//! **Invariant:** two spellings of an address, in another case or with the domain in another
//! form (RFC 5891), have the same [`Email::key`].

use std::fmt;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, UnicodeScript};

/// How many characters are normalised. Composition merges at most four into one, so a
/// longer text exceeds [`BYTES_MAX`] anyway.
const TYPED_CHARS_MAX: usize = 2048;
/// Bytes of an address (RFC 5321 §4.5.3.1.3).
const BYTES_MAX: usize = 254;

/// An e-mail address as its owner writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Parses a practical address: RFC 5321 without quoted local parts,
    /// address literals and display names; the domain has a dot or is `localhost`.
    ///
    /// # Errors
    /// What it must be, for the person who typed it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let options = Options::default()
            .with_no_minimum_sub_domains()
            .without_domain_literal()
            .without_display_text();
        let typed = text.trim().chars().take(TYPED_CHARS_MAX);
        let text: String = typed.nfc().take(BYTES_MAX + 1).collect();
        let fits = text.len() <= BYTES_MAX && !text.contains(['"', ' ']);
        let address = fits.then(|| EmailAddress::parse_with_options(&text, options));
        match address {
            Some(Ok(address)) if is_reachable(address.domain()) => Ok(Self(text)),
            _ => Err("must be an e-mail address such as ana@example.org, of at most 254 bytes"),
        }
    }

    /// Parses an address that mail is to be sent to from now on. Its local part is ASCII, because
    /// mail servers without SMTPUTF8 (RFC 6531) take no other, and the shop cannot know which
    /// ones stand on the way. Its domain, which is sent in A-labels, is a valid one (UTS 46) and
    /// mixes no alphabets that look alike.
    ///
    /// # Errors
    /// As [`Email::parse`].
    pub fn choose(text: &str) -> Result<Self, &'static str> {
        let email = Self::parse(text)?;
        let (local, domain) = email.parts();
        if !local.is_ascii() {
            return Err(
                "must have only letters a to z, digits and ASCII signs before the @; many mail servers deliver to no other",
            );
        }
        let (shown, valid) = idna::domain_to_unicode(domain);
        if valid.is_err() {
            return Err("must have a valid domain, such as example.org or bücher.example");
        }
        if shown.split('.').any(mixes_scripts) {
            return Err("must not mix Latin, Cyrillic and Greek letters, which look alike");
        }
        match domain.is_ascii() {
            true => Ok(email),
            false => Ok(Self(format!("{local}@{shown}"))),
        }
    }

    /// The form in which addresses are compared: lower case, the domain in A-labels.
    pub fn key(&self) -> String {
        let (local, domain) = self.parts();
        match idna::domain_to_ascii(domain) {
            Ok(domain) => format!("{}@{domain}", local.to_lowercase()),
            Err(_) => self.0.to_lowercase(),
        }
    }

    /// The forms under which earlier versions may have indexed the address; they differ from
    /// [`Self::key`] only for domains beyond ASCII.
    pub fn former_keys(&self) -> [String; 2] {
        let (local, domain) = self.parts();
        let (unicode, _) = idna::domain_to_unicode(domain);
        [
            self.0.to_lowercase(),
            format!("{local}@{unicode}").to_lowercase(),
        ]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn practical_addresses() {
        for good in [
            "ana@example.org",
            " Ana.Lima+shop@Mail.Example.org ",
            "a+b.c@sub.bücher.example",
            "admin@localhost",
            &format!("{}@example.org", "a".repeat(64)),
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
            assert!(Email::choose(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ana",
            "ana@",
            "@example.org",
            "ana@example",
            "ana@.org",
            "ana@example..org",
            "ana@@example.org",
            "a@b@example.org",
            "ana lima@example.org",
            "ana\n@example.org",
            "\"ana lima\"@example.org",
            "Ana <ana@example.org>",
            "<ana@example.org>",
            "ana@[127.0.0.1]",
            "ana@example.org\r\nBcc: all@example.org",
            "a..b@example.org",
            &format!("ana@{}.org", "example.".repeat(40)),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
            assert!(Email::choose(bad).is_err(), "{bad}");
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
    fn chosen_addresses_take_mail_and_look_like_no_other() {
        for (good, shown) in [
            ("ana@b\u{fc}cher.example", "ana@b\u{fc}cher.example"),
            ("ana@ex\u{ff41}mple.com", "ana@example.com"),
            (
                "post@\u{43f}\u{43e}\u{447}\u{442}\u{430}.com",
                "post@\u{43f}\u{43e}\u{447}\u{442}\u{430}.com",
            ),
        ] {
            assert_eq!(Email::choose(good).unwrap().to_string(), shown);
        }
        for (bad, why) in [
            ("jos\u{e9}@exemplo.pt", "before the @"),
            ("\u{43f}\u{43e}\u{447}\u{442}\u{430}@x.ru", "before the @"),
            // A Cyrillic letter among Latin ones.
            ("v\u{456}ctim@example.org", "before the @"),
            ("victim@ex\u{430}mple.org", "look alike"),
            ("ana@xn--a.example", "valid domain"),
        ] {
            let refusal = Email::choose(bad).unwrap_err();
            assert!(refusal.contains(why), "{bad}: {refusal}");
            assert!(Email::parse(bad).is_ok(), "{bad} may have an account");
        }
    }
}
