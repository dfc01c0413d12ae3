//! All sums, as they are stored and as the orders make them, for the consistency check.

use std::collections::BTreeMap;

use model::{CustomerId, Day, ProductId};
use store::Read;

use super::{BY_BUYER, BY_DAY, BY_PRODUCT, SalesRow, SalesState, SpentRow};
use crate::domain::{Order, StatusChange};

/// All sums, as they are stored or as they should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AllSums {
    by_day: BTreeMap<(u16, String), SalesRow>,
    by_product: BTreeMap<(u16, ProductId, String), SalesRow>,
    by_buyer: BTreeMap<CustomerId, SpentRow>,
}

impl AllSums {
    /// The stored sums.
    pub(crate) fn stored(from: &impl Read) -> Result<Self, store::Error> {
        let by_product = from.scan(BY_PRODUCT.all())?;
        Ok(Self {
            by_day: from.scan(BY_DAY.all())?.collect::<Result<_, _>>()?,
            by_product: by_product
                .map(|row| row.map(|(key, row)| (key, row.sales)))
                .collect::<Result<_, _>>()?,
            by_buyer: from.scan(BY_BUYER.all())?.collect::<Result<_, _>>()?,
        })
    }

    /// Adds an order with its history.
    pub(crate) fn add_order(&mut self, order: &Order, history: &[StatusChange]) {
        let SalesState { is_sold, kept } = SalesState::of(order);
        if !is_sold {
            return;
        }
        let (day, currency) = (order.created_at.day(), order.total.currency.to_string());
        let mut add = |day: Day, sales: SalesRow| {
            let sum = self.by_day.entry((day.0, currency.clone())).or_default();
            *sum = sum.plus(sales);
        };
        add(day, SalesRow::of_order(order));
        for change in history {
            if let Some(amount) = change.refund() {
                add(change.at.day(), SalesRow::of_refund(amount));
            }
        }
        for line in &order.lines {
            let key = (day.0, line.product_id, currency.clone());
            let sum = self.by_product.entry(key).or_default();
            *sum = sum.plus(SalesRow::of_line(order, line));
        }
        if let Some(kept) = kept {
            let row = self.by_buyer.entry(order.buyer.customer_id()).or_default();
            row.orders += 1;
            row.add(order.total.currency, kept);
        }
    }

    /// The places at which other sums differ, described.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = differing(&self.by_day, &other.by_day, |(day, currency)| {
            format!("the day {}, {currency}", Day(*day))
        });
        found.extend(differing(
            &self.by_product,
            &other.by_product,
            |(day, product, currency)| format!("the day {}, {product}, {currency}", Day(*day)),
        ));
        found.extend(differing(
            &self.by_buyer,
            &other.by_buyer,
            CustomerId::to_string,
        ));
        found
    }
}

fn differing<K: Ord, V: PartialEq>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
) -> Vec<String> {
    let changed = one
        .iter()
        .filter(|(key, value)| other.get(*key) != Some(*value));
    let absent = other.iter().filter(|(key, _)| !one.contains_key(*key));
    changed.chain(absent).map(|(key, _)| name(key)).collect()
}
