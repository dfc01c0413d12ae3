//! Shipping methods.

use chassis::fields::{Fields, REQUIRED, ReadFields};
use model::{Money, ShippingMethodId, TaxClass, kinds};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Table;

use super::reading;
use super::term::{Term, TermRow};

/// Shipping methods of a shop: a cart reads all of them to list those that fit.
const METHODS_MAX: u64 = 200;
/// More than ISO 3166-1 has.
const COUNTRIES_MAX: usize = 300;
const POSTAL_PREFIXES_MAX: usize = 200;
const POSTAL_PREFIX_CHARS_MAX: usize = 16;
const BANDS_MAX: usize = 50;
/// The highest value at which a band can begin; more grams than anything has.
const BAND_FROM_MAX: i64 = chassis::fields::Price::AMOUNT_MAX;
const DAYS_MAX: u16 = 365;
/// Stands for every country.
const EVERYWHERE: &str = "*";

/// A shipping method as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShippingMethodContent {
    pub(super) name: String,
    pub(super) kind: MethodKind,
    /// Codes, or `*` alone.
    pub(super) countries: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) postal_prefixes: Vec<String>,
    pub(super) bands: Vec<BandContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) free_from: Option<Money>,
    pub(super) tax_class: TaxClass,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delivery_days: Option<(u16, u16)>,
    pub(super) active: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MethodKind {
    Flat,
    ByWeight,
    ByTotal,
    Pickup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BandContent {
    pub(super) from: i64,
    pub(super) price: Money,
}

impl Term for ShippingMethodContent {
    type Kind = kinds::ShippingMethod;
    const TABLE: Table<ShippingMethodId, TermRow<Self>> = Table::new("shipping_methods");
    const NOUN: &'static str = "shipping methods";
    const PATH: &'static str = "/v1/shipping-methods";
    const ROWS_MAX: u64 = METHODS_MAX;

    fn is_public(&self) -> bool {
        self.active
    }
}

impl ReadFields for ShippingMethodContent {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = reading::name(fields);
        let kind = fields.required_value("kind");
        let countries = countries(fields);
        let prefix = |text: &str| postal_prefix(text);
        let postal_prefixes =
            reading::texts(fields, "postal_prefixes", POSTAL_PREFIXES_MAX, prefix);
        let bands = bands(fields, kind);
        let free_from = reading::price(fields, "free_from");
        let currency = bands.first().map(|band| band.price.currency);
        if let (Some(free_from), Some(currency)) = (free_from, currency)
            && free_from.currency != currency
        {
            fields.fault("/free_from/currency", one_currency(currency));
        }
        let tax_class = reading::tax_class(fields);
        let delivery_days = fields.parsed("delivery_days", delivery_days);
        let active = fields.value("active").unwrap_or(true);
        Some(Self {
            name: name?,
            kind: kind?,
            countries,
            postal_prefixes,
            bands,
            free_from,
            tax_class,
            delivery_days,
            active,
        })
    }
}

fn countries(fields: &mut Fields<'_>) -> Vec<String> {
    let code = |text: &str| match text.trim() {
        EVERYWHERE => Ok(EVERYWHERE.to_owned()),
        code => reading::country(code).map(|country| country.to_string()),
    };
    fields.require("countries");
    let is_given = fields.has("countries");
    let countries = reading::texts(fields, "countries", COUNTRIES_MAX, code);
    if countries.len() > 1 && countries.iter().any(|code| code == EVERYWHERE) {
        fields.fault("/countries", "`*` is every country and stands alone");
    } else if is_given && countries.is_empty() {
        fields.fault("/countries", "must name a country, or `*` for all");
    }
    countries
}

fn postal_prefix(text: &str) -> Result<String, String> {
    let text = model::normalised(text);
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, ' ' | '-');
    let has_length = (1..=POSTAL_PREFIX_CHARS_MAX).contains(&text.len());
    match has_length && text.chars().all(is_sign) && !pricing::postal_key(&text).is_empty() {
        true => Ok(text.into_owned()),
        false => Err(format!(
            "must have 1..{POSTAL_PREFIX_CHARS_MAX} letters and digits"
        )),
    }
}

/// The bands, in ascending order and of one currency; where the price depends on nothing, one.
fn bands(fields: &mut Fields<'_>, kind: Option<MethodKind>) -> Vec<BandContent> {
    let entries = fields.list("bands", BANDS_MAX);
    let given = entries.len();
    if given == 0 {
        fields.fault("/bands", format!("1..{BANDS_MAX} bands are needed"));
    }
    if given > 1 && matches!(kind, Some(MethodKind::Flat | MethodKind::Pickup)) {
        fields.fault("/bands", "one band is needed: the price depends on nothing");
    }
    let mut bands: Vec<BandContent> = Vec::new();
    for (pointer, raw) in entries {
        bands.extend(band(fields, &pointer, raw, bands.last().copied()));
    }
    bands
}

fn band<'a>(
    fields: &mut Fields<'a>,
    pointer: &str,
    raw: &'a RawValue,
    last: Option<BandContent>,
) -> Option<BandContent> {
    let band: BandContent = fields.object_at(pointer, raw)?;
    if last.is_some_and(|last| band.from <= last.from) {
        let why = "must be higher than that of the band before";
        fields.fault(&format!("{pointer}/from"), why);
    }
    if let Some(last) = last
        && last.price.currency != band.price.currency
    {
        let pointer = format!("{pointer}/price/currency");
        fields.fault(&pointer, one_currency(last.price.currency));
    }
    Some(band)
}

impl ReadFields for BandContent {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let from = reading::number(fields, "from", 0, BAND_FROM_MAX).unwrap_or(0);
        if !fields.has("price") {
            fields.fault("/price", REQUIRED);
        }
        let price = reading::price(fields, "price");
        Some(Self { from, price: price? })
    }
}

fn one_currency(currency: model::Currency) -> String {
    format!("must be {currency}, as in the first band")
}

fn delivery_days((least, most): (u16, u16)) -> Result<(u16, u16), String> {
    match least <= most && most <= DAYS_MAX {
        true => Ok((least, most)),
        false => Err(format!(
            "must be the fewest and the most days, 0..{DAYS_MAX}"
        )),
    }
}
