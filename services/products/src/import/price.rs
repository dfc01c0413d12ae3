//! Prices as people write them, in minor units.
//!
//! **Invariant:** a text that can mean two amounts is refused: `1.500` and `1,500` are one and
//! a half in one country and fifteen hundred in another.

use model::Currency;

/// Digits of a group of thousands.
const GROUP_DIGITS: usize = 3;

/// The currency that a price names itself, as `19.99 USD` and `€12` do. A sign of several
/// currencies, such as `$`, names none.
pub(super) fn currency(text: &str) -> Option<Currency> {
    let (affix, _) = split_affix(text)?;
    if let Ok(code) = affix.to_ascii_uppercase().parse::<Currency>()
        && code.is_in_use()
    {
        return Some(code);
    }
    let mut signed = Currency::all()
        .filter(|currency| currency.is_in_use() && currency.sign().as_deref() == Some(affix));
    signed.next().filter(|_| signed.next().is_none())
}

/// An amount in minor units of its currency.
///
/// # Errors
/// Why the text is no such amount, in words.
pub(super) fn minor_units(text: &str, currency: Currency) -> Result<i64, String> {
    let number = match split_affix(text) {
        None => text.trim(),
        Some((affix, number)) if is_affix_of(affix, currency) => number,
        Some(_) => {
            return Err(format!(
                "{text:?} is no amount of {currency}, which is the currency of this price"
            ));
        }
    };
    let digits_max = currency.minor_digits() as usize;
    let (whole, part) = decimal(number, digits_max).map_err(|why| match why {
        NotDecimal::Ambiguous => format!(
            "{text:?} can mean two amounts; write it without separators of thousands, such as 1500 or 1500.00"
        ),
        NotDecimal::NoNumber => format!("{text:?} is no amount of {currency} such as {}", example(digits_max)),
    })?;
    let part = part.trim_end_matches('0');
    if part.len() > digits_max {
        return Err(format!(
            "{text:?} has parts of a minor unit; {currency} has {digits_max} decimal digits"
        ));
    }
    let units = format!("{whole}{part:0<digits_max$}");
    units.parse().map_err(|_| format!("{text:?} is too large"))
}

fn example(digits: usize) -> String {
    match digits {
        0 => "1500".into(),
        digits => format!("19.{:9<digits$}", ""),
    }
}

enum NotDecimal {
    NoNumber,
    Ambiguous,
}

/// The sign or code before or behind a number, and the number.
fn split_affix(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let is_of_number = |c: char| c.is_ascii_digit() || ".,-+".contains(c);
    let first = text.find(is_of_number)?;
    let last = text.rfind(|c: char| c.is_ascii_digit())?;
    let end = last
        + 1
        + text[last + 1..]
            .find(|c: char| !".,".contains(c))
            .unwrap_or(text.len() - last - 1);
    let (before, behind) = (text[..first].trim(), text.get(end..)?.trim());
    let number = text.get(first..end)?;
    match (before, behind) {
        ("", "") => None,
        (affix, "") | ("", affix) => Some((affix, number)),
        _ => Some((text, number)),
    }
}

fn is_affix_of(affix: &str, currency: Currency) -> bool {
    affix.eq_ignore_ascii_case(&currency.to_string()) || currency.sign().as_deref() == Some(affix)
}

/// The digits before and after the decimal separator.
fn decimal(number: &str, digits_max: usize) -> Result<(String, &str), NotDecimal> {
    let is_separator = |c: char| matches!(c, '.' | ',' | '\'' | '’') || c.is_whitespace();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let separators: Vec<(usize, char)> = number
        .char_indices()
        .filter(|(_, c)| is_separator(*c))
        .collect();
    let Some(&(at, last)) = separators.last() else {
        return if !number.is_empty() && digits(number) {
            Ok((number.to_owned(), ""))
        } else {
            Err(NotDecimal::NoNumber)
        };
    };
    let (before, part) = (&number[..at], &number[at + last.len_utf8()..]);
    if !digits(part) || (before.is_empty() && part.is_empty()) {
        return Err(NotDecimal::NoNumber);
    }
    let others = &separators[..separators.len() - 1];
    let is_point = matches!(last, '.' | ',') && others.iter().all(|(_, other)| *other != last);
    let is_group = part.len() == GROUP_DIGITS;
    if others.is_empty() && is_point {
        if !digits(before) {
            return Err(NotDecimal::NoNumber);
        }
        let could_be_group =
            is_group && (1..=GROUP_DIGITS).contains(&before.len()) && !before.starts_with('0');
        return match (could_be_group, last) {
            (false, _) => Ok((before.to_owned(), part)),
            // A minor unit with three digits is written with them.
            (true, '.') if digits_max == GROUP_DIGITS => Ok((before.to_owned(), part)),
            // A currency without minor units has nothing behind a decimal separator.
            (true, ',') if digits_max == 0 => Ok((format!("{before}{part}"), "")),
            (true, _) => Err(NotDecimal::Ambiguous),
        };
    }
    if is_point {
        Ok((groups(before)?, part))
    } else {
        Ok((groups(number)?, ""))
    }
}

/// The digits of a number whose thousands are separated by one character.
fn groups(number: &str) -> Result<String, NotDecimal> {
    let Some(separator) = number.chars().find(|c| !c.is_ascii_digit()) else {
        return Err(NotDecimal::NoNumber);
    };
    let mut groups = number.split(separator);
    let first = groups.next().unwrap_or_default();
    let is_first = (1..=GROUP_DIGITS).contains(&first.len());
    let all_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    if is_first
        && all_digits(first)
        && groups.all(|group| group.len() == GROUP_DIGITS && all_digits(group))
    {
        Ok(number.replace(separator, ""))
    } else {
        Err(NotDecimal::NoNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_as_people_write_them() {
        for (text, code, expected) in [
            ("19.99", "EUR", Some(1999)),
            ("19.9", "EUR", Some(1990)),
            ("19", "EUR", Some(1900)),
            ("19.", "EUR", Some(1900)),
            ("0.00", "EUR", Some(0)),
            ("19.9900", "EUR", Some(1999)),
            (".50", "USD", Some(50)),
            ("24,90", "EUR", Some(2490)),
            ("24,9", "EUR", Some(2490)),
            ("0,500", "EUR", Some(50)),
            ("1.299,00", "EUR", Some(129_900)),
            ("1,299.00", "USD", Some(129_900)),
            ("1'299.00", "CHF", Some(129_900)),
            ("1\u{202f}299,00", "EUR", Some(129_900)),
            ("1 299", "SEK", Some(129_900)),
            ("1.299.000", "EUR", Some(129_900_000)),
            ("1,234,567.89", "USD", Some(123_456_789)),
            ("$19.99", "USD", Some(1999)),
            ("19.99 usd", "USD", Some(1999)),
            ("€12", "EUR", Some(1200)),
            ("12,50\u{a0}€", "EUR", Some(1250)),
            (" 12.00\u{a0}", "EUR", Some(1200)),
            ("1500.00", "JPY", Some(1500)),
            ("1,500", "JPY", Some(1500)),
            ("1.234", "KWD", Some(1234)),
            ("1.2345", "CLF", Some(12_345)),
            // They can mean two amounts.
            ("1.500", "EUR", None),
            ("1,500", "EUR", None),
            ("1,500", "KWD", None),
            ("1.500", "JPY", None),
            // They are in another currency.
            ("$19.99", "EUR", None),
            ("19.99 USD", "EUR", None),
            ("$19.99 USD", "USD", None),
            // They are none.
            ("1.5", "JPY", None),
            ("19.989999999999998", "USD", None),
            ("1.2345", "KWD", None),
            ("1E+03", "USD", None),
            ("-5", "USD", None),
            ("1,2,3", "USD", None),
            ("1.23,456.78", "USD", None),
            ("12 34", "USD", None),
            ("", "EUR", None),
            (".", "EUR", None),
            ("€", "EUR", None),
            ("free", "EUR", None),
            ("99999999999999999999", "EUR", None),
        ] {
            let price = minor_units(text, code.parse().unwrap());
            assert_eq!(price.clone().ok(), expected, "{text:?} {code}: {price:?}");
        }
    }

    #[test]
    fn a_price_may_name_its_currency() {
        for (text, expected) in [
            ("19.99 USD", Some("USD")),
            ("chf 5", Some("CHF")),
            ("€12", Some("EUR")),
            ("12 zł", Some("PLN")),
            ("$19.99", None),
            ("¥100", None),
            ("5 XXX", None),
            ("19.99", None),
        ] {
            let expected = expected.map(|code| code.parse::<Currency>().unwrap());
            assert_eq!(currency(text), expected, "{text}");
        }
    }
}
