//! The priced basket: its lines, sums, taxes, and what became of its codes.

use model::{Currency, Money, ProductId, ShippingMethodId, Time};

use crate::basket::{AMOUNT_MAX, Basket, Goods, PriceBasis, PricingError, ShippingTaxedBy, Terms};
use crate::discount::{self, AppliedPromotion, Reductions, ShippingCost, reduce};
use crate::eligibility::{self, Candidate, CodeOutcome, CodeRefusal};
use crate::shop::{Benefit, code_key};
use crate::tax::{TaxGroups, TaxLine, Taxes};

/// A basket with its prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedBasket {
    /// The sums.
    pub totals: Totals,
    /// The lines, in the basket's order.
    pub lines: Vec<PricedLine>,
    /// The tax of each rate, the highest first. What has no rate is in none.
    pub tax_lines: Vec<TaxLine>,
    /// What became of shipping.
    pub shipping: ShippingOutcome,
    /// The buyer's codes, in the order given.
    pub codes: Vec<CodeOutcome>,
    /// The promotions that apply, automatic ones first: a use of each is spent by the order.
    pub promotions: Vec<AppliedPromotion>,
}

/// The sums of a basket, none negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The lines before discounts.
    pub items: Money,
    /// What promotions take off the lines. Free shipping is none of it: it shows as a shipping
    /// of zero, so that the lines' discounts add up to this.
    pub discount: Money,
    /// What shipping costs.
    pub shipping: Money,
    /// All tax; with gross prices a part of the other sums.
    pub tax: Money,
    /// Items less discount and with shipping; with net prices also with tax.
    pub total: Money,
}

/// A line of a priced basket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PricedLine {
    /// The product.
    pub product_id: ProductId,
    /// Quantity times unit price.
    pub line_total: Money,
    /// What promotions take off it.
    pub discount: Money,
    /// Basis points; 0 also where no rate is charged.
    pub tax_rate_bp: u32,
    /// Its share of the tax of its rate.
    pub tax: Money,
}

/// What became of shipping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippingOutcome {
    /// Nothing has to be sent; a chosen method is not used.
    NotNeeded,
    /// No method is chosen.
    NotChosen,
    /// The chosen method does not fit the basket or its destination.
    NotAvailable,
    /// The chosen method is charged.
    Charged {
        /// The method.
        method_id: ShippingMethodId,
        /// Its price before a promotion that makes it free.
        price: Money,
        /// The tax of what it costs.
        tax: Money,
    },
}

/// Prices a basket at a time.
///
/// # Errors
/// Where the basket is beyond a limit, or an amount above [`AMOUNT_MAX`].
pub fn price(
    basket: &Basket<'_>,
    terms: &Terms<'_>,
    now: Time,
) -> Result<PricedBasket, PricingError> {
    let goods = Goods::new(basket)?;
    let method = basket.shipping_method;
    let shipping = method.map(|method| (method, method.price(basket, terms, &goods)));
    let outcome = match shipping {
        _ if goods.weight_g().is_none() => ShippingOutcome::NotNeeded,
        None => ShippingOutcome::NotChosen,
        Some((_, None)) => ShippingOutcome::NotAvailable,
        Some((method, Some(price))) => ShippingOutcome::Charged {
            method_id: method.id,
            price: money(price, basket.currency)?,
            tax: Money::zero(basket.currency),
        },
    };
    let charged = shipping.and_then(|(method, price)| price.map(|price| (method, price)));
    let classes = goods.lines.iter().map(|line| line.tax_class);
    let charged_method = charged.map(|(method, _)| method);
    let calculation = Calculation {
        groups: TaxGroups::new(terms, basket.ship_to.as_ref(), charged_method, classes),
        shipping_price: charged.map_or(0, |(_, price)| price),
        terms: *terms,
        goods,
        outcome,
    };
    calculation.price(basket, now)
}

/// A valid basket with what its total is made of, whatever promotions apply.
struct Calculation<'a> {
    goods: Goods<'a>,
    groups: TaxGroups<'a>,
    shipping_price: i128,
    outcome: ShippingOutcome,
    terms: Terms<'a>,
}

/// What is paid after some reductions, as prices are stated.
struct Charges {
    lines: Vec<i128>,
    shipping: i128,
    /// Shipping's part in each tax group.
    shipping_parts: Vec<i128>,
}

impl Calculation<'_> {
    fn price(mut self, basket: &Basket<'_>, now: Time) -> Result<PricedBasket, PricingError> {
        let candidates = Candidates::of(basket, &self.terms, &self.goods, now);
        let shipping = match self.outcome {
            ShippingOutcome::NotNeeded | ShippingOutcome::Charged { .. } => ShippingCost::Known,
            ShippingOutcome::NotChosen | ShippingOutcome::NotAvailable => ShippingCost::Open,
        };
        let total = |applied: &[&Candidate<'_>]| {
            self.total(&self.charges(&reduce(&self.goods.values, applied)))
        };
        let outcomes = discount::choose(&candidates.all, shipping, total);
        let applied = candidates.all.iter().zip(&outcomes);
        let applied = applied.filter(|(_, outcome)| outcome.is_ok());
        let applied: Vec<_> = applied.map(|(candidate, _)| candidate).collect();
        let reductions = reduce(&self.goods.values, &applied);
        let charges = self.charges(&reductions);
        let taxes = self.groups.taxes(&charges.lines, &charges.shipping_parts);
        let currency = basket.currency;
        if let ShippingOutcome::Charged { tax, .. } = &mut self.outcome {
            *tax = money(taxes.shipping, currency)?;
        }
        let promotions = self.applied(&applied, &reductions, currency)?;
        Ok(PricedBasket {
            totals: self.totals(&charges, &reductions, &taxes, currency)?,
            lines: self.lines(&reductions, &taxes, currency)?,
            tax_lines: tax_lines(taxes, currency)?,
            shipping: self.outcome,
            codes: candidates.outcomes(basket.codes, &outcomes),
            promotions,
        })
    }

    fn charges(&self, reductions: &Reductions) -> Charges {
        let lines = self.goods.values.iter().zip(&reductions.lines);
        let lines: Vec<i128> = lines.map(|(value, reduction)| value - reduction).collect();
        let shipping = if reductions.has_free_shipping {
            0
        } else {
            self.shipping_price
        };
        let shipping_parts = match self.terms.shipping_taxed_by {
            ShippingTaxedBy::Method => self.groups.shipping_by_method(shipping),
            ShippingTaxedBy::Goods => {
                self.groups
                    .shipping_by_goods(shipping, &lines, &self.goods.values)
            }
        };
        Charges { lines, shipping, shipping_parts }
    }

    /// What the buyer pays.
    fn total(&self, charges: &Charges) -> i128 {
        let sum = charges.lines.iter().sum::<i128>() + charges.shipping;
        match self.terms.price_basis {
            PriceBasis::Gross => sum,
            PriceBasis::Net => sum + self.groups.sum(&charges.lines, &charges.shipping_parts),
        }
    }

    fn totals(
        &self,
        charges: &Charges,
        reductions: &Reductions,
        taxes: &Taxes,
        currency: Currency,
    ) -> Result<Totals, PricingError> {
        let tax = taxes.lines.iter().sum::<i128>() + taxes.shipping;
        Ok(Totals {
            items: money(self.goods.value(), currency)?,
            discount: money(reductions.lines.iter().sum(), currency)?,
            shipping: money(charges.shipping, currency)?,
            tax: money(tax, currency)?,
            total: money(self.total(charges), currency)?,
        })
    }

    fn lines(
        &self,
        reductions: &Reductions,
        taxes: &Taxes,
        currency: Currency,
    ) -> Result<Vec<PricedLine>, PricingError> {
        let mut lines = Vec::with_capacity(self.goods.lines.len());
        for (place, line) in self.goods.lines.iter().enumerate() {
            let priced = PricedLine {
                product_id: line.product_id,
                line_total: money(self.goods.values[place], currency)?,
                discount: money(reductions.lines[place], currency)?,
                tax_rate_bp: self.groups.rate_bp(place),
                tax: money(taxes.lines[place], currency)?,
            };
            lines.push((self.goods.places[place], priced));
        }
        lines.sort_by_key(|(place, _)| *place);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    fn applied(
        &self,
        applied: &[&Candidate<'_>],
        reductions: &Reductions,
        currency: Currency,
    ) -> Result<Vec<AppliedPromotion>, PricingError> {
        let mut shipping = self.shipping_price;
        let mut promotions = Vec::with_capacity(applied.len());
        for (candidate, discount) in applied.iter().zip(&reductions.by_promotion) {
            let promotion = candidate.promotion;
            let shipping_discount = match promotion.benefit {
                Benefit::FreeShipping => std::mem::take(&mut shipping),
                Benefit::Percent(_) | Benefit::Amount(_) => 0,
            };
            promotions.push(AppliedPromotion {
                id: promotion.id,
                code: promotion.code.clone(),
                discount: money(*discount, currency)?,
                shipping_discount: money(shipping_discount, currency)?,
            });
        }
        Ok(promotions)
    }
}

/// The promotions that are for a basket, each once, and what is known of its codes.
struct Candidates<'a> {
    all: Vec<Candidate<'a>>,
    /// For each code the place of its candidate, or why it has none.
    by_code: Vec<Result<usize, CodeRefusal>>,
}

impl<'a> Candidates<'a> {
    fn of(basket: &Basket<'_>, terms: &Terms<'a>, goods: &Goods<'_>, now: Time) -> Self {
        let mut all = eligibility::automatic(basket, terms, goods, now);
        let keys: Vec<String> = basket.codes.iter().map(|code| code_key(code)).collect();
        let mut by_code: Vec<Result<usize, CodeRefusal>> = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            // A code that is given twice is one.
            let earlier = keys[..place].iter().position(|earlier| earlier == key);
            let found = match earlier {
                Some(earlier) => by_code[earlier].clone(),
                None => eligibility::by_code(key, basket, terms, goods, now).map(|candidate| {
                    all.push(candidate);
                    all.len() - 1
                }),
            };
            by_code.push(found);
        }
        Self { all, by_code }
    }

    fn outcomes(self, codes: &[String], chosen: &[Result<(), CodeRefusal>]) -> Vec<CodeOutcome> {
        let codes = codes.iter().zip(self.by_code);
        let outcome = |(code, found): (&String, Result<usize, CodeRefusal>)| {
            let refusal = found.and_then(|place| chosen[place].clone()).err();
            CodeOutcome { code: code.clone(), refusal }
        };
        codes.map(outcome).collect()
    }
}

fn tax_lines(taxes: Taxes, currency: Currency) -> Result<Vec<TaxLine>, PricingError> {
    let groups = taxes.groups.into_iter();
    let lines = groups.map(|(rate_bp, name, net, tax)| {
        let (net, tax) = (money(net, currency)?, money(tax, currency)?);
        Ok(TaxLine { name, rate_bp, net, tax })
    });
    lines.collect()
}

fn money(amount: i128, currency: Currency) -> Result<Money, PricingError> {
    let amount = i64::try_from(amount)
        .ok()
        .filter(|amount| *amount <= AMOUNT_MAX);
    Ok(Money { amount: amount.ok_or(PricingError::TooLarge)?, currency })
}
