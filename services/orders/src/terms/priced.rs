//! What pricing reads of the shop's terms: rows as values of [`pricing`].
//!
//! **Invariant:** each of these reads is bounded: all shipping methods, the rates of one country,
//! the promotion of one code, and the automatic promotions, which are few.

use model::{Country, PromotionId, ShippingMethodId};
use pricing::{
    Benefit, PriceBand, Promotion, ServedCountries, ShippingKind, ShippingMethod, TaxRate,
    UsesLeft, code_key,
};
use store::Read;

use super::promotions::{AUTOMATIC, BY_CODE, CODE_CHARS_MAX, PromotionContent, PromotionValue};
use super::shipping::{BandContent, MethodKind, ShippingMethodContent};
use super::tax::{BY_PLACE, TaxRateContent};
use super::term::{self, Term};
use super::uses::Caps;

/// The method for `pricing`; `None` without a band, which no valid one is.
fn priced(id: ShippingMethodId, content: ShippingMethodContent) -> Option<ShippingMethod> {
    let currency = content.bands.first()?.price.currency;
    let countries = content.countries.iter();
    // A code that is no country's, `*`, stands for all.
    let countries: Option<Vec<_>> = countries.map(|code| code.clone().try_into().ok()).collect();
    let band = |band: BandContent| PriceBand { from: band.from, price: band.price.amount };
    Some(ShippingMethod {
        id,
        name: content.name,
        kind: content.kind.into(),
        currency,
        countries: countries.map_or(ServedCountries::All, ServedCountries::Listed),
        postal_prefixes: content.postal_prefixes,
        bands: content.bands.into_iter().map(band).collect(),
        free_from: content.free_from.map(|money| money.amount),
        tax_class: content.tax_class,
        delivery_days: content.delivery_days,
        is_active: content.active,
    })
}

/// The methods that are offered. Once there is one, what has to be sent needs one that fits.
pub(crate) fn active_shipping_methods(
    from: &impl Read,
) -> Result<Vec<ShippingMethod>, store::Error> {
    if term::count_of(from, ShippingMethodContent::TABLE.name())? == 0 {
        return Ok(Vec::new());
    }
    let mut methods = Vec::new();
    for row in from.scan(ShippingMethodContent::TABLE.all())? {
        let (id, row) = row?;
        methods.extend(priced(id, row.content).filter(|method| method.is_active));
    }
    Ok(methods)
}

/// One method, offered or not; `None` if it is gone.
pub(crate) fn shipping_method(
    from: &impl Read,
    id: ShippingMethodId,
) -> Result<Option<ShippingMethod>, store::Error> {
    let row = from.get(ShippingMethodContent::TABLE, &id)?;
    Ok(row.and_then(|row| priced(id, row.content)))
}

impl From<MethodKind> for ShippingKind {
    fn from(kind: MethodKind) -> Self {
        match kind {
            MethodKind::Flat => Self::Flat,
            MethodKind::ByWeight => Self::ByWeight,
            MethodKind::ByTotal => Self::ByTotal,
            MethodKind::Pickup => Self::Pickup,
        }
    }
}

/// The rates of a country and its regions.
pub(crate) fn tax_rates_of(
    from: &impl Read,
    country: Country,
) -> Result<Vec<TaxRate>, store::Error> {
    if term::count_of(from, TaxRateContent::TABLE.name())? == 0 {
        return Ok(Vec::new());
    }
    let mut rates = Vec::new();
    for row in from.scan(BY_PLACE.prefix(&country.to_string()))? {
        let (_, id) = row?;
        rates.extend(from.get(TaxRateContent::TABLE, &id)?.map(|row| {
            let TaxRateContent { country, region, tax_class, rate_bp, name } = row.content;
            TaxRate { country, region, tax_class, rate_bp, name }
        }));
    }
    Ok(rates)
}

/// A promotion for `pricing`, with the caps that the caller counts for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PromotionTerms {
    /// With its uses as not used up.
    pub(crate) promotion: Promotion,
    pub(crate) caps: Caps,
}

impl PromotionTerms {
    fn new(id: PromotionId, content: PromotionContent) -> Self {
        let benefit = match content.value {
            Some(PromotionValue::Percent(bp)) => Benefit::Percent(bp),
            Some(PromotionValue::Amount(amount)) => Benefit::Amount(amount),
            None => Benefit::FreeShipping,
        };
        let promotion = Promotion {
            id,
            code: content.code,
            benefit,
            minimum: content.minimum,
            categories: content.categories,
            product_ids: content.product_ids,
            from: content.from,
            until: content.until,
            is_combinable: content.combinable,
            is_active: content.active,
            uses_left: UsesLeft::Some,
        };
        let caps = Caps {
            in_all: content.uses_max,
            by_buyer: content.uses_max_per_buyer,
        };
        Self { promotion, caps }
    }
}

/// Every promotion without a code, active or not.
pub(crate) fn automatic_promotions(from: &impl Read) -> Result<Vec<PromotionTerms>, store::Error> {
    if term::count_of(from, PromotionContent::TABLE.name())? == 0 {
        return Ok(Vec::new());
    }
    let mut promotions = Vec::new();
    for row in from.scan(AUTOMATIC.all())? {
        promotions.extend(promotion(from, row?.0)?);
    }
    Ok(promotions)
}

/// The promotion of a code as a buyer typed it, active or not.
pub(crate) fn promotion_of_code(
    from: &impl Read,
    code: &str,
) -> Result<Option<PromotionTerms>, store::Error> {
    let key = code_key(code);
    // None is that long, nor would it be a key.
    if key.chars().count() > 3 * CODE_CHARS_MAX {
        return Ok(None);
    }
    match from.get(BY_CODE, &key)? {
        Some(id) => promotion(from, id),
        None => Ok(None),
    }
}

fn promotion(from: &impl Read, id: PromotionId) -> Result<Option<PromotionTerms>, store::Error> {
    let row = from.get(PromotionContent::TABLE, &id)?;
    Ok(row.map(|row| PromotionTerms::new(id, row.content)))
}
