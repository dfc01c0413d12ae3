//! Prices in request bodies.
//!
//! **Invariant:** a price that is read without a fault is not negative, within
//! [`Price::AMOUNT_MAX`], and in a currency in use.

use model::{Currency, Money};

use super::{Fields, ReadFields};

/// A price in a body: `fields.object::<Price>("price")`. An amount that was paid,
/// or that is counted from prices, is none: it may be above the highest price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price(pub Money);

impl Price {
    /// The highest price in minor units, far above any that is meant and far below one that
    /// sums of orders cannot hold.
    pub const AMOUNT_MAX: i64 = 1_000_000_000_000;
}

impl ReadFields for Price {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        const MAX: i64 = Price::AMOUNT_MAX;
        fields.require("amount");
        fields.require("currency");
        let amount = fields.parsed("amount", |amount: i64| match (0..=MAX).contains(&amount) {
            true => Ok(amount),
            false => Err(format!("must be 0..{MAX}, in minor units of the currency")),
        });
        let currency = fields.parsed("currency", |currency: Currency| {
            match currency.is_in_use() {
                true => Ok(currency),
                false => Err(format!(
                    "{currency} is not a currency in use; give an ISO 4217 code such as EUR"
                )),
            }
        });
        Some(Self(Money { amount: amount?, currency: currency? }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::BodyFault;

    struct Lamp(Price);

    impl ReadFields for Lamp {
        fn read(fields: &mut Fields<'_>) -> Option<Self> {
            fields.require("price");
            let price = fields.object("price");
            Some(Self(price?))
        }
    }

    #[test]
    fn a_price_is_one_that_can_be_paid() {
        for (price, pointers) in [
            (json!({ "amount": 0, "currency": "EUR" }), &[][..]),
            (
                json!({ "amount": Price::AMOUNT_MAX, "currency": "CLF" }),
                &[],
            ),
            (
                json!({ "amount": -1, "currency": "XXX" }),
                &["/price/amount", "/price/currency"],
            ),
            (
                json!({ "amount": Price::AMOUNT_MAX + 1, "currency": "EUR" }),
                &["/price/amount"],
            ),
            (
                json!({ "amount": 1.5, "currency": "eur" }),
                &["/price/amount", "/price/currency"],
            ),
            (json!({}), &["/price/amount", "/price/currency"]),
            (json!(null), &["/price"]),
        ] {
            let body = json!({ "price": price }).to_string();
            let faults = match Fields::read_text::<Lamp>(body.as_bytes()) {
                Ok(Lamp(Price(money))) => {
                    assert_eq!(json!(money), price);
                    Vec::new()
                }
                Err(BodyFault::Invalid(faults)) => faults,
                Err(BodyFault::Unreadable(why)) => panic!("{why}"),
            };
            let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{body}");
        }
    }
}
