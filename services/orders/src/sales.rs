//! Sums of sales, moved in the transactions of the orders: by day, by day and product, and by
//! buyer.
//!
//! | table | key → value |
//! | --- | --- |
//! | `sales_by_day` | day, currency → orders, units and money of the orders placed on it, and refunds made on it |
//! | `sales_by_product` | day, product, currency → orders, units and money of the orders placed on it |
//! | `sales_by_user` | customer → their paid orders, and what they spent |
//!
//! An order counts from its confirmation on, on the day of UTC on which it was placed. A
//! cancelled one counts no more, on no day, nor do refunds of it. A refund counts on the day on
//! which it was made, and is of the whole order, so no product has one; one that failed is taken off
//! the day on which it did. A product's category is
//! the one that it had when it was first sold on that day.
//!
//! **Invariant:** the sums are those of [`Sums::add_order`] over all orders that the backfill
//! covers; `check` compares them.

mod comparison;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chassis::{Backfill, Context};
use mesh::Log;
use model::{Currency, CustomerId, Day, Money, OrderId, ProductId};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

pub(crate) use self::comparison::AllSums;
pub(crate) use self::report::{SalesReport, by_category, by_day, by_product};
use crate::domain::{Order, OrderLine, OrderStatus, StatusChange};
use crate::lists::SortedRuns;
use crate::numbers::Numbers;
use crate::payments::providers::calls::CallQueue;
use crate::tables::{self, ORDERS, OrderRow, StoredOrder};

const BY_DAY: Table<(u16, String), SalesRow> = Table::new("sales_by_day");
const BY_PRODUCT: Table<(u16, ProductId, String), ProductSalesRow> = Table::new("sales_by_product");
const BY_BUYER: Table<CustomerId, SpentRow> = Table::new("sales_by_user");

/// What was sold, in minor units of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SalesRow {
    pub(crate) orders: i64,
    pub(crate) units: i64,
    pub(crate) gross: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) tax: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) refunds: i64,
}

/// What was sold of a product, as it was named then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductSalesRow {
    pub(crate) sku: String,
    pub(crate) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) category: Option<String>,
    pub(crate) sales: SalesRow,
}

/// What a buyer spent: the money of each currency that the shop kept, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpentRow {
    pub(crate) orders: i64,
    pub(crate) spent: BTreeMap<String, i64>,
}

impl Record for SalesRow {}
impl Record for ProductSalesRow {}
impl Record for SpentRow {}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl SalesRow {
    /// The sum of two.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            orders: self.orders + other.orders,
            units: self.units + other.units,
            gross: self.gross.saturating_add(other.gross),
            tax: self.tax.saturating_add(other.tax),
            refunds: self.refunds.saturating_add(other.refunds),
        }
    }

    fn times(self, sign: Sign) -> Self {
        let Self { orders, units, gross, tax, refunds } = self;
        let Sign(sign) = sign;
        Self {
            orders: orders * sign,
            units: units * sign,
            gross: gross * sign,
            tax: tax * sign,
            refunds: refunds * sign,
        }
    }

    /// An order as it is placed.
    fn of_order(order: &Order) -> Self {
        let units = order
            .lines
            .iter()
            .map(|line| i64::from(line.quantity))
            .sum();
        let (gross, tax) = (order.total.amount, order.charges.tax);
        Self { orders: 1, units, gross, tax, refunds: 0 }
    }

    /// A line of an order as it is placed; shipping is in no line.
    fn of_line(order: &Order, line: &OrderLine) -> Self {
        let gross = line.charged(order.charges.price_basis);
        Self {
            orders: 1,
            units: line.quantity.into(),
            gross,
            tax: line.tax,
            refunds: 0,
        }
    }

    fn of_refund(amount: Money) -> Self {
        Self { refunds: amount.amount, ..Self::default() }
    }
}

impl SpentRow {
    /// Adds minor units of a currency; a currency of which nothing was spent has no entry.
    fn add(&mut self, currency: Currency, units: i64) {
        let spent = self.spent.entry(currency.to_string()).or_default();
        *spent += units;
        if *spent == 0 {
            self.spent.remove(&currency.to_string());
        }
    }
}

/// Whether something is counted, or counted no more.
#[derive(Debug, Clone, Copy)]
struct Sign(i64);

const COUNTED: Sign = Sign(1);
const COUNTED_NO_MORE: Sign = Sign(-1);

/// What of an order the sums depend on beside its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SalesState {
    is_sold: bool,
    /// What the shop keeps of a paid order, in minor units.
    kept: Option<i64>,
}

impl SalesState {
    pub(crate) fn of(order: &Order) -> Self {
        use OrderStatus::{Confirmed, Delivered, Paid, Refunded, Shipped};
        let is_sold = matches!(
            order.status,
            Confirmed | Paid | Shipped | Delivered | Refunded
        );
        let is_kept = is_sold && order.is_paid();
        let kept = is_kept.then(|| order.total.amount - order.refunded_total.amount);
        Self { is_sold, kept }
    }
}

/// What changes with the orders: log, sums, indexes, numbers, and calls to payment providers.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) log: Log,
    pub(crate) sums: Sums,
    pub(crate) runs: SortedRuns,
    pub(crate) numbers: Numbers,
    pub(crate) calls: CallQueue,
}

/// The sums, and how far they count the orders of earlier versions.
#[derive(Clone)]
pub(crate) struct Sums(Backfill<OrderId, OrderRow>);

impl Sums {
    pub(crate) fn new() -> Self {
        const SUMS: &[&str] = &[BY_DAY.name(), BY_PRODUCT.name(), BY_BUYER.name()];
        Self(Backfill::new("sums of sales", ORDERS, SUMS))
    }

    /// Counts the orders that are not counted yet.
    pub(crate) async fn start(&self, ctx: &Context) -> Result<(), store::Error> {
        self.0.start(ctx, count_known).await
    }

    /// Refuses a request while not all orders are counted.
    pub(crate) fn require(&self) -> Result<(), chassis::Problem> {
        self.0.require()
    }

    /// Whether all orders are counted.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Moves the sums with an order that was `before`; `change` is not in its history yet.
    pub(crate) fn record(
        &self,
        tx: &mut Tx<'_>,
        before: SalesState,
        after: &StoredOrder,
        change: &StatusChange,
    ) -> Result<(), store::Error> {
        let order = &after.order;
        let now = SalesState::of(order);
        if before == now && change.refunded.is_none() || !self.0.covers(tx, &order.id)? {
            return Ok(());
        }
        match (before.is_sold, now.is_sold) {
            (false, true) => add_sale(tx, order, COUNTED)?,
            (true, false) => {
                add_sale(tx, order, COUNTED_NO_MORE)?;
                add_refunds(tx, after, COUNTED_NO_MORE)?;
            }
            (true, true) => add_refund(tx, change, COUNTED)?,
            (false, false) => {}
        }
        add_spent(tx, order, before.kept, now.kept)
    }
}

/// Counts an order of an earlier version.
fn count_known(tx: &mut Tx<'_>, _: OrderId, row: OrderRow) -> Result<(), store::Error> {
    let stored = tables::with_lines(tx, row)?;
    let state = SalesState::of(&stored.order);
    if state.is_sold {
        add_sale(tx, &stored.order, COUNTED)?;
        add_refunds(tx, &stored, COUNTED)?;
    }
    add_spent(tx, &stored.order, None, state.kept)
}

fn add_sale(tx: &mut Tx<'_>, order: &Order, sign: Sign) -> Result<(), store::Error> {
    let (day, currency) = (order.created_at.day(), order.total.currency);
    add_to_day(tx, day, currency, SalesRow::of_order(order).times(sign))?;
    for line in &order.lines {
        let key = (day.0, line.product_id, currency.to_string());
        let row = match tx.get(BY_PRODUCT, &key)? {
            Some(row) => row,
            None => ProductSalesRow {
                sku: line.sku.clone(),
                title: line.title.clone(),
                category: tables::listing(tx, line.product_id)?.and_then(|known| known.category),
                sales: SalesRow::default(),
            },
        };
        let sold = SalesRow::of_line(order, line);
        let sales = row.sales.plus(sold.times(sign));
        if sales == SalesRow::default() {
            tx.delete(BY_PRODUCT, &key)?;
        } else {
            tx.put(BY_PRODUCT, &key, &ProductSalesRow { sales, ..row })?;
        }
    }
    Ok(())
}

fn add_to_day(
    tx: &mut Tx<'_>,
    day: Day,
    currency: Currency,
    sales: SalesRow,
) -> Result<(), store::Error> {
    let key = (day.0, currency.to_string());
    let sum = tx.get(BY_DAY, &key)?.unwrap_or_default().plus(sales);
    if sum == SalesRow::default() {
        return tx.delete(BY_DAY, &key);
    }
    tx.put(BY_DAY, &key, &sum)
}

fn add_refund(tx: &mut Tx<'_>, change: &StatusChange, sign: Sign) -> Result<(), store::Error> {
    match change.refund() {
        None => Ok(()),
        Some(amount) => {
            let sales = SalesRow::of_refund(amount).times(sign);
            add_to_day(tx, change.at.day(), amount.currency, sales)
        }
    }
}

/// The refunds in the history of an order.
fn add_refunds(tx: &mut Tx<'_>, stored: &StoredOrder, sign: Sign) -> Result<(), store::Error> {
    if stored.history_rows == 0 {
        return Ok(());
    }
    for change in tables::history(tx, &stored.order)? {
        add_refund(tx, &change, sign)?;
    }
    Ok(())
}

fn add_spent(
    tx: &mut Tx<'_>,
    order: &Order,
    before: Option<i64>,
    after: Option<i64>,
) -> Result<(), store::Error> {
    if before == after {
        return Ok(());
    }
    let mut row = tx
        .get(BY_BUYER, &order.buyer.customer_id())?
        .unwrap_or_default();
    row.orders += i64::from(after.is_some()) - i64::from(before.is_some());
    let units = after.unwrap_or(0) - before.unwrap_or(0);
    row.add(order.total.currency, units);
    if row.orders == 0 {
        return tx.delete(BY_BUYER, &order.buyer.customer_id());
    }
    tx.put(BY_BUYER, &order.buyer.customer_id(), &row)
}

/// Moves what was paid for an order from its buyer `before` to its buyer now.
pub(crate) fn change_buyer(
    tx: &mut Tx<'_>,
    before: &Order,
    after: &Order,
) -> Result<(), store::Error> {
    let SalesState { kept, .. } = SalesState::of(after);
    add_spent(tx, before, kept, None)?;
    add_spent(tx, after, None, kept)
}

/// What a buyer spent.
pub(crate) fn spent(from: &impl Read, buyer: CustomerId) -> Result<SpentRow, store::Error> {
    Ok(from.get(BY_BUYER, &buyer)?.unwrap_or_default())
}
