//! Response bodies of carts.

use chassis::FieldError;
use model::{Address, CartId, CustomerId, Money, OrderId, ProductId, ShippingMethodId, Time};
use pricing::{PriceBasis, TaxLine, Totals};
use serde::Serialize;
use store::{Read, Tx};

use super::domain::{Cart, CartDetails, CartItem};
use super::quote::{self, CartLine, CartQuote, LineProblem};
use super::tables::{self, OrderedCart};
use crate::config::TaxConfig;
use crate::customers::guests;

/// A cart, priced now.
#[derive(Debug, Serialize)]
pub(super) struct CartResponse {
    id: CartId,
    /// In the response that makes the cart only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    items: Vec<CartLineResponse>,
    #[serde(flatten)]
    details: CartDetailsResponse,
    codes: Vec<CartCodeResponse>,
    /// Absent while nothing in the cart can be sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<CartTotalsResponse>,
    prices_include_tax: bool,
    tax_lines: Vec<CartTaxResponse>,
    /// What has to be changed before it can be ordered.
    problems: Vec<FieldError>,
    /// Of an earlier cart, what did not fit into this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<CartItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    created_at: Time,
    updated_at: Time,
}

/// The details but for the codes, which are shown with their outcomes.
#[derive(Debug, Serialize)]
struct CartDetailsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_method_id: Option<ShippingMethodId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct CartLineResponse {
    product_id: ProductId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    quantity: u32,
    #[serde(flatten)]
    price: Option<CartLinePrice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<LineProblem>,
}

#[derive(Debug, Serialize)]
struct CartLinePrice {
    unit_price: Money,
    line_total: Money,
    discount: Money,
    tax_rate_bp: u32,
    tax: Money,
}

#[derive(Debug, Serialize)]
struct CartCodeResponse {
    code: String,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct CartTotalsResponse {
    items: Money,
    discount: Money,
    shipping: Money,
    tax: Money,
    total: Money,
}

#[derive(Debug, Serialize)]
struct CartTaxResponse {
    name: String,
    rate_bp: u32,
    net: Money,
    tax: Money,
}

/// `GET /v1/carts/{id}/shipping-options`
#[derive(Debug, Serialize)]
pub(super) struct ShippingOptionsResponse {
    pub(super) items: Vec<ShippingOptionResponse>,
}

#[derive(Debug, Serialize)]
pub(super) struct ShippingOptionResponse {
    pub(super) id: ShippingMethodId,
    pub(super) name: String,
    pub(super) price: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery_days: Option<(u16, u16)>,
}

impl OrderedCart {
    /// The cart as its holder sees it.
    pub(crate) fn shown(
        &self,
        tx: &Tx<'_>,
        tax: &TaxConfig,
        at: Time,
    ) -> Result<impl Serialize + use<>, store::Error> {
        let Self { id, cart } = self;
        CartResponse::priced(tx, tax, *id, cart.clone(), at)
    }
}

impl CartResponse {
    /// A cart at its price of a time.
    pub(super) fn priced(
        from: &impl Read,
        tax: &TaxConfig,
        id: CartId,
        mut cart: Cart,
        at: Time,
    ) -> Result<Self, store::Error> {
        cart.order_id = tables::became(from, &cart)?;
        let buyer = match (cart.owner, &cart.details.email) {
            (Some(owner), _) => Some(CustomerId::from_uuid(owner.uuid())),
            (None, Some(email)) => guests::of_email(from, email)?,
            (None, None) => None,
        };
        let quote = quote::quote(from, tax, &cart, buyer.as_slice(), at)?;
        Ok(Self::new(id, cart, quote, tax.price_basis()))
    }

    fn new(id: CartId, cart: Cart, quote: CartQuote, basis: PriceBasis) -> Self {
        let CartQuote { lines, priced, problems } = quote;
        let CartDetails {
            email,
            name,
            shipping_address,
            billing_address,
            shipping_method_id,
            codes,
            note,
        } = cart.details;
        let unpriced = codes.into_iter().map(|code| CartCodeResponse {
            code,
            applied: false,
            reason: Some("nothing in the cart can be sold".into()),
        });
        let (totals, tax_lines, codes) = match priced {
            None => (None, Vec::new(), unpriced.collect()),
            Some(priced) => {
                let codes = priced.codes.into_iter().map(|outcome| CartCodeResponse {
                    code: outcome.code,
                    applied: outcome.refusal.is_none(),
                    reason: outcome.refusal.map(|refusal| refusal.to_string()),
                });
                (
                    Some(priced.totals.into()),
                    priced.tax_lines,
                    codes.collect(),
                )
            }
        };
        Self {
            id,
            token: None,
            items: lines.into_iter().map(CartLineResponse::from).collect(),
            details: CartDetailsResponse {
                email,
                name,
                shipping_address,
                billing_address,
                shipping_method_id,
                note,
            },
            codes,
            totals,
            prices_include_tax: basis == PriceBasis::Gross,
            tax_lines: tax_lines.into_iter().map(CartTaxResponse::from).collect(),
            // One that became an order is never ordered again.
            problems: if cart.order_id.is_some() { Vec::new() } else { problems },
            left_out: Vec::new(),
            order_id: cart.order_id,
            created_at: cart.created_at,
            updated_at: cart.updated_at,
        }
    }
}

impl From<CartLine> for CartLineResponse {
    fn from(CartLine { item, listing, outcome }: CartLine) -> Self {
        let (sku, title, unit_price) = match listing {
            Some(listing) => (Some(listing.sku), Some(listing.title), Some(listing.price)),
            None => (None, None, None),
        };
        let price = outcome.ok().zip(unit_price);
        let price = price.map(|(line, unit_price)| CartLinePrice {
            unit_price,
            line_total: line.line_total,
            discount: line.discount,
            tax_rate_bp: line.tax_rate_bp,
            tax: line.tax,
        });
        let CartItem { product_id, quantity } = item;
        Self {
            product_id,
            sku,
            title,
            quantity,
            price,
            problem: outcome.err(),
        }
    }
}

impl From<Totals> for CartTotalsResponse {
    fn from(Totals { items, discount, shipping, tax, total }: Totals) -> Self {
        Self { items, discount, shipping, tax, total }
    }
}

impl From<TaxLine> for CartTaxResponse {
    fn from(TaxLine { name, rate_bp, net, tax }: TaxLine) -> Self {
        Self { name, rate_bp, net, tax }
    }
}
