//! The charges of an order in its row, and its taxes.

use model::{Currency, Money, PromotionId, ShippingMethodId};
use pricing::{PriceBasis, TaxLine};
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::domain::{Charges, ChosenMethod, GivenCode};

/// Taxes within an order's row: more than a shop with usual goods has.
pub(in crate::tables) const TAX_LINES_OF_ROW: usize = 5;
/// Taxes of a further row; a name has at most 400 bytes.
pub(in crate::tables) const TAX_LINES_OF_PART: usize = 30;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChargesRow {
    #[serde(default, skip_serializing_if = "is_default")]
    discount: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    shipping: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    tax: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    has_net_prices: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    tax_lines: Vec<TaxLineRow>,
    #[serde(default, skip_serializing_if = "is_default")]
    codes: Vec<CodeRow>,
    #[serde(default, skip_serializing_if = "is_default")]
    promotions: Vec<PromotionId>,
    #[serde(default, skip_serializing_if = "is_default")]
    shipping_method: Option<MethodRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::tables) struct TaxLineRow {
    name: String,
    rate_bp: u32,
    net: i64,
    tax: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CodeRow {
    code: String,
    #[serde(default, skip_serializing_if = "is_default")]
    refusal: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MethodRow {
    id: ShippingMethodId,
    name: String,
}

impl From<&TaxLine> for TaxLineRow {
    fn from(line: &TaxLine) -> Self {
        let TaxLine { name, rate_bp, net, tax } = line.clone();
        Self { name, rate_bp, net: net.amount, tax: tax.amount }
    }
}

impl TaxLineRow {
    pub(in crate::tables) fn into_line(self, currency: Currency) -> TaxLine {
        let money = |amount| Money { amount, currency };
        let Self { name, rate_bp, net, tax } = self;
        TaxLine { name, rate_bp, net: money(net), tax: money(tax) }
    }
}

impl ChargesRow {
    /// The charges with the first taxes; `None` where there is nothing but the lines.
    pub(super) fn of(charges: &Charges) -> Option<Self> {
        let Charges {
            discount,
            shipping,
            tax,
            price_basis,
            tax_lines,
            codes,
            promotions,
            shipping_method,
        } = charges.clone();
        let code = |GivenCode { code, refusal }| CodeRow { code, refusal };
        let row = Self {
            discount,
            shipping,
            tax,
            has_net_prices: price_basis == PriceBasis::Net,
            tax_lines: tax_lines
                .iter()
                .take(TAX_LINES_OF_ROW)
                .map(TaxLineRow::from)
                .collect(),
            codes: codes.into_iter().map(code).collect(),
            promotions,
            shipping_method: shipping_method
                .map(|ChosenMethod { id, name }| MethodRow { id, name }),
        };
        (row != Self::default()).then_some(row)
    }

    pub(super) fn into_charges(self, currency: Currency) -> Charges {
        let Self {
            discount,
            shipping,
            tax,
            has_net_prices,
            tax_lines,
            codes,
            promotions,
            shipping_method,
        } = self;
        let tax_lines = tax_lines.into_iter().map(|line| line.into_line(currency));
        let code = |CodeRow { code, refusal }| GivenCode { code, refusal };
        Charges {
            discount,
            shipping,
            tax,
            price_basis: match has_net_prices {
                true => PriceBasis::Net,
                false => PriceBasis::Gross,
            },
            tax_lines: tax_lines.collect(),
            codes: codes.into_iter().map(code).collect(),
            promotions,
            shipping_method: shipping_method
                .map(|MethodRow { id, name }| ChosenMethod { id, name }),
        }
    }
}
