//! The catalogue as CSV, in konbini's own columns.
//!
//! **Invariants:** a spreadsheet that opens and saves the file changes no text (see
//! `chassis::spreadsheet`); every product has every column, so a cell that is empty clears on import
//! only what is empty already.

use std::collections::{BTreeMap, HashSet};

use ::store::Read;
use chassis::spreadsheet::{BYTE_ORDER_MARK, CsvRow};

use crate::Error;
use crate::domain::{Content, StockLevel};
use crate::import::{
    ATTRIBUTE_PREFIX, ATTRIBUTES_COLUMN, PLAIN_COLUMNS, TAG_SEPARATOR, VALUE_SEPARATOR, escape_part,
};
use crate::tables::PRODUCTS;

/// Attributes with a column of their own, in the order in which products have them first. An
/// import takes 1,024 columns, and a person fewer; the rest stand together in one cell.
const ATTRIBUTE_COLUMNS_MAX: usize = 500;
/// The columns of figures and truth values, which people compute with.
const FIGURES: [&str; 6] = [
    "price",
    "stock",
    "weight_g",
    "requires_shipping",
    "rating.average",
    "rating.count",
];

/// The columns of a table of the catalogue.
pub(super) struct Table {
    /// Names of attributes, in the order of their columns.
    attributes: Vec<String>,
    known: HashSet<String>,
    attributes_max: usize,
    /// Whether there are more.
    has_others: bool,
}

impl Table {
    fn new(attributes_max: usize) -> Self {
        Self {
            attributes: Vec::new(),
            known: HashSet::new(),
            attributes_max,
            has_others: false,
        }
    }

    /// The columns that the products need.
    pub(super) fn of_catalogue(from: &impl Read) -> Result<Self, Error> {
        let mut table = Self::new(ATTRIBUTE_COLUMNS_MAX);
        for row in from.scan(PRODUCTS.all())? {
            let (_, product) = row?;
            table.add(&product.content);
        }
        Ok(table)
    }

    fn add(&mut self, content: &Content) {
        for name in content.attributes.keys() {
            if self.known.contains(name) {
                continue;
            }
            if self.attributes.len() >= self.attributes_max {
                self.has_others = true;
                return;
            }
            self.known.insert(name.clone());
            self.attributes.push(name.clone());
        }
    }

    /// The header.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = BYTE_ORDER_MARK.as_bytes().to_vec();
        let mut cells = CsvRow::begin(&mut head);
        for name in PLAIN_COLUMNS {
            cells.cell(name);
        }
        for name in &self.attributes {
            cells.cell(&format!("{ATTRIBUTE_PREFIX}{name}"));
        }
        if self.has_others {
            cells.cell(ATTRIBUTES_COLUMN);
        }
        cells.end();
        head
    }

    /// Appends the row of a product.
    pub(super) fn write(&self, page: &mut Vec<u8>, content: &Content, level: StockLevel) {
        let mut cells = CsvRow::begin(page);
        for name in PLAIN_COLUMNS {
            let cell = plain(name, content, level);
            if FIGURES.contains(&name) {
                cells.cell(&cell);
            } else {
                cells.text(&cell);
            }
        }
        for name in &self.attributes {
            cells.text(content.attributes.get(name).map_or("", String::as_str));
        }
        if self.has_others {
            let others = content.attributes.iter();
            let others = others.filter(|(name, _)| !self.known.contains(*name));
            let others: BTreeMap<_, _> = others.collect();
            let cell = if others.is_empty() {
                None
            } else {
                serde_json::to_string(&others).ok()
            };
            cells.cell(&cell.unwrap_or_default());
        }
        cells.end();
    }
}

/// The cell of one of [`PLAIN_COLUMNS`].
fn plain(name: &str, content: &Content, level: StockLevel) -> String {
    match name {
        "sku" => content.sku.clone(),
        "title" => content.title.clone(),
        "price" => content.price.decimal(),
        "currency" => content.price.currency.to_string(),
        "status" => text_of(&content.status),
        "stock" => level.on_hand.to_string(),
        "stock_policy" => text_of(&content.stock_policy),
        "weight_g" => content
            .weight_g
            .map_or_else(String::new, |grams| grams.to_string()),
        "tax_class" => content.tax_class.to_string(),
        "requires_shipping" => content.requires_shipping.to_string(),
        "brand" => content.brand.clone(),
        "categories" => joined(&content.categories, VALUE_SEPARATOR),
        "tags" => joined(&content.tags, TAG_SEPARATOR),
        "images" => joined(&content.images, VALUE_SEPARATOR),
        "rating.average" => content
            .rating
            .map_or_else(String::new, |rating| text_of(&rating.average)),
        "rating.count" => content
            .rating
            .map_or_else(String::new, |rating| rating.count.to_string()),
        "description" => content.description.clone(),
        _ => String::new(),
    }
}

/// A value as its JSON has it, without quotes.
fn text_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value).unwrap_or_default() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn joined(values: &[String], separator: char) -> String {
    let parts: Vec<_> = values
        .iter()
        .map(|value| escape_part(value, separator))
        .collect();
    parts.join(&separator.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::import::{ImportMode, ImportRules, StockRule, read_csv};
    use crate::submission;

    fn rules() -> ImportRules {
        ImportRules {
            mode: ImportMode::Upsert,
            stock: StockRule::Initial,
            currency: None,
            currency_default: "EUR".parse().unwrap(),
        }
    }

    /// Text with all that a table could stumble over.
    fn text(also: &'static [&'static str]) -> impl Strategy<Value = String> {
        let letters = [
            "a", "B", "7", " ", "\"", "'", ",", ";", "|", "\\", "=", "{", "}", "ß", "é",
            "e\u{301}", "長", "🎁", ".", "-", "sep=", "null", "%",
        ];
        let letters = prop::sample::select([&letters[..], also].concat());
        prop::collection::vec(letters, 0..12).prop_map(|letters| letters.concat())
    }

    fn line() -> impl Strategy<Value = String> {
        text(&[])
    }

    fn lines() -> impl Strategy<Value = String> {
        text(&["\n", "\r\n", "\t", ">"])
    }

    fn product() -> impl Strategy<Value = Value> {
        let currency = prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF", "USD"]);
        let lists = (
            prop::collection::vec(line(), 0..4),
            prop::collection::vec(line(), 0..3),
            prop::collection::vec(line(), 0..4),
        );
        let figures = prop::sample::select(vec!["007", "=1+1", "3+", "=\"x\"", "Jan 5", "1E5"]);
        let values = prop_oneof![lines(), figures.prop_map(str::to_owned)];
        let attributes = prop::collection::btree_map("[a-c=|,\"]{1,3}", values, 0..5);
        let rating = prop::option::of((0..501_u32, any::<u32>()));
        let status = prop::sample::select(vec!["draft", "published", "archived"]);
        let texts = (line(), line(), line(), lines());
        let shipping = (
            prop::option::of(0..=1_000_000_u32),
            "[a-z0-9_-]{1,40}",
            any::<bool>(),
        );
        (texts, currency, 0..2_000_000_i64, lists, attributes, status, (rating, shipping)).prop_map(
            |((sku, title, brand, description), currency, amount, (categories, images, tags), attributes, status, (rating, (weight_g, tax_class, requires_shipping)))| {
                let images: Vec<_> = images.iter().map(|path| format!("https://a.test/{path}")).collect();
                let mut product = json!({
                    "sku": format!("S{sku}"), "title": format!("T{title}"), "brand": brand,
                    "description": description, "images": images,
                    "categories": categories.iter().map(|name| format!("C{name}")).collect::<Vec<_>>(),
                    "tags": tags.iter().map(|tag| format!("t{tag}")).collect::<Vec<_>>(),
                    "price": { "amount": amount, "currency": currency },
                    "attributes": attributes, "status": status, "weight_g": weight_g,
                    "tax_class": tax_class, "requires_shipping": requires_shipping,
                });
                if let Some((hundredths, count)) = rating {
                    product["rating"] = json!({ "average": f64::from(hundredths) / 100.0, "count": count });
                }
                product
            },
        )
    }

    proptest! {
        #[test]
        fn an_import_of_an_export_changes_nothing(products in prop::collection::vec(product(), 1..6)) {
            // What is invalid is in no catalogue.
            let products = products.iter().map(|product| submission::read(product.to_string().as_bytes()));
            let contents: Vec<Content> = products.flatten().map(|read| read.content).collect();
            prop_assume!(!contents.is_empty());
            for columns in [0, 3, ATTRIBUTE_COLUMNS_MAX] {
                let mut table = Table::new(columns);
                for content in &contents {
                    table.add(content);
                }
                let mut file = table.head();
                for content in &contents {
                    table.write(&mut file, content, StockLevel::default());
                }
                let (entries, ended) = read_csv(file.chunks(7));
                prop_assert_eq!(ended, Ok(()));
                prop_assert_eq!(entries.len(), contents.len());
                for (entry, content) in entries.iter().zip(&contents) {
                    let line = entry.content.as_ref().unwrap();
                    let made = line.whole(&rules()).map(|made| made.content);
                    prop_assert_eq!(made.as_ref(), Ok(content));
                    let patched = line.patched(content, &rules()).map(|patched| patched.content);
                    prop_assert_eq!(patched.as_ref(), Ok(content));
                }
            }
        }
    }
}
