//! Lines of an order as rows: the first ones are in the order's own, the others in parts.

use model::{Money, ProductId};
use serde::{Deserialize, Serialize};
use store::Record;

use super::{TaxLineRow, is_default};
use crate::domain::OrderLine;

/// Bytes of the lines within an order's row: about eight usual ones. With the largest
/// address, note and shortages the row stays below the largest stored value.
pub(in crate::tables) const ROW_LINES_BYTES_MAX: usize = 2 * 1024;
/// Bytes of the lines of one part.
pub(in crate::tables) const PART_LINES_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a line without its texts.
const LINE_FIXED_BYTES: usize = 250;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::tables) struct LineRow {
    product_id: ProductId,
    sku: String,
    title: String,
    quantity: u32,
    unit_price: Money,
    line_total: Money,
    #[serde(default, skip_serializing_if = "is_default")]
    discount: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    tax_rate_bp: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    tax: i64,
}

/// Lines, or taxes, that do not fit into the order's row.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::tables) struct LinesRow {
    pub(in crate::tables) lines: Vec<LineRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::tables) tax_lines: Vec<TaxLineRow>,
}

impl Record for LinesRow {}

impl From<&OrderLine> for LineRow {
    fn from(line: &OrderLine) -> Self {
        let OrderLine {
            product_id,
            sku,
            title,
            quantity,
            unit_price,
            line_total,
            discount,
            tax_rate_bp,
            tax,
        } = line.clone();
        Self {
            product_id,
            sku,
            title,
            quantity,
            unit_price,
            line_total,
            discount,
            tax_rate_bp,
            tax,
        }
    }
}

impl From<LineRow> for OrderLine {
    fn from(row: LineRow) -> Self {
        let LineRow {
            product_id,
            sku,
            title,
            quantity,
            unit_price,
            line_total,
            discount,
            tax_rate_bp,
            tax,
        } = row;
        Self {
            product_id,
            sku,
            title,
            quantity,
            unit_price,
            line_total,
            discount,
            tax_rate_bp,
            tax,
        }
    }
}

/// How many of these lines take at most so many bytes.
pub(in crate::tables) fn fitting(lines: &[OrderLine], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |line: &&OrderLine| {
        bytes += LINE_FIXED_BYTES + line.sku.len() + line.title.len();
        bytes <= bytes_max
    };
    lines.iter().take_while(fits).count()
}
