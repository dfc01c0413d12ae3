//! What an order charges besides its lines: discounts, shipping and tax.

use model::{Money, PromotionId, ShippingMethodId};
use pricing::{PriceBasis, TaxLine};

use super::{Order, OrderLine};

/// The charges of an order. By default there is nothing but the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charges {
    /// What promotions take off the lines, in minor units, as all amounts here.
    pub(crate) discount: i64,
    pub(crate) shipping: i64,
    /// With gross prices a part of the other sums.
    pub(crate) tax: i64,
    pub(crate) price_basis: PriceBasis,
    /// The tax of each rate.
    pub(crate) tax_lines: Vec<TaxLine>,
    /// The buyer's codes.
    pub(crate) codes: Vec<GivenCode>,
    /// The promotions of which it spends a use each.
    pub(crate) promotions: Vec<PromotionId>,
    pub(crate) shipping_method: Option<ChosenMethod>,
}

impl Default for Charges {
    fn default() -> Self {
        Self {
            discount: 0,
            shipping: 0,
            tax: 0,
            price_basis: PriceBasis::Gross,
            tax_lines: Vec::new(),
            codes: Vec::new(),
            promotions: Vec::new(),
            shipping_method: None,
        }
    }
}

/// A code that the buyer gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenCode {
    /// As they gave it.
    pub(crate) code: String,
    /// Why it does not apply; `None` if it does.
    pub(crate) refusal: Option<String>,
}

/// The shipping method of an order, as it was named then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenMethod {
    pub(crate) id: ShippingMethodId,
    pub(crate) name: String,
}

impl OrderLine {
    /// What the buyer pays for it: with the discount, and with the tax.
    pub(crate) fn charged(&self, basis: PriceBasis) -> i64 {
        let added = match basis {
            PriceBasis::Gross => 0,
            PriceBasis::Net => self.tax,
        };
        self.line_total.amount - self.discount + added
    }
}

impl Order {
    /// The sum of its lines before discounts.
    pub(crate) fn items_total(&self) -> Money {
        let lines = self.lines.iter().map(|line| line.line_total.amount);
        Money { amount: lines.sum(), ..self.total }
    }
}
