//! Prices as people write them: decimal, in the currency's major unit.

use model::Currency;

/// How many decimals a currency has (ISO 4217, "minor unit"); two for most.
fn decimals(currency: Currency) -> usize {
    match currency.to_string().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// `19.99` in minor units of its currency; `None` for anything else than digits
/// with at most one point, and for parts of a minor unit.
pub(super) fn minor_units(text: &str, currency: Currency) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let decimals = decimals(currency);
    let part = part.trim_end_matches('0');
    if part.len() > decimals {
        return None;
    }
    format!("{whole}{part:0<decimals$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::minor_units;

    #[test]
    fn decimal_prices() {
        for (text, currency, expected) in [
            ("19.99", "EUR", Some(1999)),
            ("19.9", "EUR", Some(1990)),
            ("19", "EUR", Some(1900)),
            ("0.00", "EUR", Some(0)),
            ("1500.00", "JPY", Some(1500)),
            ("1.234", "KWD", Some(1234)),
            ("1.999", "EUR", None),
            ("1.5", "JPY", None),
            ("1,50", "EUR", None),
            ("-1", "EUR", None),
            (".5", "EUR", None),
            ("", "EUR", None),
            ("99999999999999999999", "EUR", None),
        ] {
            let price = minor_units(text, currency.parse().unwrap());
            assert_eq!(price, expected, "{text} {currency}");
        }
    }
}
