//! What an order charges, in responses.

use model::{Money, ShippingMethodId};
use pricing::{PriceBasis, TaxLine};
use serde::Serialize;

use crate::domain::{ChosenMethod, GivenCode, Order};

/// The members of an order that say how its total comes about.
#[derive(Debug, Serialize)]
pub(super) struct ChargesResponse<'a> {
    totals: TotalsResponse,
    prices_include_tax: bool,
    tax_lines: Vec<TaxLineResponse<'a>>,
    codes: Vec<CodeResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_method: Option<MethodResponse<'a>>,
}

#[derive(Debug, Serialize)]
struct TotalsResponse {
    items: Money,
    discount: Money,
    shipping: Money,
    tax: Money,
    total: Money,
}

#[derive(Debug, Serialize)]
struct TaxLineResponse<'a> {
    name: &'a str,
    rate_bp: u32,
    net: Money,
    tax: Money,
}

#[derive(Debug, Serialize)]
struct CodeResponse<'a> {
    code: &'a str,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct MethodResponse<'a> {
    id: ShippingMethodId,
    name: &'a str,
}

impl<'a> ChargesResponse<'a> {
    pub(super) fn of(order: &'a Order) -> Self {
        let charges = &order.charges;
        let money = |amount| Money { amount, ..order.total };
        let method = charges.shipping_method.as_ref();
        Self {
            totals: TotalsResponse {
                items: order.items_total(),
                discount: money(charges.discount),
                shipping: money(charges.shipping),
                tax: money(charges.tax),
                total: order.total,
            },
            prices_include_tax: charges.price_basis == PriceBasis::Gross,
            tax_lines: charges
                .tax_lines
                .iter()
                .map(TaxLineResponse::from)
                .collect(),
            codes: charges.codes.iter().map(CodeResponse::from).collect(),
            shipping_method: method
                .map(|ChosenMethod { id, name }| MethodResponse { id: *id, name }),
        }
    }
}

impl<'a> From<&'a TaxLine> for TaxLineResponse<'a> {
    fn from(line: &'a TaxLine) -> Self {
        let TaxLine { name, rate_bp, net, tax } = line;
        Self { name, rate_bp: *rate_bp, net: *net, tax: *tax }
    }
}

impl<'a> From<&'a GivenCode> for CodeResponse<'a> {
    fn from(GivenCode { code, refusal }: &'a GivenCode) -> Self {
        Self { code, applied: refusal.is_none(), reason: refusal.as_deref() }
    }
}
