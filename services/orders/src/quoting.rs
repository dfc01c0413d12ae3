//! Quotes: what items cost by the listings and the shop's terms of now.
//!
//! **Invariant:** a quote reads and writes nothing else, so one that is made in the transaction
//! of an order is what the order costs.

use std::collections::HashSet;

use chassis::FieldError;
use model::{
    Address, Currency, CustomerId, Listing, Money, PublicationStatus, ShippingMethodId, Time,
};
use pricing::{
    Basket, BasketLine, CodeOutcome, PricedBasket, PricingError, ShipTo, ShippingMethod,
    ShippingOutcome, TaxRate, code_key,
};
use store::Read;

use crate::config::TaxConfig;
use crate::domain::{Charges, ChosenMethod, GivenCode, OrderLine};
use crate::terms::priced::{self, PromotionTerms};
use crate::terms::uses;
use crate::wire::{RequestedItem, unknown_product};

/// The items to price, with what their price depends on.
pub(crate) struct QuoteRequest<'a> {
    pub(crate) items: &'a [RequestedItem],
    pub(crate) ship_to: Option<&'a Address>,
    pub(crate) shipping_method_id: Option<ShippingMethodId>,
    pub(crate) codes: &'a [String],
    /// Whose uses of promotions count.
    pub(crate) buyers: &'a [CustomerId],
    pub(crate) at: Time,
}

/// The price of what was asked for.
#[derive(Debug)]
pub(crate) struct Quote {
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total: Money,
    pub(crate) charges: Charges,
}

/// Why there is no quote: every fault of the request, or the store's.
#[derive(Debug)]
pub(crate) enum QuoteError {
    Invalid(Vec<FieldError>),
    Store(store::Error),
}

impl From<store::Error> for QuoteError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl QuoteError {
    fn at(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail.into())])
    }
}

/// Quotes items by their listings, which are in the order of the items.
pub(crate) fn quote(
    from: &impl Read,
    tax: &TaxConfig,
    request: &QuoteRequest<'_>,
    listings: Vec<Option<Listing>>,
) -> Result<Quote, QuoteError> {
    let goods = goods(request.items, listings)?;
    let currency = goods[0].1.price.currency;
    let method = match request.shipping_method_id {
        Some(id) => priced::shipping_method(from, id)?,
        None => None,
    };
    let promotions = promotions(from, request)?;
    let rates = tax_rates(from, tax, request.ship_to)?;
    let basket = basket(request, &goods, method.as_ref(), currency);
    let priced = pricing::price(&basket, &tax.terms(&rates, &promotions), request.at);
    let priced = priced.map_err(|error| refusal(request, error))?;
    if let Some(fault) = shipping_fault(from, request, method.as_ref(), &priced)? {
        return Err(QuoteError::Invalid(vec![fault]));
    }
    Ok(of_priced(goods, priced, tax, method))
}

/// The rates of the destination and, for what is picked up, of the shop's own country.
pub(crate) fn tax_rates(
    from: &impl Read,
    tax: &TaxConfig,
    ship_to: Option<&Address>,
) -> Result<Vec<TaxRate>, store::Error> {
    let country = ship_to.map_or(tax.home_country, |address| address.country);
    let mut rates = priced::tax_rates_of(from, country)?;
    if country != tax.home_country {
        rates.extend(priced::tax_rates_of(from, tax.home_country)?);
    }
    Ok(rates)
}

/// The items that are for sale, all in one currency, and each with its listing.
fn goods(
    items: &[RequestedItem],
    listings: Vec<Option<Listing>>,
) -> Result<Vec<(RequestedItem, Listing)>, QuoteError> {
    let (mut goods, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for (item, listing) in items.iter().zip(listings) {
        match listing.filter(is_for_sale) {
            Some(listing) => goods.push((*item, listing)),
            None => faults.push(unknown_product(item.position)),
        }
    }
    let mut currencies = goods.iter().map(|(_, listing)| listing.price.currency);
    let first = currencies.next();
    if currencies.any(|currency| Some(currency) != first) {
        let detail = "all items of an order must have one currency";
        faults.push(FieldError::new("/items", detail));
    }
    if first.is_none() && faults.is_empty() {
        faults.push(FieldError::new("/items", "there is nothing to order"));
    }
    match faults.is_empty() {
        true => Ok(goods),
        false => Err(QuoteError::Invalid(faults)),
    }
}

/// Whether a product can be ordered.
pub(crate) fn is_for_sale(listing: &Listing) -> bool {
    listing.status == PublicationStatus::Published
}

/// Whether a promotion that may apply has a cap by buyer.
pub(crate) fn has_caps_by_buyer(from: &impl Read, codes: &[String]) -> Result<bool, store::Error> {
    let known = promotion_terms(from, codes)?;
    Ok(known.iter().any(|terms| terms.caps.by_buyer.is_some()))
}

/// The automatic promotions and those of the codes.
fn promotion_terms(
    from: &impl Read,
    codes: &[String],
) -> Result<Vec<PromotionTerms>, store::Error> {
    let mut known = priced::automatic_promotions(from)?;
    let mut keys = HashSet::new();
    for code in codes {
        if keys.insert(code_key(code)) {
            known.extend(priced::promotion_of_code(from, code)?);
        }
    }
    Ok(known)
}

/// The automatic promotions and those of the codes, with the uses that are left of each.
pub(crate) fn promotions(
    from: &impl Read,
    request: &QuoteRequest<'_>,
) -> Result<Vec<pricing::Promotion>, store::Error> {
    let known = promotion_terms(from, request.codes)?;
    let promotions = known.into_iter().map(|mut terms| {
        terms.promotion.uses_left =
            uses::uses_left(from, terms.promotion.id, terms.caps, request.buyers)?;
        Ok(terms.promotion)
    });
    promotions.collect()
}

/// The goods for pricing.
pub(crate) fn basket<'a>(
    request: &'a QuoteRequest<'_>,
    goods: &'a [(RequestedItem, Listing)],
    shipping_method: Option<&'a ShippingMethod>,
    currency: Currency,
) -> Basket<'a> {
    let lines = goods.iter().map(|(item, listing)| BasketLine {
        product_id: item.product_id,
        quantity: item.quantity,
        unit_price: listing.price,
        tax_class: &listing.tax_class,
        weight_g: listing.weight_g.unwrap_or(0),
        requires_shipping: listing.requires_shipping,
        categories: listing.categories().collect(),
    });
    Basket {
        currency,
        lines: lines.collect(),
        ship_to: request.ship_to.map(|address| ShipTo {
            country: address.country,
            region: address.region.as_deref(),
            postal_code: address.postal_code.as_deref(),
        }),
        shipping_method,
        codes: request.codes,
    }
}

/// What pricing refuses, in the request's words.
fn refusal(request: &QuoteRequest<'_>, error: PricingError) -> QuoteError {
    let item = |place: usize| request.items.get(place).map_or(place, |item| item.position);
    match error {
        PricingError::Quantity(place) => QuoteError::at(
            &format!("/items/{}/quantity", item(place)),
            error.to_string(),
        ),
        PricingError::TooManyCodes => QuoteError::at("/codes", error.to_string()),
        _ => QuoteError::at("/items", error.to_string()),
    }
}

/// The fault of shipping: once the shop has methods, what has to be sent needs one that is
/// offered and fits. `method` is the chosen one, offered or not.
pub(crate) fn shipping_fault(
    from: &impl Read,
    request: &QuoteRequest<'_>,
    method: Option<&ShippingMethod>,
    priced: &PricedBasket,
) -> Result<Option<FieldError>, store::Error> {
    const METHOD: &str = "/shipping_method_id";
    let is_open = match priced.shipping {
        ShippingOutcome::NotNeeded | ShippingOutcome::Charged { .. } => false,
        ShippingOutcome::NotAvailable => true,
        ShippingOutcome::NotChosen => {
            let is_chosen = request.shipping_method_id.is_some();
            is_chosen || !priced::active_shipping_methods(from)?.is_empty()
        }
    };
    let (pointer, detail) = match (request.shipping_method_id, method) {
        _ if !is_open => return Ok(None),
        (None, _) => (METHOD, "is required: choose one of the shipping options"),
        (Some(_), None) => (METHOD, "there is no shipping method of this id any more"),
        (Some(_), Some(method)) if !method.is_active => {
            (METHOD, "this shipping method is no longer offered")
        }
        _ if request.ship_to.is_some() => (
            METHOD,
            "this shipping method does not take these items to this address",
        ),
        _ => (
            "/shipping_address",
            "is required: this shipping method does not go to every address",
        ),
    };
    Ok(Some(FieldError::new(pointer, detail)))
}

fn of_priced(
    goods: Vec<(RequestedItem, Listing)>,
    priced: PricedBasket,
    tax: &TaxConfig,
    method: Option<ShippingMethod>,
) -> Quote {
    let PricedBasket { totals, lines, tax_lines, shipping, codes, promotions } = priced;
    let lines = goods.into_iter().zip(lines);
    let lines = lines.map(|((item, listing), line)| OrderLine {
        product_id: item.product_id,
        sku: listing.sku,
        title: listing.title,
        quantity: item.quantity,
        unit_price: listing.price,
        line_total: line.line_total,
        discount: line.discount.amount,
        tax_rate_bp: line.tax_rate_bp,
        tax: line.tax.amount,
    });
    let method = method.filter(|_| matches!(shipping, ShippingOutcome::Charged { .. }));
    let given = |CodeOutcome { code, refusal }| GivenCode {
        code,
        refusal: refusal.map(|why| why.to_string()),
    };
    Quote {
        lines: lines.collect(),
        total: totals.total,
        charges: Charges {
            discount: totals.discount.amount,
            shipping: totals.shipping.amount,
            tax: totals.tax.amount,
            price_basis: tax.price_basis(),
            tax_lines,
            codes: codes.into_iter().map(given).collect(),
            promotions: promotions.into_iter().map(|applied| applied.id).collect(),
            shipping_method: method.map(|method| ChosenMethod { id: method.id, name: method.name }),
        },
    }
}
