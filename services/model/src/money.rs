//! Amounts of money: integer minor units of one currency, checked arithmetic.
//!
//! **Invariant:** no operation wraps, rounds or mixes currencies; each returns
//! `None` instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 alphabetic code, `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The text is not three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is its ISO 4217 code, three capital letters such as EUR")]
pub struct NotACurrency;

impl Currency {
    /// The number of decimal digits of the minor unit by ISO 4217: 2 for EUR, 0 for JPY.
    /// A code that the standard does not list, or lists without a minor unit, has 2.
    pub fn minor_digits(self) -> u32 {
        self.listed()
            .and_then(iso_currency::Currency::exponent)
            .map_or(2, u32::from)
    }

    /// Whether prices can be in this currency: money that circulates, and the units of
    /// account CLF and UYW, in which prices are stated. Metals, funds, testing codes and
    /// currencies that were replaced are not in use.
    ///
    /// Reading a stored amount does not ask this: an older price may have any code.
    pub fn is_in_use(self) -> bool {
        use iso_currency::Currency as Listed;
        // `iso_currency` has VES as replaced by VED; the standard lists both as current.
        self.listed().is_some_and(|listed| {
            listed.flags().is_empty() || matches!(listed, Listed::CLF | Listed::UYW | Listed::VES)
        })
    }

    /// The sign that people write for it, such as `€`; some signs stand for several
    /// currencies.
    pub fn sign(self) -> Option<String> {
        let sign = self.listed()?.symbol().to_string();
        // The sign of no currency in particular.
        (sign != "¤").then_some(sign)
    }

    /// Every code that ISO 4217 lists, in use or not, in the order of the numeric codes.
    pub fn all() -> impl Iterator<Item = Self> {
        let listed = (0..1000).filter_map(iso_currency::Currency::from_numeric);
        listed.filter_map(|listed| listed.code().parse().ok())
    }

    fn listed(self) -> Option<iso_currency::Currency> {
        let code = std::str::from_utf8(&self.0).ok();
        code.and_then(iso_currency::Currency::from_code)
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| NotACurrency)?;
        if code.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(code))
        } else {
            Err(NotACurrency)
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = NotACurrency;

    fn try_from(text: String) -> Result<Self, NotACurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.to_string()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("three capital letters are text"))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount in minor units (cents) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units; `1999` is 19.99 EUR and 1999 JPY.
    pub amount: i64,
    /// The currency of the amount.
    pub currency: Currency,
}

impl Money {
    /// The amount zero of a currency.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: 0, currency }
    }

    /// The sum; `None` when currencies differ or it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let amount = self.amount.checked_add(other.amount)?;
        (self.currency == other.currency).then_some(Self { amount, ..self })
    }

    /// The amount `count` times; `None` when it does not fit.
    pub fn checked_mul(self, count: u32) -> Option<Self> {
        let amount = self.amount.checked_mul(count.into())?;
        Some(Self { amount, ..self })
    }

    /// The amount in major units, with all decimal digits of the currency: `19.99`.
    pub fn decimal(self) -> String {
        let sign = if self.amount < 0 { "-" } else { "" };
        let digits = self.currency.minor_digits() as usize;
        let amount = format!(
            "{:0>width$}",
            self.amount.unsigned_abs(),
            width = digits + 1
        );
        let (whole, part) = amount.split_at(amount.len() - digits);
        match part {
            "" => format!("{sign}{whole}"),
            part => format!("{sign}{whole}.{part}"),
        }
    }
}

/// As sentences for people have it: `20.00 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::{Currency, Money};

    #[test]
    fn people_read_major_units() {
        for (amount, currency, text) in [
            (2000, "EUR", "20.00 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-1999, "EUR", "-19.99 EUR"),
            (2500, "JPY", "2500 JPY"),
            (1234, "KWD", "1.234 KWD"),
            (0, "CLF", "0.0000 CLF"),
            (i64::MIN, "JPY", "-9223372036854775808 JPY"),
        ] {
            let money = Money { amount, currency: currency.parse().unwrap() };
            assert_eq!(money.to_string(), text);
        }
    }

    #[test]
    fn minor_digits_by_iso_4217() {
        for (digits, codes) in [
            (
                0,
                "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
            ),
            (2, "CHF COU EUR GBP HUF IDR MGA MRU SEK TWD USD UYU"),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
            (2, "ABC XAU XXX"),
        ] {
            for code in codes.split(' ') {
                let currency: Currency = code.parse().unwrap();
                assert_eq!(currency.minor_digits(), digits, "{code}");
            }
        }
    }

    #[test]
    fn metals_funds_and_replaced_codes_are_not_in_use() {
        for (is_in_use, codes) in [
            (true, "EUR USD JPY KWD XAF XCD XCG VED VES ZWG CLF UYW"),
            (false, "XXX XTS XAU XDR XUA BOV CHE COU MXV USN UYI"),
            (false, "AAA ZZZ DEM BGN HRK ZWL"),
        ] {
            for code in codes.split(' ') {
                let currency: Currency = code.parse().unwrap();
                assert_eq!(currency.is_in_use(), is_in_use, "{code}");
            }
        }
    }
}
