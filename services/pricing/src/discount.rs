//! Promotions: what each takes off, and which of them apply to a basket.
//!
//! Promotions that can be combined apply together: percents first, in the order of their ids,
//! each of what those before it left; then amounts; then free shipping. Every other stands alone.
//! Of these alternatives the one with the lowest total applies: among equals the combination,
//! then automatic promotions before codes, then the code that was given first.
//!
//! A promotion that would lower the total by nothing is left out, so that no use of it is spent.
//! **Invariant:** hence adding a code to those given never raises the total.

use model::{Money, PromotionId};

use crate::eligibility::{Candidate, CodeRefusal};
use crate::rounding::{WHOLE_BP, apportion, part};
use crate::shop::Benefit;

/// A promotion that applies to a basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPromotion {
    /// The promotion.
    pub id: PromotionId,
    /// Its code as the shop wrote it.
    pub code: Option<String>,
    /// What it takes off the lines.
    pub discount: Money,
    /// What it takes off shipping.
    pub shipping_discount: Money,
}

/// What promotions take off a basket.
pub(crate) struct Reductions {
    /// Of each line.
    pub(crate) lines: Vec<i128>,
    pub(crate) has_free_shipping: bool,
    /// Of each promotion, in the order in which they were given.
    pub(crate) by_promotion: Vec<i128>,
}

/// What the promotions take off lines of these values.
pub(crate) fn reduce(values: &[i128], promotions: &[&Candidate<'_>]) -> Reductions {
    let mut order: Vec<usize> = (0..promotions.len()).collect();
    order.sort_by_key(|place| {
        let promotion = promotions[*place].promotion;
        (
            !matches!(promotion.benefit, Benefit::Percent(_)),
            promotion.id,
        )
    });
    let mut left = values.to_vec();
    let mut by_promotion = vec![0; promotions.len()];
    for place in order {
        let Candidate { promotion, lines } = promotions[place];
        let costs: Vec<i128> = lines.iter().map(|line| left[*line]).collect();
        let cost: i128 = costs.iter().sum();
        let reduction = match promotion.benefit {
            Benefit::Percent(bp) => part(cost, bp.min(WHOLE_BP)),
            Benefit::Amount(amount) => i128::from(amount.amount).clamp(0, cost),
            Benefit::FreeShipping => 0,
        };
        by_promotion[place] = reduction;
        for (line, share) in lines.iter().zip(apportion(reduction, &costs)) {
            left[*line] -= share;
        }
    }
    let is_free = |one: &&Candidate<'_>| one.promotion.benefit == Benefit::FreeShipping;
    Reductions {
        lines: values
            .iter()
            .zip(&left)
            .map(|(value, left)| value - left)
            .collect(),
        has_free_shipping: promotions.iter().any(is_free),
        by_promotion,
    }
}

/// Whether what shipping costs is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShippingCost {
    Known,
    /// It will cost something, as soon as a method is chosen.
    Open,
}

/// The promotions that apply, by their places among the candidates, in that order; and why each
/// other does not. `total` is the basket's total with some reductions.
pub(crate) fn choose(
    candidates: &[Candidate<'_>],
    shipping: ShippingCost,
    total: impl Fn(&[&Candidate<'_>]) -> i128,
) -> Vec<Result<(), CodeRefusal>> {
    let at = |places: &[usize]| -> i128 {
        total(
            &places
                .iter()
                .map(|place| &candidates[*place])
                .collect::<Vec<_>>(),
        )
    };
    // Its effect shows once shipping has a price.
    let is_awaited = |place: usize| {
        let is_free = candidates[place].promotion.benefit == Benefit::FreeShipping;
        is_free && shipping == ShippingCost::Open
    };
    let is_combinable = |place: &usize| candidates[*place].promotion.is_combinable;
    let nothing = at(&[]);
    let (mut applied, mut least) = (Vec::new(), nothing);
    let mut has_effect = vec![false; candidates.len()];
    for place in (0..candidates.len()).filter(is_combinable) {
        applied.push(place);
        let total = at(&applied);
        has_effect[place] = total < least || is_awaited(place);
        match has_effect[place] {
            true => least = total,
            false => drop(applied.pop()),
        }
    }
    for place in (0..candidates.len()).filter(|place| !is_combinable(place)) {
        let total = at(&[place]);
        has_effect[place] = total < nothing || is_awaited(place);
        if total < least || (applied.is_empty() && has_effect[place]) {
            (applied, least) = (vec![place], total);
        }
    }
    let with = applied
        .iter()
        .find_map(|place| candidates[*place].promotion.code.clone());
    let outcome = |place: usize| match (applied.contains(&place), has_effect[place]) {
        (true, _) => Ok(()),
        (false, true) => Err(CodeRefusal::NotCombinable { with: with.clone() }),
        (false, false) => Err(CodeRefusal::NoEffect),
    };
    (0..candidates.len()).map(outcome).collect()
}
