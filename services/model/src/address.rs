//! Postal addresses and the countries they are in.
//!
//! **Invariant:** an address in an event or a log line would be personal data there, so none
//! is: it lies with the account or the order it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A postal address, for shipping or billing. On the wire and in stored rows alike
/// an optional field that is absent is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Of the person, as it stands on the parcel.
    pub name: String,
    /// The company, if it goes to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Street and number, or whatever stands first.
    pub line1: String,
    /// Flat, floor, or whatever stands second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    /// Absent where a country has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The city or village.
    pub city: String,
    /// State, province or prefecture, in the words of the country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The country.
    pub country: Country,
    /// A number that the carrier can call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Address {
    /// Most characters of one field.
    pub const FIELD_CHARS_MAX: usize = 200;
    /// Most bytes of all fields together, so that an order with two addresses fits a row.
    pub const BYTES_MAX: usize = 2048;

    /// The bytes of all fields together, in UTF-8.
    pub fn len_bytes(&self) -> usize {
        let Self {
            name,
            company,
            line1,
            line2,
            postal_code,
            city,
            region,
            country: Country(country),
            phone,
        } = self;
        let required = [name, line1, city].map(String::len).iter().sum::<usize>();
        let optional = [company, line2, postal_code, region, phone];
        let optional = optional.into_iter().flatten().map(String::len);
        required + optional.sum::<usize>() + country.len()
    }
}

/// An ISO 3166-1 alpha-2 code, `DE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

/// The text is not the code of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the ISO 3166-1 code of a country, two letters such as DE")]
pub struct NotACountry;

impl Country {
    /// Whether ISO 3166-1 lists the code.
    ///
    /// Reading a stored code does not ask this: countries come to an end, and their rows stay
    /// readable.
    pub fn is_listed(self) -> bool {
        let [first, second] = self.0;
        let seconds = LISTED.get(usize::from(first.wrapping_sub(b'A')));
        seconds.is_some_and(|seconds| seconds.as_bytes().contains(&second))
    }

    /// Every country that ISO 3166-1 lists, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (b'A'..=b'Z')
            .zip(LISTED)
            .flat_map(|(first, seconds)| seconds.bytes().map(move |second| Self([first, second])))
    }

    /// Two letters, capitalised.
    fn of_letters(text: &str) -> Result<Self, NotACountry> {
        let code: [u8; 2] = text.as_bytes().try_into().map_err(|_| NotACountry)?;
        match code.iter().all(u8::is_ascii_alphabetic) {
            true => Ok(Self(code.map(|letter| letter.to_ascii_uppercase()))),
            false => Err(NotACountry),
        }
    }
}

/// The second letters of the codes of ISO 3166-1, under their first ones from A to Z.
const LISTED: [&str; 26] = [
    "DEFGILMOQRSTUWXZ",
    "ABDEFGHIJLMNOQRSTVWYZ",
    "ACDFGHIKLMNORUVWXYZ",
    "EJKMOZ",
    "CEGHRST",
    "IJKMOR",
    "ABDEFGHILMNPQRSTUWY",
    "KMNRTU",
    "DELMNOQRST",
    "EMOP",
    "EGHIMNPRWYZ",
    "ABCIKRSTUVY",
    "ACDEFGHKLMNOPQRSTUVWXYZ",
    "ACEFGILOPRUZ",
    "M",
    "AEFGHKLMNRSTWY",
    "A",
    "EOSUW",
    "ABCDEGHIJKLMNORSTVXYZ",
    "CDFGHJKLMNORTVWZ",
    "AGMSYZ",
    "ACEGINU",
    "FS",
    "",
    "ET",
    "AMW",
];

/// Reads a code that a person or a program wrote, in capitals or not; it must be listed.
impl FromStr for Country {
    type Err = NotACountry;

    fn from_str(text: &str) -> Result<Self, NotACountry> {
        let country = Self::of_letters(text)?;
        if country.is_listed() {
            Ok(country)
        } else {
            Err(NotACountry)
        }
    }
}

/// Reads a stored code.
impl TryFrom<String> for Country {
    type Error = NotACountry;

    fn try_from(text: String) -> Result<Self, NotACountry> {
        Self::of_letters(&text)
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("two capital letters are text"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_those_of_iso_3166_1() {
        for (code, read) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            ("Jp", Some("JP")),
            ("SS", Some("SS")),
            ("ZW", Some("ZW")),
            // Used by some programs, and not listed.
            ("UK", None),
            ("EL", None),
            ("XK", None),
            ("EU", None),
            ("AN", None),
            ("DEU", None),
            ("D", None),
            ("", None),
            ("D ", None),
            ("ß", None),
            ("Germany", None),
        ] {
            let country: Option<Country> = code.parse().ok();
            let country = country.map(|country| country.to_string());
            assert_eq!(country.as_deref(), read, "{code:?}");
        }
        let all: Vec<_> = Country::all().collect();
        assert_eq!(all.len(), 249);
        assert!(all.is_sorted() && all.iter().all(|country| country.is_listed()));
    }

    #[test]
    fn a_country_that_came_to_an_end_is_read_back() {
        let country: Country = serde_json::from_str("\"AN\"").unwrap();
        assert!(!country.is_listed());
        assert_eq!(serde_json::to_string(&country).unwrap(), "\"AN\"");
        assert!(serde_json::from_str::<Country>("\"A1\"").is_err());
    }
}
