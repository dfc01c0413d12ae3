//! Tax rates.
//!
//! | table | key → value |
//! | --- | --- |
//! | `tax_rates_by_place` | country, tax class, region → the rate |
//!
//! **Invariant:** a place and a tax class have at most one rate; regions are compared without
//! case.

use chassis::fields::{Fields, ReadFields};
use model::{Country, TaxClass, TaxRateId, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use super::reading;
use super::term::{Term, TermId, TermRow};
use crate::Error;

/// A region is empty for a whole country.
type PlaceKey = (String, String, String);

pub(super) const BY_PLACE: Table<PlaceKey, TaxRateId> = Table::new("tax_rates_by_place");

/// Tax rates of a shop: eight for each country of the world. Pricing reads those of one country.
const RATES_MAX: u64 = 2_000;
/// Characters of a region: with its class it stays below the largest stored key.
const REGION_CHARS_MAX: usize = 100;
/// Basis points: 100 %.
const RATE_BP_MAX: u32 = 10_000;

/// A tax rate as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaxRateContent {
    pub(super) country: Country,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    pub(super) tax_class: TaxClass,
    pub(super) rate_bp: u32,
    pub(super) name: String,
}

impl TaxRateContent {
    fn place(&self) -> PlaceKey {
        let region = self.region.as_deref().map(pricing::code_key);
        let country = self.country.to_string();
        (
            country,
            self.tax_class.to_string(),
            region.unwrap_or_default(),
        )
    }
}

impl Term for TaxRateContent {
    type Kind = kinds::TaxRate;
    const TABLE: Table<TaxRateId, TermRow<Self>> = Table::new("tax_rates");
    const NOUN: &'static str = "tax rates";
    const PATH: &'static str = "/v1/tax-rates";
    const ROWS_MAX: u64 = RATES_MAX;

    fn is_public(&self) -> bool {
        true
    }

    fn index(&self, tx: &mut Tx<'_>, id: TermId<Self>) -> Result<(), Error> {
        let place = self.place();
        if let Some(other) = tx.get(BY_PLACE, &place)? {
            return Err(Error::TaxRateTaken(other));
        }
        Ok(tx.put(BY_PLACE, &place, &id)?)
    }

    fn unindex(&self, tx: &mut Tx<'_>, _: TermId<Self>) -> Result<(), store::Error> {
        tx.delete(BY_PLACE, &self.place())
    }

    fn index_rows(&self, from: &impl Read, id: TermId<Self>) -> Result<u64, store::Error> {
        let indexed = from.get(BY_PLACE, &self.place())?;
        Ok(u64::from(indexed == Some(id)))
    }
}

impl ReadFields for TaxRateContent {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let country = fields.required("country", reading::country);
        let region = fields.optional("region", reading::text::<REGION_CHARS_MAX>);
        let tax_class = reading::tax_class(fields);
        fields.require("rate_bp");
        let rate_bp = reading::number(fields, "rate_bp", 0, RATE_BP_MAX);
        let name = reading::name(fields);
        Some(Self {
            country: country?,
            region,
            tax_class,
            rate_bp: rate_bp?,
            name: name?,
        })
    }
}

/// The number of rows of the index.
pub(super) fn index_rows(from: &impl Read) -> Result<u64, store::Error> {
    let rows = from.scan(BY_PLACE.all())?;
    rows.map(|row| row.map(|_| 1)).sum()
}
