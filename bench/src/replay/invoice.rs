//! Real invoices, and the rules by which each becomes orders.
//!
//! Pure but for reading the file: no shop, no clock. **Invariant:** every line
//! of an invoice ends up in an order, added to an earlier line of its SKU, or
//! counted as skipped under one reason.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use indicatif::HumanCount;
use model::Time;
use serde::{Deserialize, Serialize};

use crate::json_lines::JsonLines;

/// The most pieces a shop takes in one line of an order.
const PIECES_MAX: i64 = 1_000;
/// The most lines a shop takes in one order.
const LINES_MAX: usize = 100;

/// Product ids by SKU, of what the shop sells.
pub(crate) type ProductIds = HashMap<String, Arc<str>>;

#[derive(Deserialize)]
pub(crate) struct Invoice {
    order_id: String,
    #[serde(rename = "type")]
    kind: Kind,
    /// Local time without a zone; only its order matters here.
    placed_at: String,
    customer_id: Option<String>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Order,
    Cancellation,
    Adjustment,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    qty: i64,
}

/// Lines that were not ordered, by reason.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    /// Cancellations met before the last invoice taken.
    pub(crate) invoices_cancelling: u64,
    /// Adjustments met before the last invoice taken.
    pub(crate) invoices_adjusting: u64,
    /// Invoices of which the rules below left no line.
    pub(crate) invoices_emptied: u64,
    /// JsonLines of no pieces or fewer: write-offs and damages.
    pub(crate) lines_without_pieces: u64,
    /// JsonLines of something that the shop does not sell: postage, fees, samples.
    pub(crate) lines_without_product: u64,
    /// JsonLines of more than 1,000 pieces once repeated SKUs are added up.
    pub(crate) lines_above_1000_pieces: u64,
}

/// One order to place: an invoice, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderPart {
    pub(crate) invoice: String,
    /// Counts from 1 within the invoice.
    pub(crate) number: usize,
    /// `None` is the guest.
    pub(crate) customer: Option<String>,
    /// Product and pieces, each product once.
    pub(crate) items: Vec<(Arc<str>, u64)>,
}

impl Invoice {
    /// When it was placed, as if its local time were UTC.
    pub(crate) fn placed_at(&self) -> anyhow::Result<Time> {
        let placed = format!("{}Z", self.placed_at).parse();
        placed.with_context(|| format!("invoice {} was placed at no time", self.order_id))
    }
}

/// The first `limit` real invoices of a file that is in time order.
pub(crate) fn read(
    file: &Path,
    limit: usize,
    skipped: &mut Skipped,
) -> anyhow::Result<Vec<Invoice>> {
    let (lines, progress) = JsonLines::open(file, "reading invoices")?;
    let mut invoices: Vec<Invoice> = Vec::new();
    for (before, line) in lines.enumerate() {
        if invoices.len() == limit {
            break;
        }
        let here = || format!("{}, line {}", file.display(), before + 1);
        let line = line.with_context(here)?;
        let invoice: Invoice = serde_json::from_slice(&line).with_context(here)?;
        match invoice.kind {
            Kind::Order => {}
            Kind::Cancellation => skipped.invoices_cancelling += 1,
            Kind::Adjustment => skipped.invoices_adjusting += 1,
        }
        if invoice.kind == Kind::Order {
            let in_order = invoices
                .last()
                .is_none_or(|last| last.placed_at <= invoice.placed_at);
            ensure!(in_order, "{}: the invoices are not in time order", here());
            invoices.push(invoice);
        }
    }
    progress.note(format!("{} invoices", HumanCount(invoices.len() as u64)));
    progress.finish();
    Ok(invoices)
}

/// Every SKU on these invoices, once.
pub(crate) fn skus(invoices: &[Invoice]) -> BTreeSet<&str> {
    invoices
        .iter()
        .flat_map(|invoice| &invoice.lines)
        .map(|line| line.sku.as_str())
        .collect()
}

/// The orders that one invoice becomes, counting into `skipped` what it does not.
pub(crate) fn parts(
    invoice: &Invoice,
    products: &ProductIds,
    skipped: &mut Skipped,
) -> Vec<OrderPart> {
    let mut items: Vec<(Arc<str>, i64)> = Vec::new();
    let mut position = HashMap::new();
    for line in &invoice.lines {
        if line.qty <= 0 {
            skipped.lines_without_pieces += 1;
        } else if let Some(product) = products.get(&line.sku) {
            let at = *position.entry(product).or_insert_with(|| {
                items.push((Arc::clone(product), 0));
                items.len() - 1
            });
            items[at].1 = items[at].1.saturating_add(line.qty);
        } else {
            skipped.lines_without_product += 1;
        }
    }
    let offered = items.len();
    let items: Vec<(Arc<str>, u64)> = items
        .into_iter()
        .filter(|&(_, pieces)| pieces <= PIECES_MAX)
        .map(|(product, pieces)| (product, pieces.unsigned_abs()))
        .collect();
    skipped.lines_above_1000_pieces += (offered - items.len()) as u64;
    skipped.invoices_emptied += u64::from(items.is_empty());
    items
        .chunks(LINES_MAX)
        .enumerate()
        .map(|(before, items)| OrderPart {
            invoice: invoice.order_id.clone(),
            number: before + 1,
            customer: invoice.customer_id.clone(),
            items: items.to_vec(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoice(lines: &[(&str, i64)]) -> Invoice {
        let lines = lines
            .iter()
            .map(|&(sku, qty)| Line { sku: sku.to_owned(), qty })
            .collect();
        Invoice {
            order_id: "489434".to_owned(),
            kind: Kind::Order,
            placed_at: "2009-12-01T07:45:00".to_owned(),
            customer_id: Some("13085".to_owned()),
            lines,
        }
    }

    fn products(skus: impl IntoIterator<Item = String>) -> ProductIds {
        skus.into_iter()
            .map(|sku| (sku.clone(), Arc::from(format!("prod_{sku}"))))
            .collect()
    }

    #[test]
    fn repeated_skus_are_added_up_before_lines_are_judged() {
        let products = products(["A", "B", "C"].map(str::to_owned));
        let lines = [
            ("A", 3),
            ("B", 600),
            ("POST", 1),
            ("A", 4),
            ("B", 401),
            ("C", -5),
            ("C", 1000),
        ];
        let mut skipped = Skipped::default();
        let parts = parts(&invoice(&lines), &products, &mut skipped);
        assert_eq!(parts.len(), 1);
        assert_eq!(
            parts[0].items,
            [(Arc::from("prod_A"), 7), (Arc::from("prod_C"), 1000)]
        );
        let expected = Skipped {
            lines_without_pieces: 1,
            lines_without_product: 1,
            lines_above_1000_pieces: 1,
            ..Skipped::default()
        };
        assert_eq!(skipped, expected);
    }

    #[test]
    fn a_long_invoice_is_split_and_an_emptied_one_is_skipped() {
        let skus: Vec<String> = (0..205).map(|n| format!("S{n}")).collect();
        let products = products(skus.clone());
        let lines: Vec<(&str, i64)> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
        let mut skipped = Skipped::default();
        let split = parts(&invoice(&lines), &products, &mut skipped);
        let sizes: Vec<(usize, usize)> = split
            .iter()
            .map(|part| (part.number, part.items.len()))
            .collect();
        assert_eq!(sizes, [(1, 100), (2, 100), (3, 5)]);
        assert_eq!(skipped, Skipped::default());

        assert!(parts(&invoice(&[("POST", 1)]), &products, &mut skipped).is_empty());
        assert_eq!(skipped.invoices_emptied, 1);
    }
}
