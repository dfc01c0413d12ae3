//! Which promotions are for a basket, and for which of its lines; why a code is refused.

use model::{Money, ProductId, Time};

use crate::basket::{Basket, BasketLine, Goods, Terms};
use crate::shop::{Benefit, CATEGORY_SEPARATOR, Promotion, UsesLeft, code_key};

/// What became of a code that the buyer gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeOutcome {
    /// As they gave it.
    pub code: String,
    /// Why it does not apply; `None` if it does.
    pub refusal: Option<CodeRefusal>,
}

/// Why a code does not apply. Its text is for the buyer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefusal {
    /// No promotion has it, or one that is switched off.
    #[error("this code is not valid")]
    Unknown,
    /// Before the promotion's `from`.
    #[error("this code is not valid yet")]
    NotYet,
    /// At or after the promotion's `until`.
    #[error("this code has expired")]
    Ended,
    /// As often as it may be used at all.
    #[error("this code has been used up")]
    UsedUp,
    /// As often as this buyer may use it.
    #[error("you have used this code as often as you may")]
    UsedUpByBuyer,
    /// Its amounts are in another currency.
    #[error("this code is for another currency")]
    OtherCurrency,
    /// No line is of its products or categories.
    #[error("nothing in the basket is part of this offer")]
    NothingEligible,
    /// What it is for costs less than this before discounts.
    #[error("this code needs {0} of what it is for")]
    BelowMinimum(Money),
    /// It would take nothing off.
    #[error("this code takes nothing off this basket")]
    NoEffect,
    /// What applies instead takes off more, or as much and was there first.
    #[error("this code cannot be combined with {}", with.as_deref().unwrap_or("the discount that applies"))]
    NotCombinable {
        /// The first code that applies instead, if one does.
        with: Option<String>,
    },
}

/// A promotion that is for a basket.
pub(crate) struct Candidate<'a> {
    pub(crate) promotion: &'a Promotion,
    /// The lines that it is for, by their places in [`Goods`].
    pub(crate) lines: Vec<usize>,
}

/// The automatic promotions that are for a basket, by id.
pub(crate) fn automatic<'a>(
    basket: &Basket<'_>,
    terms: &Terms<'a>,
    goods: &Goods<'_>,
    now: Time,
) -> Vec<Candidate<'a>> {
    let automatic = terms
        .promotions
        .iter()
        .filter(|promotion| promotion.code.is_none());
    let mut candidates: Vec<_> = automatic
        .filter_map(|promotion| candidate(promotion, basket, goods, now).ok())
        .collect();
    candidates.sort_by_key(|candidate| candidate.promotion.id);
    candidates
}

/// The promotion of a code, if it is for the basket.
pub(crate) fn by_code<'a>(
    code: &str,
    basket: &Basket<'_>,
    terms: &Terms<'a>,
    goods: &Goods<'_>,
    now: Time,
) -> Result<Candidate<'a>, CodeRefusal> {
    let key = code_key(code);
    let has_code = |promotion: &&Promotion| {
        promotion
            .code
            .as_deref()
            .is_some_and(|code| code_key(code) == key)
    };
    let promotions = terms.promotions.iter().filter(has_code);
    let promotion = promotions
        .min_by_key(|promotion| promotion.id)
        .ok_or(CodeRefusal::Unknown)?;
    candidate(promotion, basket, goods, now)
}

fn candidate<'a>(
    promotion: &'a Promotion,
    basket: &Basket<'_>,
    goods: &Goods<'_>,
    now: Time,
) -> Result<Candidate<'a>, CodeRefusal> {
    if !promotion.is_active {
        return Err(CodeRefusal::Unknown);
    }
    if promotion.from.is_some_and(|from| now < from) {
        return Err(CodeRefusal::NotYet);
    }
    if promotion.until.is_some_and(|until| now >= until) {
        return Err(CodeRefusal::Ended);
    }
    match promotion.uses_left {
        UsesLeft::Some => {}
        UsesLeft::None => return Err(CodeRefusal::UsedUp),
        UsesLeft::NoneForBuyer => return Err(CodeRefusal::UsedUpByBuyer),
    }
    let amount = match promotion.benefit {
        Benefit::Amount(amount) => Some(amount),
        Benefit::Percent(_) | Benefit::FreeShipping => None,
    };
    let is_foreign = |money: Money| money.currency != basket.currency;
    if [amount, promotion.minimum]
        .into_iter()
        .flatten()
        .any(is_foreign)
    {
        return Err(CodeRefusal::OtherCurrency);
    }
    let lines = eligible_lines(promotion, goods);
    if lines.is_empty() {
        return Err(CodeRefusal::NothingEligible);
    }
    let value: i128 = lines.iter().map(|line| goods.values[*line]).sum();
    match promotion.minimum {
        Some(minimum) if value < minimum.amount.into() => Err(CodeRefusal::BelowMinimum(minimum)),
        _ => Ok(Candidate { promotion, lines }),
    }
}

/// Every line, or those of the promotion's products and of its categories and below them.
fn eligible_lines(promotion: &Promotion, goods: &Goods<'_>) -> Vec<usize> {
    let Promotion { product_ids, categories, .. } = promotion;
    let is_for_all = product_ids.is_empty() && categories.is_empty();
    let place = |id: &ProductId| {
        goods
            .lines
            .binary_search_by_key(id, |line| line.product_id)
            .ok()
    };
    let mut is_eligible = vec![is_for_all; goods.lines.len()];
    for line in product_ids.iter().filter_map(place) {
        is_eligible[line] = true;
    }
    for (line, is_eligible) in goods.lines.iter().zip(&mut is_eligible) {
        *is_eligible |= categories.iter().any(|category| is_of(line, category));
    }
    (0..goods.lines.len())
        .filter(|line| is_eligible[*line])
        .collect()
}

fn is_of(line: &BasketLine<'_>, category: &str) -> bool {
    line.categories.iter().any(|path| {
        let below = path.strip_prefix(category);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with(CATEGORY_SEPARATOR))
    })
}
