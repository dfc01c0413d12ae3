//! A product from CSV cells: fields collected, the price converted to minor units.
//!
//! **Invariant:** a draft is validated by the same rules as a JSON submission.

use chassis::FieldError;
use chassis::fields::BodyFault;
use model::Currency;
use serde_json::{Map, Value, json};

use crate::submission::{self, Submission};

/// The fields of a product as cells give them.
pub(super) struct ProductDraft {
    fields: Map<String, Value>,
    attributes: Map<String, Value>,
    /// Decimal, as written.
    pub(super) price: Option<String>,
    currency: Currency,
    faults: Vec<FieldError>,
}

impl ProductDraft {
    pub(super) fn new(currency: Currency) -> Self {
        Self {
            fields: Map::new(),
            attributes: Map::new(),
            price: None,
            currency,
            faults: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        self.attributes.insert(name.to_owned(), value.into());
    }

    pub(super) fn currency(&mut self, cell: &str) {
        match cell.parse() {
            Ok(currency) => self.currency = currency,
            Err(error) => self.fault("/price/currency", format!("{cell:?}: {error}")),
        }
    }

    pub(super) fn stock(&mut self, cell: &str) {
        match cell.parse::<i64>() {
            Ok(pieces) => self.set("stock", pieces.into()),
            Err(_) => self.fault("/stock", format!("{cell:?} is no whole number")),
        }
    }

    fn fault(&mut self, pointer: &str, detail: String) {
        self.faults.push(FieldError::new(pointer, detail));
    }

    /// Validates the product by the rules of a JSON submission.
    pub(super) fn read(mut self) -> Result<Submission, BodyFault> {
        if let Some(price) = self.price.take() {
            let amount = minor_units(&price, self.currency);
            if amount.is_none() {
                let detail = format!("{price:?} is no amount of {} such as 19.99", self.currency);
                self.fault("/price/amount", detail);
            }
            let currency = self.currency.to_string();
            self.set(
                "price",
                json!({ "amount": amount.unwrap_or(0), "currency": currency }),
            );
        }
        let Self { mut fields, attributes, mut faults, .. } = self;
        fields.insert("attributes".into(), attributes.into());
        match submission::read(Value::Object(fields).to_string().as_bytes()) {
            Ok(submission) if faults.is_empty() => Ok(submission),
            Ok(_) => Err(BodyFault::Invalid(faults)),
            Err(BodyFault::Invalid(more)) => {
                faults.extend(more);
                Err(BodyFault::Invalid(faults))
            }
            Err(unreadable) => Err(unreadable),
        }
    }
}

/// `19.99` in minor units of its currency; `None` for anything else than digits
/// with at most one point, and for parts of a minor unit.
fn minor_units(text: &str, currency: Currency) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let digits_max = currency.minor_digits() as usize;
    let part = part.trim_end_matches('0');
    if part.len() > digits_max {
        return None;
    }
    format!("{whole}{part:0<digits_max$}").parse().ok()
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
            ("1.2345", "CLF", Some(12_345)),
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
