//! konbini's own columns, in any order.
//!
//! `sku`, `title`, `price` (decimal, `19.99`), `currency`, `description`, `brand`,
//! `weight_g` (grams), `tax_class`, `requires_shipping` (`true` or `false`), `categories` and `images` (several in one cell are separated by `|`), `tags` (by commas; a
//! backslash makes a separator part of a value), `status`, `stock`, `stock_policy`, `rating.average`, `rating.count`, and one `attribute.NAME` for each attribute; `attributes`
//! has further ones as a JSON object.
//!
//! **Invariant:** the export writes these columns, and what it writes reads back equal.

use std::collections::BTreeMap;

use chassis::fields::BodyFault;

use super::cells::ProductCells;
use super::columns::parts;
use super::figures::WeightUnit;

/// The columns that are named as they are.
pub(crate) const PLAIN_COLUMNS: [&str; 17] = [
    "sku",
    "title",
    "price",
    "currency",
    "status",
    "stock",
    "stock_policy",
    "weight_g",
    "tax_class",
    "requires_shipping",
    "brand",
    "categories",
    "tags",
    "images",
    "rating.average",
    "rating.count",
    "description",
];
/// The beginning of an attribute's column.
pub(crate) const ATTRIBUTE_PREFIX: &str = "attribute.";
/// The column of attributes that have none of their own.
pub(crate) const ATTRIBUTES_COLUMN: &str = "attributes";
/// The separator of several values in one cell.
pub(crate) const VALUE_SEPARATOR: char = '|';
/// The separator of tags, which people write with commas, as other shops do.
pub(crate) const TAG_SEPARATOR: char = ',';

/// The byte order mark of UTF-8, read as Windows-1252.
const MISREAD_MARK: &str = "\u{ef}\u{bb}\u{bf}";

/// The columns of a header.
pub(super) struct NativeColumns {
    columns: Vec<Column>,
    ignored: Vec<String>,
}

#[derive(PartialEq)]
enum Column {
    Plain(&'static str),
    Attribute(String),
    Attributes,
    Ignored,
}

impl Column {
    fn named(name: &str) -> Self {
        let prefix = name.get(..ATTRIBUTE_PREFIX.len());
        if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(ATTRIBUTE_PREFIX)) {
            let attribute = name[ATTRIBUTE_PREFIX.len()..].trim();
            return if attribute.is_empty() {
                Self::Ignored
            } else {
                Self::Attribute(attribute.to_owned())
            };
        }
        if name.eq_ignore_ascii_case(ATTRIBUTES_COLUMN) {
            return Self::Attributes;
        }
        let plain = PLAIN_COLUMNS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        plain.map_or(Self::Ignored, |name| Self::Plain(name))
    }
}

impl NativeColumns {
    /// # Errors
    /// When no column names products, or two are the same.
    pub(super) fn of(header: &[&str]) -> Result<Self, BodyFault> {
        if header
            .first()
            .is_some_and(|name| name.starts_with(MISREAD_MARK))
        {
            return Err(BodyFault::Unreadable(
                "a program opened this file in another encoding than UTF-8 and saved it, so its accented letters are lost; open the export as UTF-8 and edit it again".into(),
            ));
        }
        let (mut columns, mut ignored) = (Vec::new(), Vec::new());
        for name in header.iter().map(|name| name.trim()) {
            let column = Column::named(name);
            if column == Column::Ignored {
                ignored.extend(Some(name.to_owned()).filter(|name| !name.is_empty()));
            } else if columns.contains(&column) {
                let why =
                    format!("the header has the column `{name}` twice; leave one of them out");
                return Err(BodyFault::Unreadable(why));
            }
            columns.push(column);
        }
        if !columns.contains(&Column::Plain("sku")) {
            return Err(BodyFault::Unreadable(format!(
                "the header has no column `sku`, which names the product of each line; known columns are {} and {ATTRIBUTE_PREFIX}NAME, or those of a product export of Shopify or WooCommerce",
                PLAIN_COLUMNS.join(", "),
            )));
        }
        Ok(Self { columns, ignored })
    }

    pub(super) fn ignored(&mut self) -> &mut Vec<String> {
        &mut self.ignored
    }

    /// # Errors
    /// When the record has more cells than the header.
    pub(super) fn read(&self, cells: &[&str]) -> Result<ProductCells, BodyFault> {
        let extra = cells.iter().skip(self.columns.len());
        if extra.clone().any(|cell| !cell.trim().is_empty()) {
            return Err(BodyFault::Unreadable(format!(
                "the line has {} cells and the header {}; a cell with a separator must be in quotes",
                cells.len(),
                self.columns.len(),
            )));
        }
        let mut product = ProductCells::default();
        for (column, cell) in self
            .columns
            .iter()
            .zip(cells.iter().map(|cell| cell.trim()))
        {
            match column {
                Column::Ignored => {}
                Column::Attribute(name) => product.attribute(name, cell),
                Column::Attributes => attributes(&mut product, cell),
                Column::Plain(name @ ("sku" | "title")) => product.required(name, cell),
                Column::Plain("price") => product.price(cell),
                Column::Plain("currency") => product.currency(cell),
                Column::Plain("stock") => product.stock(cell),
                Column::Plain(name @ ("status" | "stock_policy" | "tax_class")) => {
                    product.text(name, &cell.to_lowercase());
                }
                Column::Plain("weight_g") => product.weight(cell, WeightUnit::Gram),
                Column::Plain(name @ "requires_shipping") => product.flag(name, cell),
                Column::Plain("rating.average") => product.rating("average", cell),
                Column::Plain("rating.count") => product.rating("count", cell),
                Column::Plain("categories") => {
                    product.list("categories", parts(cell, VALUE_SEPARATOR));
                }
                Column::Plain("tags") => product.tags(parts(cell, TAG_SEPARATOR)),
                Column::Plain("description") => product.description(cell),
                Column::Plain("images") => product.images(images(cell)),
                Column::Plain(name) => product.text(name, cell),
            }
        }
        Ok(product)
    }
}

/// Attributes of a cell that is a JSON object of texts. An empty cell changes none.
fn attributes(product: &mut ProductCells, cell: &str) {
    if cell.is_empty() {
        return;
    }
    match serde_json::from_str::<BTreeMap<String, Option<String>>>(cell) {
        Ok(attributes) => {
            for (name, value) in attributes {
                product.attribute(&name, value.as_deref().unwrap_or_default());
            }
        }
        Err(_) => product.fault("/attributes", "must be a JSON object of texts".into()),
    }
}

/// Addresses of a cell.
fn images(cell: &str) -> Vec<String> {
    let parts = parts(cell, VALUE_SEPARATOR);
    parts.iter().flat_map(|part| addresses(part)).collect()
}

/// Addresses that a comma and a blank separate: no address has a blank.
fn addresses(text: &str) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for part in text.split(", ") {
        let begins = ["https://", "http://", "/"]
            .iter()
            .any(|start| part.starts_with(start));
        match addresses.last_mut() {
            Some(last) if !begins => *last += &format!(", {part}"),
            _ => addresses.push(part.to_owned()),
        }
    }
    addresses
}
