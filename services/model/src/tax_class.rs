//! Tax classes: the names by which products and shipping are grouped for tax.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The class of what names none.
const STANDARD: &str = "standard";
/// Most letters of a name.
const CHARS_MAX: usize = 40;

/// The name of a group of products that are taxed alike, such as `standard` or `reduced`. Which
/// rate a class has in which country is the shop's to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaxClass(Cow<'static, str>);

/// The text is no name of a tax class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1..40 of the letters a to z, digits, `-` and `_`, such as `reduced`")]
pub struct NotATaxClass;

impl TaxClass {
    /// Whether it is that of what names none.
    pub fn is_standard(&self) -> bool {
        self.0 == STANDARD
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TaxClass {
    fn default() -> Self {
        Self(Cow::Borrowed(STANDARD))
    }
}

impl FromStr for TaxClass {
    type Err = NotATaxClass;

    fn from_str(text: &str) -> Result<Self, NotATaxClass> {
        if text == STANDARD {
            return Ok(Self::default());
        }
        let is_part = |sign: u8| matches!(sign, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        match (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(is_part) {
            true => Ok(Self(Cow::Owned(text.to_owned()))),
            false => Err(NotATaxClass),
        }
    }
}

impl TryFrom<String> for TaxClass {
    type Error = NotATaxClass;

    fn try_from(text: String) -> Result<Self, NotATaxClass> {
        text.parse()
    }
}

impl From<TaxClass> for String {
    fn from(class: TaxClass) -> Self {
        class.0.into_owned()
    }
}

impl fmt::Display for TaxClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tax_classes() {
        for good in [
            "standard",
            "reduced",
            "food_7",
            "zero-rate",
            &"a".repeat(40),
        ] {
            let class: TaxClass = good.parse().unwrap();
            assert_eq!(class.to_string(), good);
            assert_eq!(class.is_standard(), good == "standard");
        }
        for bad in ["", "Reduced", "zero rate", "größe", "a.b", &"a".repeat(41)] {
            assert!(bad.parse::<TaxClass>().is_err(), "{bad}");
        }
        assert!(TaxClass::default().is_standard());
    }
}
