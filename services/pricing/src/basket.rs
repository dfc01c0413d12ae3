//! The input of pricing: what is bought, where it goes, and the shop's terms.
//!
//! **Invariant:** a basket that passes [`Goods::new`] is within the limits below, so that no
//! later sum or product leaves an `i128`.

use model::{Country, Currency, Money, ProductId, TaxClass};

use crate::shop::{Promotion, ShippingMethod, TaxRate};

/// Lines of a basket.
pub const LINES_MAX: usize = 100;
/// Units of one line.
pub const QUANTITY_MAX: u32 = 1000;
/// Codes that a buyer may give.
pub const CODES_MAX: usize = 10;
/// The largest amount of a basket in minor units, 2⁵³ − 1: a client whose numbers are doubles,
/// as those of JavaScript are, reads every smaller one as it is.
pub const AMOUNT_MAX: i64 = (1 << 53) - 1;

/// What somebody wants to buy.
#[derive(Debug, Clone)]
pub struct Basket<'a> {
    /// The currency of every price.
    pub currency: Currency,
    /// At most [`LINES_MAX`], each product once.
    pub lines: Vec<BasketLine<'a>>,
    /// Where it goes; `None` counts as somewhere in the home country.
    pub ship_to: Option<ShipTo<'a>>,
    /// The chosen method.
    pub shipping_method: Option<&'a ShippingMethod>,
    /// The buyer's codes as they gave them, at most [`CODES_MAX`].
    pub codes: &'a [String],
}

/// A line of a basket.
#[derive(Debug, Clone)]
pub struct BasketLine<'a> {
    /// The product.
    pub product_id: ProductId,
    /// Units of it, at most [`QUANTITY_MAX`].
    pub quantity: u32,
    /// The price of one unit.
    pub unit_price: Money,
    /// Its tax class.
    pub tax_class: &'a TaxClass,
    /// Grams of one unit.
    pub weight_g: u32,
    /// Whether it is sent at all; a download is not.
    pub requires_shipping: bool,
    /// The paths of its categories, `Home > Lighting`.
    pub categories: Vec<&'a str>,
}

/// The parts of an address that decide about shipping and tax.
#[derive(Debug, Clone, Copy)]
pub struct ShipTo<'a> {
    /// The country.
    pub country: Country,
    /// State or province, compared without case.
    pub region: Option<&'a str>,
    /// The postal code, as written.
    pub postal_code: Option<&'a str>,
}

/// The shop's terms of sale.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Whether prices include tax.
    pub price_basis: PriceBasis,
    /// Where the shop is; what is picked up, or goes nowhere yet, is taxed there.
    pub home_country: Country,
    /// What decides the tax of shipping.
    pub shipping_taxed_by: ShippingTaxedBy,
    /// In any order; of the other countries' only those of the destination matter.
    pub tax_rates: &'a [TaxRate],
    /// Every automatic promotion, and those of the buyer's codes.
    pub promotions: &'a [Promotion],
}

/// Whether prices include tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceBasis {
    /// Prices include tax.
    Gross,
    /// Tax is added to prices.
    Net,
}

/// What decides the tax of shipping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippingTaxedBy {
    /// The method's tax class.
    Method,
    /// The goods: shipping is spread over their rates by what they cost, or where that is nothing
    /// by their value before discounts.
    Goods,
}

/// Why a basket has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// More than [`LINES_MAX`].
    #[error("has more than {LINES_MAX} lines")]
    TooManyLines,
    /// A quantity beyond [`QUANTITY_MAX`] or of zero; the place of the line.
    #[error("line {0}: a quantity is 1..{QUANTITY_MAX}")]
    Quantity(usize),
    /// A product has two lines; the place of one.
    #[error("line {0}: its product has another line")]
    RepeatedProduct(usize),
    /// A price is not in the basket's currency; the place of the line.
    #[error("line {0}: all prices must have one currency")]
    MixedCurrencies(usize),
    /// A price below zero; the place of the line.
    #[error("line {0}: a price is not negative")]
    NegativePrice(usize),
    /// More than [`CODES_MAX`].
    #[error("has more than {CODES_MAX} codes")]
    TooManyCodes,
    /// An amount above [`AMOUNT_MAX`].
    #[error("the total is too large")]
    TooLarge,
}

/// A valid basket's lines in the order of their products, in which all sums are made, so that
/// the order of the input decides nothing.
pub(crate) struct Goods<'a> {
    pub(crate) lines: Vec<&'a BasketLine<'a>>,
    /// The place of each line in the basket.
    pub(crate) places: Vec<usize>,
    /// Quantity times unit price of each line.
    pub(crate) values: Vec<i128>,
}

impl<'a> Goods<'a> {
    pub(crate) fn new(basket: &'a Basket<'a>) -> Result<Self, PricingError> {
        if basket.lines.len() > LINES_MAX {
            return Err(PricingError::TooManyLines);
        }
        if basket.codes.len() > CODES_MAX {
            return Err(PricingError::TooManyCodes);
        }
        let mut places: Vec<usize> = (0..basket.lines.len()).collect();
        places.sort_by_key(|place| basket.lines[*place].product_id);
        let lines: Vec<_> = places.iter().map(|place| &basket.lines[*place]).collect();
        for (place, line) in basket.lines.iter().enumerate() {
            if !(1..=QUANTITY_MAX).contains(&line.quantity) {
                return Err(PricingError::Quantity(place));
            }
            if line.unit_price.currency != basket.currency {
                return Err(PricingError::MixedCurrencies(place));
            }
            if line.unit_price.amount < 0 {
                return Err(PricingError::NegativePrice(place));
            }
        }
        let repeated = lines
            .windows(2)
            .position(|pair| pair[0].product_id == pair[1].product_id);
        if let Some(repeated) = repeated {
            return Err(PricingError::RepeatedProduct(places[repeated + 1]));
        }
        let value =
            |line: &&BasketLine<'_>| i128::from(line.quantity) * i128::from(line.unit_price.amount);
        let values: Vec<i128> = lines.iter().map(value).collect();
        if values.iter().sum::<i128>() > AMOUNT_MAX.into() {
            return Err(PricingError::TooLarge);
        }
        Ok(Self { lines, places, values })
    }

    /// The value of all lines before discounts.
    pub(crate) fn value(&self) -> i128 {
        self.values.iter().sum()
    }

    /// Grams of what is sent; `None` if nothing is.
    pub(crate) fn weight_g(&self) -> Option<i128> {
        let sent = || self.lines.iter().filter(|line| line.requires_shipping);
        let weight = |line: &&BasketLine<'_>| i128::from(line.quantity) * i128::from(line.weight_g);
        sent().next()?;
        Some(sent().map(weight).sum())
    }
}
