//! The price of a cart now, and what keeps it from being ordered.
//!
//! What cannot be sold is left out of the price and named: a product that is not for sale, one in
//! another currency than the first line that is, and one that makes the total too large.
//!
//! **Invariant:** every read is bounded, as `terms::priced` says, and a cart within its bounds
//! always has an answer.

use chassis::FieldError;
use model::{CustomerId, Listing, Money, Time};
use pricing::{PricedBasket, PricedLine, ShippingMethod};
use serde::Serialize;
use store::Read;

use super::domain::{Cart, CartDetails, CartItem};
use crate::config::TaxConfig;
use crate::domain::BuyerContact;
use crate::quoting::{self, QuoteRequest, is_for_sale};
use crate::tables;
use crate::terms::priced;
use crate::wire::RequestedItem;

/// A cart with its price.
pub(super) struct CartQuote {
    /// Those of the cart, in its order.
    pub(super) lines: Vec<CartLine>,
    /// The price of the lines that can be sold; `None` if there are none.
    pub(super) priced: Option<PricedBasket>,
    /// What has to be changed before it can be ordered, as far as that is known without stock.
    pub(super) problems: Vec<FieldError>,
}

/// A line of a cart.
pub(super) struct CartLine {
    pub(super) item: CartItem,
    /// `None` for a product that is unknown or deleted.
    pub(super) listing: Option<Listing>,
    pub(super) outcome: Result<PricedLine, LineProblem>,
}

/// Why a line has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(super) enum LineProblem {
    #[error("no product of this id is for sale")]
    NotForSale,
    #[error("all items of an order must have one currency")]
    OtherCurrency,
    #[error("the total is too large")]
    TooLarge,
}

/// Prices a cart at a time, for the customers that its buyer is known as.
pub(super) fn quote(
    from: &impl Read,
    tax: &TaxConfig,
    cart: &Cart,
    buyers: &[CustomerId],
    now: Time,
) -> Result<CartQuote, store::Error> {
    let request = request(cart, buyers, now);
    let rates = quoting::tax_rates(from, tax, request.ship_to)?;
    let promotions = quoting::promotions(from, &request)?;
    let method = match request.shipping_method_id {
        Some(id) => priced::shipping_method(from, id)?,
        None => None,
    };
    let terms = tax.terms(&rates, &promotions);
    let listings = listings(from, cart)?;
    let (mut problems, mut priced) = (sellable(&listings), None);
    loop {
        let goods = goods(&listings, &problems);
        let Some((_, first)) = goods.first() else {
            break;
        };
        let basket = quoting::basket(&request, &goods, method.as_ref(), first.price.currency);
        match pricing::price(&basket, &terms, now) {
            Ok(found) => {
                priced = Some(found);
                break;
            }
            // Within the bounds of a cart only a total that is too large is refused.
            Err(_) => leave_out_largest(&listings, &mut problems),
        }
    }
    let mut prices = priced
        .iter()
        .flat_map(|priced: &PricedBasket| priced.lines.iter().copied());
    let outcomes = problems.into_iter().map(|problem| match problem {
        Some(problem) => Err(problem),
        None => prices.next().ok_or(LineProblem::TooLarge),
    });
    let lines = listings.into_iter().zip(outcomes);
    let lines = lines.map(|((item, listing), outcome)| CartLine { item, listing, outcome });
    let lines: Vec<_> = lines.collect();
    let mut blocking = blocking_lines(&lines);
    if cart.owner.is_none() {
        blocking.extend(guest(&cart.details).err().unwrap_or_default());
    }
    if let Some(priced) = &priced {
        blocking.extend(quoting::shipping_fault(
            from,
            &request,
            method.as_ref(),
            priced,
        )?);
    }
    Ok(CartQuote { lines, priced, problems: blocking })
}

/// The contact of who orders without an account.
///
/// # Errors
/// What is missing of it.
pub(super) fn guest(details: &CartDetails) -> Result<BuyerContact, Vec<FieldError>> {
    let required = |pointer| FieldError::new(pointer, "is required to order without an account");
    match (details.email.clone(), details.name.clone()) {
        (Some(email), Some(name)) => Ok(BuyerContact { email, name }),
        (email, name) => {
            let email = email.is_none().then(|| required("/email"));
            let name = name.is_none().then(|| required("/name"));
            Err(email.into_iter().chain(name).collect())
        }
    }
}

/// The methods that fit a cart, the cheapest first, each with its price.
pub(super) fn shipping_options(
    from: &impl Read,
    tax: &TaxConfig,
    cart: &Cart,
) -> Result<Vec<(ShippingMethod, Money)>, store::Error> {
    let (request, listings) = (request(cart, &[], Time(0)), listings(from, cart)?);
    let mut problems = sellable(&listings);
    let methods = priced::active_shipping_methods(from)?;
    loop {
        let goods = goods(&listings, &problems);
        let Some((_, first)) = goods.first() else {
            return Ok(Vec::new());
        };
        let basket = quoting::basket(&request, &goods, None, first.price.currency);
        match pricing::shipping_options(&basket, &tax.terms(&[], &[]), &methods) {
            Ok(options) => {
                let options = options.into_iter();
                return Ok(options
                    .map(|option| (option.method.clone(), option.price))
                    .collect());
            }
            Err(_) => leave_out_largest(&listings, &mut problems),
        }
    }
}

fn request<'a>(cart: &'a Cart, buyers: &'a [CustomerId], at: Time) -> QuoteRequest<'a> {
    let details = &cart.details;
    QuoteRequest {
        items: &[],
        ship_to: details.shipping_address.as_ref(),
        shipping_method_id: details.shipping_method_id,
        codes: &details.codes,
        buyers,
        at,
    }
}

type ListedItem = (CartItem, Option<Listing>);

fn listings(from: &impl Read, cart: &Cart) -> Result<Vec<ListedItem>, store::Error> {
    let listing = |item: &CartItem| Ok((*item, tables::listing(from, item.product_id)?));
    cart.items.iter().map(listing).collect()
}

/// Whether every product of a cart is known as one that can be ordered.
pub(super) fn is_all_for_sale(from: &impl Read, cart: &Cart) -> Result<bool, store::Error> {
    let listings = listings(from, cart)?;
    let mut listings = listings.iter().map(|(_, listing)| listing.as_ref());
    Ok(listings.all(|listing| listing.is_some_and(is_for_sale)))
}

/// The problem of each line that is known before pricing.
fn sellable(listings: &[ListedItem]) -> Vec<Option<LineProblem>> {
    let mut currency = None;
    let problem = |(_, listing): &ListedItem| match listing {
        Some(listing) if is_for_sale(listing) => {
            let first = *currency.get_or_insert(listing.price.currency);
            (listing.price.currency != first).then_some(LineProblem::OtherCurrency)
        }
        _ => Some(LineProblem::NotForSale),
    };
    listings.iter().map(problem).collect()
}

/// The lines without a problem.
fn goods(
    listings: &[ListedItem],
    problems: &[Option<LineProblem>],
) -> Vec<(RequestedItem, Listing)> {
    let lines = listings.iter().zip(problems).enumerate();
    let sold = lines.filter_map(|(position, ((item, listing), problem))| {
        let CartItem { product_id, quantity } = *item;
        let item = RequestedItem { position, product_id, quantity };
        let listing = listing.as_ref().filter(|_| problem.is_none())?;
        Some((item, listing.clone()))
    });
    sold.collect()
}

/// Leaves the line of the highest value out of the price.
fn leave_out_largest(listings: &[ListedItem], problems: &mut [Option<LineProblem>]) {
    let lines = listings
        .iter()
        .zip(problems)
        .filter(|(_, problem)| problem.is_none());
    let value = |((item, listing), _): &(&ListedItem, &mut Option<LineProblem>)| {
        let price = listing.as_ref().map_or(0, |listing| listing.price.amount);
        i128::from(price) * i128::from(item.quantity)
    };
    if let Some((_, problem)) = lines.max_by_key(value) {
        *problem = Some(LineProblem::TooLarge);
    }
}

/// The faults of the lines.
fn blocking_lines(lines: &[CartLine]) -> Vec<FieldError> {
    if lines.is_empty() {
        return vec![FieldError::new("/items", "the cart is empty")];
    }
    let faults = lines.iter().enumerate().filter_map(|(place, line)| {
        let problem = line.outcome.err()?;
        Some(FieldError::new(
            format!("/items/{place}"),
            problem.to_string(),
        ))
    });
    faults.collect()
}
