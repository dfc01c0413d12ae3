//! Shipping methods: which of them fit a destination, and what they cost.

use model::Money;

use crate::basket::{AMOUNT_MAX, Basket, Goods, PricingError, ShipTo, Terms};
use crate::shop::{PriceBand, ServedCountries, ShippingKind, ShippingMethod, postal_key};

/// A shipping method that fits a basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippingOption<'a> {
    /// The method.
    pub method: &'a ShippingMethod,
    /// What it costs for this basket, before a promotion that makes it free.
    pub price: Money,
}

/// The methods that fit a basket, the cheapest first; none where nothing has to be sent.
///
/// # Errors
/// As [`price`](crate::price).
pub fn shipping_options<'a>(
    basket: &Basket<'_>,
    terms: &Terms<'_>,
    methods: &'a [ShippingMethod],
) -> Result<Vec<ShippingOption<'a>>, PricingError> {
    let goods = Goods::new(basket)?;
    let fitting = methods.iter().filter_map(|method| {
        let price = method.price(basket, terms, &goods)?;
        let amount = i64::try_from(price).ok()?;
        Some(ShippingOption { method, price: Money { amount, currency: basket.currency } })
    });
    let mut options: Vec<_> = fitting.collect();
    options.sort_by_key(|option| (option.price.amount, option.method.id));
    Ok(options)
}

impl ShippingMethod {
    /// Its price for a basket; `None` where it does not fit or nothing has to be sent.
    pub(crate) fn price(
        &self,
        basket: &Basket<'_>,
        terms: &Terms<'_>,
        goods: &Goods<'_>,
    ) -> Option<i128> {
        let weight = goods.weight_g()?;
        let at_home = ShipTo { country: terms.home_country, region: None, postal_code: None };
        let place = basket.ship_to.unwrap_or(at_home);
        let fits = self.is_active && self.currency == basket.currency && self.serves(&place);
        if !fits {
            return None;
        }
        let mut bands = self.bands.iter();
        let at_least = |size: i128| move |band: &&PriceBand| i128::from(band.from) <= size;
        let band = match self.kind {
            ShippingKind::Flat | ShippingKind::Pickup => bands.next(),
            ShippingKind::ByWeight => bands.rfind(at_least(weight)),
            ShippingKind::ByTotal => bands.rfind(at_least(goods.value())),
        }?;
        let is_free = self
            .free_from
            .is_some_and(|from| goods.value() >= from.into());
        Some(if is_free {
            0
        } else {
            band.price.clamp(0, AMOUNT_MAX).into()
        })
    }

    fn serves(&self, place: &ShipTo<'_>) -> bool {
        let is_served = match &self.countries {
            ServedCountries::All => true,
            ServedCountries::Listed(countries) => countries.contains(&place.country),
        };
        if !is_served || self.postal_prefixes.is_empty() {
            return is_served;
        }
        let code = postal_key(place.postal_code.unwrap_or_default());
        self.postal_prefixes
            .iter()
            .any(|prefix| code.starts_with(&postal_key(prefix)))
    }
}
