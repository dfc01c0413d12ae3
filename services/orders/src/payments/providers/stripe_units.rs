//! Amounts in Stripe's units, which differ from the minor units of ISO 4217 for some currencies.
//!
//! After <https://docs.stripe.com/currencies>, "Zero-decimal currencies", "Three-decimal
//! currencies" and "Special cases", as of November 2026.

use model::{Currency, Money};

/// Currencies without decimals there: an amount is in major units.
const NO_DECIMALS: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];

/// Currencies with three decimals, the last of which must be 0.
const THREE_DECIMALS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// Currencies that had decimals once: an amount has two, and both must be 0.
const FORMER_DECIMALS: [&str; 2] = ["ISK", "UGX"];

/// The decimals of Stripe's amounts, and of what an amount must be a multiple.
fn unit(currency: Currency) -> (u32, i64) {
    let code = currency.to_string();
    let code = code.as_str();
    match code {
        _ if NO_DECIMALS.contains(&code) => (0, 1),
        _ if THREE_DECIMALS.contains(&code) => (3, 10),
        _ if FORMER_DECIMALS.contains(&code) => (2, 100),
        _ => (2, 1),
    }
}

/// The amount in Stripe's units.
///
/// # Errors
/// A sentence that says which amounts there are.
pub(super) fn to_units(amount: Money) -> Result<i64, String> {
    let (decimals, multiple) = unit(amount.currency);
    let units = rescale(amount.amount, amount.currency.minor_digits(), decimals);
    let units = units.filter(|units| units % multiple == 0);
    units.ok_or_else(|| {
        format!("{amount} cannot be paid by this method, which has larger units of the currency")
    })
}

/// The amount of so many of Stripe's units; `None` if that is no amount of the currency.
pub(super) fn of_units(units: i64, currency: &str) -> Option<Money> {
    let currency: Currency = currency.to_ascii_uppercase().parse().ok()?;
    let (decimals, _) = unit(currency);
    let amount = rescale(units, decimals, currency.minor_digits())?;
    Some(Money { amount, currency })
}

fn rescale(amount: i64, from: u32, to: u32) -> Option<i64> {
    if to >= from {
        return amount.checked_mul(10_i64.checked_pow(to - from)?);
    }
    let factor = 10_i64.checked_pow(from - to)?;
    (amount % factor == 0).then_some(amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_currency() {
        for (currency, amount, units) in [
            ("EUR", 1999, Some(1999)),
            ("HUF", 1045, Some(1045)),
            ("TWD", 500, Some(500)),
            ("JPY", 500, Some(500)),
            ("KRW", 1, Some(1)),
            // Ariary have two decimals by ISO 4217.
            ("MGA", 500, Some(5)),
            ("MGA", 505, None),
            ("KWD", 5120, Some(5120)),
            ("KWD", 5124, None),
            ("TND", 10, Some(10)),
            // Without decimals by ISO 4217, and with two that are 0 there.
            ("ISK", 5, Some(500)),
            ("UGX", 5, Some(500)),
            // Iraqi dinars have three decimals by ISO 4217 and two there.
            ("IQD", 1000, Some(100)),
            ("JPY", i64::MAX, Some(i64::MAX)),
            ("ISK", i64::MAX, None),
        ] {
            let money = Money { amount, currency: currency.parse().unwrap() };
            assert_eq!(to_units(money).ok(), units, "{currency} {amount}");
            if let Some(units) = units {
                let small = currency.to_ascii_lowercase();
                assert_eq!(of_units(units, &small), Some(money), "{currency}");
            }
        }
        assert_eq!(of_units(550, "isk"), None);
        assert_eq!(of_units(1, "euro"), None);
    }
}
