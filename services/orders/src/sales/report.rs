//! The sales report: the sums of a span of days, by day, product or category.
//!
//! **Invariant:** a report reads rows of sums and no order; as many as there are days, or as
//! products sold on each of them.

use std::collections::{BTreeMap, HashMap};

use model::{Currency, Day, Money, ProductId};
use serde::Serialize;
use store::Read;

use super::{BY_DAY, BY_PRODUCT, ProductSalesRow, SalesRow};

/// Items of a report by product or category: those with the highest sums of money.
const ITEMS_MAX: usize = 1_000;

/// A report.
#[derive(Debug, Serialize)]
pub(crate) struct SalesReport {
    from: Day,
    to: Day,
    by: &'static str,
    items: Vec<SalesItem>,
    /// Whether there are more items than are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    /// The sums of all days, for each currency.
    totals: Vec<SalesItem>,
}

/// Sales of a day, a product, a category or of all.
#[derive(Debug, Default, Serialize)]
struct SalesItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<Day>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<ProductId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Empty for products without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(flatten)]
    figures: SalesFigures,
}

#[derive(Debug, Default, Serialize)]
struct SalesFigures {
    /// Absent by category, as an order may have several products of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<i64>,
    units: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gross: Option<Money>,
    /// What of that is tax.
    #[serde(skip_serializing_if = "Option::is_none")]
    tax: Option<Money>,
    /// Absent by product and category, as a refund is of a whole order.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunds: Option<Money>,
}

impl SalesFigures {
    fn of_products(sales: SalesRow, currency: Currency) -> Self {
        let gross = Money { amount: sales.gross, currency };
        Self {
            orders: Some(sales.orders),
            units: sales.units,
            gross: Some(gross),
            tax: Some(Money { amount: sales.tax, currency }),
            refunds: None,
        }
    }

    fn of_days(sales: SalesRow, currency: Currency) -> Self {
        let refunds = Money { amount: sales.refunds, currency };
        Self { refunds: Some(refunds), ..Self::of_products(sales, currency) }
    }
}

/// The days of a span with what was sold on each.
fn days(
    from: &impl Read,
    first: Day,
    end: Day,
) -> Result<Vec<(Day, Currency, SalesRow)>, store::Error> {
    let span = BY_DAY.all().from(&(first.0, String::new()));
    let rows = from.scan(span.before(&(end.0, String::new())))?;
    let rows = rows.map(|row| {
        let ((day, currency), sales) = row?;
        Ok((Day(day), currency_of(&currency)?, sales))
    });
    rows.collect()
}

fn currency_of(code: &str) -> Result<Currency, store::Error> {
    let why = |error: model::NotACurrency| error.to_string();
    let parsed = code.parse().map_err(why);
    parsed.map_err(|why| store::Error::Corrupt { table: "sales_by_day", why })
}

fn totals(days: &[(Day, Currency, SalesRow)]) -> Vec<SalesItem> {
    let mut sums: BTreeMap<String, (Currency, SalesRow)> = BTreeMap::new();
    for (_, currency, sales) in days {
        let sum = sums
            .entry(currency.to_string())
            .or_insert((*currency, SalesRow::default()));
        sum.1 = sum.1.plus(*sales);
    }
    let sums = sums.into_values().map(|(currency, sales)| SalesItem {
        figures: SalesFigures::of_days(sales, currency),
        ..SalesItem::default()
    });
    sums.collect()
}

/// The report by day: from `first` on, before `end`.
pub(crate) fn by_day(from: &impl Read, first: Day, end: Day) -> Result<SalesReport, store::Error> {
    let days = days(from, first, end)?;
    let items = days.iter().map(|(day, currency, sales)| SalesItem {
        day: Some(*day),
        figures: SalesFigures::of_days(*sales, *currency),
        ..SalesItem::default()
    });
    let (items, totals) = (items.collect(), totals(&days));
    Ok(SalesReport { from: first, to: end, by: "day", items, more: false, totals })
}

/// The report by product, the one with the highest sum of money first. A product has the title
/// of its last day.
pub(crate) fn by_product(
    from: &impl Read,
    first: Day,
    end: Day,
) -> Result<SalesReport, store::Error> {
    let mut sums: HashMap<(ProductId, Currency), ProductSalesRow> = HashMap::new();
    each_product(from, first, end, |product, currency, row| {
        let sum = sums.entry((product, currency)).or_default();
        *sum = ProductSalesRow { sales: sum.sales.plus(row.sales), ..row };
    })?;
    let items = sums
        .into_iter()
        .map(|((product, currency), row)| SalesItem {
            product_id: Some(product),
            sku: Some(row.sku),
            title: Some(row.title),
            category: row.category,
            figures: SalesFigures::of_products(row.sales, currency),
            ..SalesItem::default()
        });
    ranked(from, first, end, "product", items.collect())
}

/// The report by category.
pub(crate) fn by_category(
    from: &impl Read,
    first: Day,
    end: Day,
) -> Result<SalesReport, store::Error> {
    let mut sums: HashMap<(String, Currency), SalesRow> = HashMap::new();
    each_product(from, first, end, |_, currency, row| {
        let sum = sums
            .entry((row.category.unwrap_or_default(), currency))
            .or_default();
        *sum = sum.plus(row.sales);
    })?;
    let items = sums
        .into_iter()
        .map(|((category, currency), sales)| SalesItem {
            category: Some(category),
            figures: SalesFigures { orders: None, ..SalesFigures::of_products(sales, currency) },
            ..SalesItem::default()
        });
    ranked(from, first, end, "category", items.collect())
}

fn each_product(
    from: &impl Read,
    first: Day,
    end: Day,
    mut count: impl FnMut(ProductId, Currency, ProductSalesRow),
) -> Result<(), store::Error> {
    let least = ProductId::first_at(model::Time(0));
    let span = BY_PRODUCT.all().from(&(first.0, least, String::new()));
    for row in from.scan(span.before(&(end.0, least, String::new())))? {
        let ((_, product, currency), row) = row?;
        count(product, currency_of(&currency)?, row);
    }
    Ok(())
}

fn ranked(
    from: &impl Read,
    first: Day,
    end: Day,
    by: &'static str,
    mut items: Vec<SalesItem>,
) -> Result<SalesReport, store::Error> {
    let gross = |item: &SalesItem| item.figures.gross.map_or(0, |money| money.amount);
    items.sort_by(|one, other| {
        let names = |item: &SalesItem| (item.product_id, item.category.clone());
        gross(other)
            .cmp(&gross(one))
            .then_with(|| names(one).cmp(&names(other)))
    });
    let more = items.len() > ITEMS_MAX;
    items.truncate(ITEMS_MAX);
    let totals = totals(&days(from, first, end)?);
    Ok(SalesReport { from: first, to: end, by, items, more, totals })
}
