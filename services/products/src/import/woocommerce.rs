//! The columns of a WooCommerce product export, by their names in several languages (`header`).
//!
//! A row is a product; rows of type `variation` belong to the row of type `variable` that
//! `Parent` names, by SKU or as `id:NUMBER`. A variable product is not sold itself: it gives
//! its texts to its variations. A row without a SKU gets one of its `ID`. What is not taxed is
//! of the tax class `exempt`; what is of type `virtual` requires no shipping. Columns without a
//! counterpart (sale prices, shipping classes, sizes, related products) are ignored.
//!
//! **Invariant:** a variable product stands above its variations, as WooCommerce writes them,
//! and at most [`HELD_BYTES_MAX`] of them are held.

mod header;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use self::header::{ATTRIBUTES, Cell, cell};
use super::cells::ProductCells;
use super::columns::{ColumnPlaces, parts};
use super::entry::Entry;
use super::figures::{TAX_EXEMPT, WeightUnit};
use super::html;
use super::line::ProductLine;

/// Text of variable products that wait for their variations.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The separator of several values in one cell.
const VALUE_SEPARATOR: char = ',';
/// What WooCommerce writes an apostrophe before, so that no spreadsheet computes it.
const COMPUTED: [char; 4] = ['=', '+', '-', '@'];
/// The cells of a variable product that its variations share.
const SHARED: [Cell; 14] = [
    Cell::Name,
    Cell::Published,
    Cell::ShortDescription,
    Cell::Description,
    Cell::Categories,
    Cell::Tags,
    Cell::Images,
    Cell::Brands,
    Cell::TaxStatus,
    Cell::TaxClass,
    Cell::Weight(WeightUnit::Gram),
    Cell::Weight(WeightUnit::Kilogram),
    Cell::Weight(WeightUnit::Pound),
    Cell::Weight(WeightUnit::Ounce),
];

/// The parser of a WooCommerce file.
pub(super) struct WooCommerce {
    columns: ColumnPlaces<Cell>,
    /// Variable products by SKU and by `id:NUMBER`.
    parents: HashMap<String, Arc<SharedTexts>>,
    /// Their names, the oldest first.
    order: VecDeque<String>,
    held_bytes: usize,
}

/// What a variable product shares with its variations.
struct SharedTexts(HashMap<Cell, String>);

impl SharedTexts {
    fn bytes(&self) -> usize {
        self.0.values().map(String::len).sum()
    }
}

/// A row, with what it shares with others.
struct Row<'r> {
    columns: &'r ColumnPlaces<Cell>,
    cells: &'r [&'r str],
    parent: Option<&'r SharedTexts>,
}

impl WooCommerce {
    /// A parser, if this is the header of such a file.
    pub(super) fn recognise(header: &[&str]) -> Option<Self> {
        let columns = ColumnPlaces::of(header, cell);
        let has_name = columns.has(Cell::Sku) || columns.has(Cell::Id);
        let is_woocommerce = has_name && columns.has(Cell::Price);
        is_woocommerce.then(|| Self {
            columns,
            parents: HashMap::new(),
            order: VecDeque::new(),
            held_bytes: 0,
        })
    }

    pub(super) fn ignored_columns(&mut self) -> &mut Vec<String> {
        self.columns.ignored()
    }

    pub(super) fn take(&mut self, line: u64, cells: &[&str], entries: &mut Vec<Entry>) {
        let kind = self.columns.text(cells, Cell::Type).to_lowercase();
        let is = |name: &str| kind.split(',').any(|part| part.trim() == name);
        if is("variable") {
            return self.hold(cells);
        }
        if is("grouped") || is("external") {
            let why =
                format!("a product of type `{kind}` is not sold by this shop and is left out");
            return entries.push(Entry::unreadable(line, why));
        }
        let parent = match self.columns.text(cells, Cell::Parent) {
            name if is("variation") => match self.parents.get(&parent_name(name)) {
                Some(parent) => Some(Arc::clone(parent)),
                None => {
                    let why =
                        format!("no row above it is its parent `{name}`; put the parent first");
                    return entries.push(Entry::unreadable(line, why));
                }
            },
            _ => None,
        };
        let row = Row { columns: &self.columns, cells, parent: parent.as_deref() };
        entries.push(Entry::new(line, ProductLine::of_cells(row.product())));
    }

    /// Keeps a variable product for its variations.
    fn hold(&mut self, cells: &[&str]) {
        let shared = SHARED.iter().filter_map(|cell| {
            let text = self.columns.cell(cells, *cell)?;
            Some((*cell, text.to_owned()))
        });
        let shared = Arc::new(SharedTexts(shared.collect()));
        let id = self.columns.text(cells, Cell::Id);
        let names = [
            self.columns.text(cells, Cell::Sku).to_owned(),
            format!("id:{id}"),
        ];
        for name in names
            .into_iter()
            .filter(|name| !name.is_empty() && name != "id:")
        {
            self.held_bytes += shared.bytes() + name.len();
            self.order.push_back(name.clone());
            self.parents.insert(name, Arc::clone(&shared));
        }
        while self.held_bytes > HELD_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            let dropped = self
                .parents
                .remove(&oldest)
                .map_or(0, |shared| shared.bytes());
            self.held_bytes = self.held_bytes.saturating_sub(dropped + oldest.len());
        }
    }
}

/// A text without the apostrophe that WooCommerce writes before it.
fn uncomputed(text: &str) -> &str {
    let rest = text.strip_prefix('\'');
    rest.filter(|rest| rest.starts_with(COMPUTED))
        .unwrap_or(text)
}

/// A parent as it is named in a row, in the form in which it is held.
fn parent_name(name: &str) -> String {
    match name.split_once(':') {
        Some((kind, id)) if kind.eq_ignore_ascii_case("id") => format!("id:{}", id.trim()),
        _ => name.to_owned(),
    }
}

impl Row<'_> {
    /// A cell of its own or, where that is empty, of its parent; `None` without a column.
    fn cell(&self, cell: Cell) -> Option<&str> {
        let own = self.columns.cell(self.cells, cell)?;
        let inherited = || self.parent?.0.get(&cell).map(String::as_str);
        Some(if own.is_empty() {
            inherited().unwrap_or_default()
        } else {
            own
        })
    }

    fn own(&self, cell: Cell) -> &str {
        self.columns.text(self.cells, cell)
    }

    fn product(&self) -> ProductCells {
        let mut cells = ProductCells::default();
        match (self.own(Cell::Sku), self.own(Cell::Id)) {
            ("", "") => {}
            ("", id) => cells.required("sku", &format!("woo-{id}")),
            (sku, _) => cells.required("sku", uncomputed(sku)),
        }
        cells.required("title", uncomputed(&self.title()));
        if let Some(description) = self.description() {
            cells.description(&html::text(uncomputed(description)));
        }
        if let Some(brands) = self.cell(Cell::Brands) {
            let brand = parts(brands, VALUE_SEPARATOR).into_iter().next();
            cells.text("brand", &brand.unwrap_or_default());
        }
        if let Some(categories) = self.cell(Cell::Categories) {
            cells.list("categories", parts(categories, VALUE_SEPARATOR));
        }
        if let Some(images) = self.cell(Cell::Images) {
            cells.images(parts(images, VALUE_SEPARATOR));
        }
        if let Some(published) = self.cell(Cell::Published) {
            let parent = self
                .parent
                .and_then(|parent| parent.0.get(&Cell::Published));
            let is_published = published == "1" && parent.is_none_or(|parent| parent == "1");
            cells.text("status", if is_published { "published" } else { "draft" });
        }
        if let Some(tags) = self.cell(Cell::Tags) {
            cells.tags(parts(tags, VALUE_SEPARATOR));
        }
        if let Some(barcode) = self.cell(Cell::Barcode) {
            cells.attribute("barcode", barcode);
        }
        for (name, value) in self.attributes() {
            cells.attribute(name, uncomputed(value));
        }
        cells.price(self.own(Cell::Price));
        match self.own(Cell::Stock) {
            // Counted with the parent, which is not sold itself.
            "parent" => {}
            below if below.starts_with('-') => cells.stock("0"),
            units => cells.stock(units),
        }
        if let Some(policy) = self.stock_policy() {
            cells.text("stock_policy", policy);
        }
        self.shipping(&mut cells);
        if let Some(class) = self.tax_class() {
            cells.text("tax_class", &class);
        }
        cells
    }

    /// The weight, in the unit that its column names, and whether it is shipped.
    fn shipping(&self, cells: &mut ProductCells) {
        let weights = WeightUnit::ALL.into_iter();
        let mut weights = weights.filter_map(|unit| Some((self.cell(Cell::Weight(unit))?, unit)));
        if let Some((weight, unit)) = weights.next() {
            cells.weight(weight, unit);
        }
        if let Some(kind) = self.columns.cell(self.cells, Cell::Type) {
            let kind = kind.to_lowercase();
            let is_virtual = kind.split(',').any(|part| part.trim() == "virtual");
            cells.flag(
                "requires_shipping",
                if is_virtual { "false" } else { "true" },
            );
        }
    }

    /// The tax class: a variation may name that of its parent. `None` where no column tells.
    fn tax_class(&self) -> Option<String> {
        let status = self.cell(Cell::TaxStatus);
        if status.is_some_and(|status| !status.is_empty() && status != "taxable") {
            return Some(TAX_EXEMPT.to_owned());
        }
        let own = self.columns.cell(self.cells, Cell::TaxClass)?;
        let inherited = || self.parent?.0.get(&Cell::TaxClass).map(String::as_str);
        let class = match own {
            "" | "parent" => inherited().unwrap_or_default(),
            own => own,
        };
        Some(class.to_lowercase().replace(' ', "-"))
    }

    /// The stock policy: what is in stock and has no number is not counted. `None` where no
    /// column tells.
    fn stock_policy(&self) -> Option<&'static str> {
        let (stock, in_stock) = (self.cell(Cell::Stock), self.cell(Cell::InStock));
        let backorders = self.cell(Cell::Backorders);
        match (stock, in_stock, backorders) {
            (_, None, None) => None,
            (Some(""), Some("1"), _) => Some("untracked"),
            (_, _, Some("1" | "notify")) => Some("backorder"),
            _ => Some("tracked"),
        }
    }

    fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = (1..=ATTRIBUTES).map(|number| {
            (
                self.own(Cell::AttributeName(number)),
                self.own(Cell::AttributeValue(number)),
            )
        });
        pairs.filter(|(name, _)| !name.is_empty())
    }

    /// The name; that of a variation says which it is.
    fn title(&self) -> String {
        let name = self.cell(Cell::Name).unwrap_or_default();
        let parent = self.parent.and_then(|parent| parent.0.get(&Cell::Name));
        if parent.is_none_or(|parent| parent != name) || name.is_empty() {
            return name.to_owned();
        }
        let values: Vec<_> = self.attributes().map(|(_, value)| value).collect();
        format!("{name} – {}", values.join(" / "))
    }

    /// The description or, where it is empty, the short one; `None` without a column.
    fn description(&self) -> Option<&str> {
        let given = [
            self.cell(Cell::Description),
            self.cell(Cell::ShortDescription),
        ];
        let first = given.into_iter().flatten().find(|text| !text.is_empty());
        first.or_else(|| given.into_iter().flatten().next())
    }
}
