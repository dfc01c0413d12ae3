//! What the shop lays down: shipping methods, tax rates, promotions.
//!
//! **Invariant:** the amounts of one shipping method are of one currency.

use model::{Country, Currency, Money, ProductId, PromotionId, ShippingMethodId, TaxClass, Time};

/// Between the names of a category path, `Home > Lighting`.
pub const CATEGORY_SEPARATOR: &str = " > ";

/// A way to send goods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippingMethod {
    /// Its id.
    pub id: ShippingMethodId,
    /// As buyers read it, `Parcel`.
    pub name: String,
    /// What its price depends on.
    pub kind: ShippingKind,
    /// The currency of its prices; it fits no basket of another.
    pub currency: Currency,
    /// Where it goes.
    pub countries: ServedCountries,
    /// Where in these countries: the beginnings of postal codes; none: everywhere.
    pub postal_prefixes: Vec<String>,
    /// Its prices, in ascending order of `from`.
    pub bands: Vec<PriceBand>,
    /// From this value of all goods on, before discounts, it costs nothing.
    pub free_from: Option<i64>,
    /// Its tax class.
    pub tax_class: TaxClass,
    /// The fewest and the most days that it takes.
    pub delivery_days: Option<(u16, u16)>,
    /// Whether it is offered.
    pub is_active: bool,
}

/// What the price of a shipping method depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippingKind {
    /// Nothing: the first band counts.
    Flat,
    /// The weight of what is sent; bands begin at grams.
    ByWeight,
    /// The value of all goods before discounts; bands begin at minor units.
    ByTotal,
    /// Nothing; the buyer fetches the goods, which are taxed in the home country.
    Pickup,
}

/// The countries that a shipping method serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedCountries {
    /// Every country.
    All,
    /// These.
    Listed(Vec<Country>),
}

/// A step of a shipping method's prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceBand {
    /// The weight in grams or the value in minor units from which on it counts, inclusive.
    pub from: i64,
    /// Minor units, up to the next band.
    pub price: i64,
}

/// A rate of tax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    /// Where it is charged.
    pub country: Country,
    /// Only in this state or province, compared without case; `None`: in the whole country.
    pub region: Option<String>,
    /// What it is charged on.
    pub tax_class: TaxClass,
    /// Basis points, 1900 is 19 %.
    pub rate_bp: u32,
    /// As buyers read it, `VAT 19 %`.
    pub name: String,
}

/// An offer of the shop's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// Its id.
    pub id: PromotionId,
    /// The code that it needs, compared by [`code_key`](crate::code_key); `None`: automatic.
    pub code: Option<String>,
    /// What it takes off.
    pub benefit: Benefit,
    /// The least value before discounts of the lines that it is for, inclusive.
    pub minimum: Option<Money>,
    /// It is for these categories and all below them, and for these products; where both lists
    /// are empty for everything.
    pub categories: Vec<String>,
    /// See `categories`.
    pub product_ids: Vec<ProductId>,
    /// When it begins, inclusive.
    pub from: Option<Time>,
    /// When it ends, exclusive.
    pub until: Option<Time>,
    /// Whether it applies together with others that can be combined.
    pub is_combinable: bool,
    /// Whether it is offered.
    pub is_active: bool,
    /// Whether it can be used once more; the caller counts.
    pub uses_left: UsesLeft,
}

/// What a promotion takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Benefit {
    /// Basis points of the lines that it is for, rounded half up on their sum.
    Percent(u32),
    /// An amount, spread by value over the lines that it is for; at most what they cost.
    Amount(Money),
    /// Shipping costs nothing.
    FreeShipping,
}

/// Whether a promotion can be used once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsesLeft {
    /// It can.
    Some,
    /// It is used up.
    None,
    /// This buyer has used it up.
    NoneForBuyer,
}

/// A code as it is compared: composed (NFC), without blanks around it, without case.
pub fn code_key(code: &str) -> String {
    let code = model::normalised(code);
    // Capitals first: `ß` and `SS`, and the two small sigmas, are one.
    code.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// A postal code as it is compared: letters in capitals, without blanks and hyphens.
pub fn postal_key(code: &str) -> String {
    let letters = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
    letters.flat_map(char::to_uppercase).collect()
}
