//! The number of an order, as people say it.
//!
//! Its value is counted (`numbers`); the prefix is the shop's, and may be another one for later
//! orders.
//!
//! **Invariant:** a prefix ends with no digit, so a number is read as it is written: the digits at
//! its end are the value.

use std::fmt;
use std::str::FromStr;

/// What people call an order by: the shop's prefix, and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderNumber {
    /// Ends with no digit.
    pub(crate) prefix: String,
    pub(crate) value: u64,
}

/// The text does not end with the digits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no number of an order")]
pub(crate) struct NotAnOrderNumber;

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, value } = self;
        write!(f, "{prefix}{value}")
    }
}

impl FromStr for OrderNumber {
    type Err = NotAnOrderNumber;

    fn from_str(text: &str) -> Result<Self, NotAnOrderNumber> {
        let prefix = text.trim_end_matches(|sign: char| sign.is_ascii_digit());
        let value = text[prefix.len()..].parse().map_err(|_| NotAnOrderNumber)?;
        Ok(Self { prefix: prefix.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_written() {
        for (text, prefix, value) in [("1001", "", 1001), ("A-7", "A-", 7), ("20/1", "20/", 1)] {
            let number: OrderNumber = text.parse().unwrap();
            assert_eq!((number.prefix.as_str(), number.value), (prefix, value));
            assert_eq!(number.to_string(), text);
        }
        for text in ["", "A-", "99999999999999999999", "1-a"] {
            assert_eq!(text.parse::<OrderNumber>(), Err(NotAnOrderNumber), "{text}");
        }
    }
}
