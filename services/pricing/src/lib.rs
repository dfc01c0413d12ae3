//! Totals of a cart or an order: discounts, shipping, tax. Pure functions.
//!
//! [`price`] takes a [`Basket`], the shop's [`Terms`] and the time, and returns a
//! [`PricedBasket`]. It goes in this order, which the amounts depend on:
//!
//! 1. **Items**: quantity times unit price, a line each.
//! 2. **Discounts** of the promotions that fit: percents first, each of
//!    what those before it left, then amounts; spread over the lines they are for.
//! 3. **Shipping**: the chosen method's price for the weight and the value of the goods.
//!    Thresholds (`by_total` bands, `free_from`, a promotion's `minimum`) compare the value
//!    before discounts, so a code never costs the buyer free shipping.
//! 4. **Tax** of each rate on the sum of what is taxed by it, rounded half up once (EN 16931,
//!    BR-CO-17), then spread over the lines and shipping.
//!
//! | module | holds |
//! | --- | --- |
//! | `shop` | what the shop lays down: shipping methods, tax rates, promotions |
//! | `basket` | the input: lines, destination, terms; its limits |
//! | `discount` | what each promotion takes off, which of them apply |
//! | `eligibility` | the lines a promotion is for, and why a code is refused |
//! | `shipping` | which methods fit, their prices |
//! | `tax` | groups of what one rate taxes, the tax of each |
//! | `rounding` | half up; spreading an amount by largest remainder |
//! | `totals` | the result, and the sums that make it |
//!
//! ```
//! use model::{Money, TaxClass, Time};
//! use pricing::{Basket, BasketLine, PriceBasis, ShippingTaxedBy, TaxRate, Terms};
//!
//! let (germany, euro) = ("DE".parse()?, "EUR".parse()?);
//! let rate = TaxRate {
//!     country: germany,
//!     region: None,
//!     tax_class: TaxClass::default(),
//!     rate_bp: 1900,
//!     name: "VAT 19 %".into(),
//! };
//! let terms = Terms {
//!     price_basis: PriceBasis::Gross,
//!     home_country: germany,
//!     shipping_taxed_by: ShippingTaxedBy::Method,
//!     tax_rates: &[rate],
//!     promotions: &[],
//! };
//! let kettle = BasketLine {
//!     product_id: model::Id::new(),
//!     quantity: 2,
//!     unit_price: Money { amount: 1999, currency: euro },
//!     tax_class: &TaxClass::default(),
//!     weight_g: 900,
//!     requires_shipping: true,
//!     categories: Vec::new(),
//! };
//! let basket = Basket {
//!     currency: euro,
//!     lines: vec![kettle],
//!     ship_to: None,
//!     shipping_method: None,
//!     codes: &[],
//! };
//! let totals = pricing::price(&basket, &terms, Time(0))?.totals;
//! assert_eq!((totals.total.amount, totals.tax.amount), (3998, 638));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariants:** lines and shipping add up to the totals and the totals to the total, to the
//! minor unit; net plus tax is gross; nothing is negative; the order of the lines and of the
//! terms' tables changes nothing but the order of the lines in the result; a code never makes a
//! basket dearer.
//!
//! The crate reads no clock and no table, and does no I/O.

mod basket;
mod discount;
mod eligibility;
mod rounding;
mod shipping;
mod shop;
mod tax;
#[cfg(test)]
mod tests;
mod totals;

pub use basket::{
    AMOUNT_MAX, Basket, BasketLine, CODES_MAX, LINES_MAX, PriceBasis, PricingError, QUANTITY_MAX,
    ShipTo, ShippingTaxedBy, Terms,
};
pub use discount::AppliedPromotion;
pub use eligibility::{CodeOutcome, CodeRefusal};
pub use shipping::{ShippingOption, shipping_options};
pub use shop::{
    Benefit, CATEGORY_SEPARATOR, PriceBand, Promotion, ServedCountries, ShippingKind,
    ShippingMethod, TaxRate, UsesLeft, code_key, postal_key,
};
pub use tax::TaxLine;
pub use totals::{PricedBasket, PricedLine, ShippingOutcome, Totals, price};
