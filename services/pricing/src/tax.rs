//! Tax: the rate of a class at a place, and the tax of everything that one rate taxes.
//!
//! EN 16931 computes the tax of a rate from the sum of what it taxes (BR-CO-17), not line by
//! line: three lines of 0.33 at 19 % have a tax of 0.19 together, not three times 0.06. That sum
//! is rounded once and then spread over the lines.
//!
//! **Invariant:** with gross prices, net plus tax of a rate is the gross amount.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::{Money, TaxClass};

use crate::basket::{PriceBasis, ShipTo, Terms};
use crate::rounding::{WHOLE_BP, apportion, half_up, part};
use crate::shop::{ShippingKind, ShippingMethod, TaxRate, code_key};

/// Everything that one rate taxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxLine {
    /// The rate's name.
    pub name: String,
    /// Basis points.
    pub rate_bp: u32,
    /// What is taxed, without the tax.
    pub net: Money,
    /// The tax.
    pub tax: Money,
}

/// The tax of an amount of which everything has one rate.
fn tax_of(amount: i128, rate_bp: u32, basis: PriceBasis) -> i128 {
    let rate = i128::from(rate_bp);
    match basis {
        PriceBasis::Net => part(amount, rate_bp),
        PriceBasis::Gross => half_up(amount * rate, i128::from(WHOLE_BP) + rate),
    }
}

/// Lines and shipping by their rates. Rates of one name and height are one group; what has no
/// rate is a group without tax, the last one.
pub(crate) struct TaxGroups<'a> {
    /// Highest rate first; the last is the group without a rate.
    rates: Vec<Option<(u32, &'a str)>>,
    /// The group of each line.
    of_lines: Vec<usize>,
    /// The group of the chosen method's class.
    of_method: usize,
    basis: PriceBasis,
}

/// The taxes of a basket.
pub(crate) struct Taxes {
    /// Of each line.
    pub(crate) lines: Vec<i128>,
    pub(crate) shipping: i128,
    /// Rate, name, net amount and tax of each group that has a rate.
    pub(crate) groups: Vec<(u32, String, i128, i128)>,
}

impl<'a> TaxGroups<'a> {
    /// `classes` are those of the lines.
    pub(crate) fn new<'b>(
        terms: &Terms<'a>,
        ship_to: Option<&ShipTo<'_>>,
        method: Option<&ShippingMethod>,
        classes: impl Iterator<Item = &'b TaxClass>,
    ) -> Self {
        // What is picked up changes hands at the shop.
        let is_pickup = method.is_some_and(|method| method.kind == ShippingKind::Pickup);
        let at_home = ShipTo { country: terms.home_country, region: None, postal_code: None };
        let place = ship_to.filter(|_| !is_pickup).copied().unwrap_or(at_home);
        let rates = terms.tax_rates.iter();
        let rates: Vec<&TaxRate> = rates.filter(|rate| rate.is_charged_in(&place)).collect();
        let of_class = |class: &TaxClass| {
            let fitting = rates.iter().filter(|rate| rate.tax_class == *class);
            // A region's rate goes before its country's.
            let rate = fitting.min_by_key(|rate| (rate.region.is_none(), rate.rate_bp, &rate.name));
            rate.map(|rate| (Reverse(rate.rate_bp), rate.name.as_str()))
        };
        let of_lines: Vec<_> = classes.map(of_class).collect();
        let of_method = method.and_then(|method| of_class(&method.tax_class));
        let keys: BTreeMap<_, ()> = of_lines
            .iter()
            .chain([&of_method])
            .flatten()
            .map(|key| (*key, ()))
            .collect();
        let keys: Vec<_> = keys.into_keys().collect();
        let group = |key: &Option<_>| match key {
            Some(key) => keys.binary_search(key).unwrap_or(keys.len()),
            None => keys.len(),
        };
        Self {
            of_lines: of_lines.iter().map(group).collect(),
            of_method: group(&of_method),
            rates: keys
                .iter()
                .map(|(Reverse(bp), name)| Some((*bp, *name)))
                .chain([None])
                .collect(),
            basis: terms.price_basis,
        }
    }

    /// The rate of a line, in basis points.
    pub(crate) fn rate_bp(&self, line: usize) -> u32 {
        self.rates[self.of_lines[line]].map_or(0, |(rate_bp, _)| rate_bp)
    }

    /// The sum of the lines' amounts in each group.
    fn sums(&self, lines: &[i128]) -> Vec<i128> {
        let mut sums = vec![0; self.rates.len()];
        for (group, amount) in self.of_lines.iter().zip(lines) {
            sums[*group] += amount;
        }
        sums
    }

    /// Shipping's part in each group: all of it in that of its method's class.
    pub(crate) fn shipping_by_method(&self, shipping: i128) -> Vec<i128> {
        let mut parts = vec![0; self.rates.len()];
        parts[self.of_method] = shipping;
        parts
    }

    /// Shipping's part in each group: spread as the lines' amounts are, where they all cost
    /// nothing as their values before discounts are, and without those by its method's class.
    pub(crate) fn shipping_by_goods(
        &self,
        shipping: i128,
        lines: &[i128],
        values: &[i128],
    ) -> Vec<i128> {
        let sums = [lines, values].map(|amounts| self.sums(amounts));
        match sums.iter().find(|sums| sums.iter().any(|sum| *sum > 0)) {
            Some(sums) => apportion(shipping, sums),
            None => self.shipping_by_method(shipping),
        }
    }

    fn group_tax(&self, group: usize, amount: i128) -> i128 {
        self.rates[group].map_or(0, |(rate_bp, _)| tax_of(amount, rate_bp, self.basis))
    }

    /// The sum of all taxes.
    pub(crate) fn sum(&self, lines: &[i128], shipping: &[i128]) -> i128 {
        let amounts = self.sums(lines).into_iter().zip(shipping).enumerate();
        amounts
            .map(|(group, (sum, part))| self.group_tax(group, sum + part))
            .sum()
    }

    /// The tax of each group on its sum, spread over its lines and shipping.
    pub(crate) fn taxes(&self, lines: &[i128], shipping: &[i128]) -> Taxes {
        let sums = self.sums(lines);
        let mut taxes = Taxes { lines: vec![0; lines.len()], shipping: 0, groups: Vec::new() };
        for (group, rate) in self.rates.iter().enumerate() {
            let Some((rate_bp, name)) = rate else {
                continue;
            };
            let members = || (0..lines.len()).filter(|line| self.of_lines[*line] == group);
            let amount = sums[group] + shipping[group];
            if members().next().is_none() && amount == 0 {
                continue;
            }
            let tax = self.group_tax(group, amount);
            let weights: Vec<i128> = members()
                .map(|line| lines[line])
                .chain([shipping[group]])
                .collect();
            let shares = apportion(tax, &weights);
            for (line, share) in members().zip(&shares) {
                taxes.lines[line] = *share;
            }
            taxes.shipping += shares[shares.len() - 1];
            let net = match self.basis {
                PriceBasis::Gross => amount - tax,
                PriceBasis::Net => amount,
            };
            taxes.groups.push((*rate_bp, (*name).to_owned(), net, tax));
        }
        taxes
    }
}

impl TaxRate {
    fn is_charged_in(&self, place: &ShipTo<'_>) -> bool {
        let region = |own: &String| {
            let there = place.region.unwrap_or_default();
            code_key(own) == code_key(there)
        };
        self.country == place.country && self.region.as_ref().is_none_or(region)
    }
}
