//! The columns of a Shopify product export, by the header it has had for years
//! and by the one it has now.
//!
//! Rows of one handle are adjacent: the first has the product's texts, each with a price
//! is a variant, and others add pictures. Each variant
//! with a SKU becomes a product of its own, titled `Title – Option / Option`.
//! Columns without a counterpart (tax codes, shipping, SEO, Google's) are ignored.
//!
//! **Invariant:** a product's rows are buffered until its last, at most
//! [`VARIANTS_MAX`] of them and [`IMAGES_MAX`] pictures, so memory is bounded by
//! the largest product.

use chassis::fields::BodyFault;
use std::collections::HashMap;

use model::Currency;
use serde_json::Value;

use super::Entry;
use super::draft::ProductDraft;
use super::html;

/// As many as Shopify allows.
const VARIANTS_MAX: usize = 2048;
/// As many as a product may have.
const IMAGES_MAX: usize = 20;
const OPTIONS: usize = 3;
/// Shopify's option value of a product without variants.
const NO_OPTION: &str = "Default Title";

/// The cells that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    Handle,
    Title,
    Body,
    Vendor,
    Category,
    Type,
    Tags,
    Published,
    Status,
    OptionName(usize),
    OptionValue(usize),
    Sku,
    Price,
    Quantity,
    Barcode,
    Image,
    VariantImage,
}

fn cell(name: &str) -> Option<Cell> {
    Some(match name.trim().to_lowercase().as_str() {
        "handle" | "url handle" => Cell::Handle,
        "title" => Cell::Title,
        "body (html)" | "description" => Cell::Body,
        "vendor" => Cell::Vendor,
        "product category" => Cell::Category,
        "type" | "custom product type" => Cell::Type,
        "tags" => Cell::Tags,
        "published" | "published on online store" => Cell::Published,
        "status" => Cell::Status,
        "variant sku" | "sku" => Cell::Sku,
        "variant price" | "price" => Cell::Price,
        "variant inventory qty" | "inventory quantity" => Cell::Quantity,
        "variant barcode" | "barcode" => Cell::Barcode,
        "image src" | "product image url" => Cell::Image,
        "variant image" | "variant image url" => Cell::VariantImage,
        option => {
            let (number, what) = option.strip_prefix("option")?.split_once(' ')?;
            let number = number.parse::<usize>().ok()?.checked_sub(1)?;
            match what {
                _ if number >= OPTIONS => return None,
                "name" => Cell::OptionName(number),
                "value" => Cell::OptionValue(number),
                _ => return None,
            }
        }
    })
}

/// The parser of a Shopify file.
pub(super) struct Shopify {
    columns: HashMap<Cell, usize>,
    currency: Currency,
    product: Option<Product>,
}

/// The product of the rows of one handle so far.
#[derive(Default)]
struct Product {
    handle: String,
    title: String,
    body: String,
    vendor: String,
    category: String,
    tags: String,
    status: &'static str,
    options: [String; OPTIONS],
    images: Vec<String>,
    variants: Vec<Variant>,
}

struct Variant {
    line: u64,
    sku: String,
    price: String,
    quantity: String,
    barcode: String,
    image: String,
    options: [String; OPTIONS],
}

/// A row by the meaning of its cells.
struct Row<'r> {
    columns: &'r HashMap<Cell, usize>,
    cells: &'r [&'r str],
}

impl Row<'_> {
    fn get(&self, cell: Cell) -> &str {
        let column = self.columns.get(&cell);
        let text = column.and_then(|column| self.cells.get(*column));
        text.map_or("", |text| text.trim())
    }

    fn own(&self, cell: Cell) -> String {
        self.get(cell).to_owned()
    }
}

impl Shopify {
    /// A reader, if this is the header of such a file.
    pub(super) fn recognise(header: &[&str], currency: Currency) -> Option<Self> {
        let columns: HashMap<Cell, usize> = header
            .iter()
            .enumerate()
            .filter_map(|(column, name)| Some((cell(name)?, column)))
            .collect();
        let is_shopify = columns.contains_key(&Cell::Handle) && columns.contains_key(&Cell::Title);
        is_shopify.then_some(Self { columns, currency, product: None })
    }

    pub(super) fn take(&mut self, line: u64, cells: &[&str], entries: &mut Vec<Entry>) {
        let columns = std::mem::take(&mut self.columns);
        self.row(line, &Row { columns: &columns, cells }, entries);
        self.columns = columns;
    }

    fn row(&mut self, line: u64, row: &Row<'_>, entries: &mut Vec<Entry>) {
        let handle = row.get(Cell::Handle);
        let before = self.product.as_ref();
        if before.is_none_or(|product| product.handle != handle) {
            self.end(entries);
            self.product = Some(Product::begun_by(row));
        }
        let Some(product) = &mut self.product else {
            return;
        };
        let image = row.own(Cell::Image);
        if !image.is_empty()
            && product.images.len() < IMAGES_MAX
            && !product.images.contains(&image)
        {
            product.images.push(image);
        }
        let sells = [Cell::Sku, Cell::Price, Cell::OptionValue(0)];
        if sells.iter().all(|cell| row.get(*cell).is_empty()) {
            return;
        }
        if product.variants.len() >= VARIANTS_MAX {
            let why = format!("the product has more than {VARIANTS_MAX} variants");
            entries.push(Entry::new(line, Err(BodyFault::Unreadable(why))));
            return;
        }
        product.variants.push(Variant {
            line,
            sku: row.own(Cell::Sku),
            price: row.own(Cell::Price),
            quantity: row.own(Cell::Quantity),
            barcode: row.own(Cell::Barcode),
            image: row.own(Cell::VariantImage),
            options: std::array::from_fn(|at| row.own(Cell::OptionValue(at))),
        });
    }

    /// Ends the last product.
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) {
        let Some(product) = self.product.take() else {
            return;
        };
        for variant in &product.variants {
            let draft = product.draft(variant, self.currency);
            entries.push(Entry::new(variant.line, draft.read()));
        }
    }
}

impl Product {
    fn begun_by(row: &Row<'_>) -> Self {
        let status = match row.get(Cell::Status).to_lowercase().as_str() {
            "archived" => "archived",
            "active" | "" if !row.get(Cell::Published).eq_ignore_ascii_case("false") => "published",
            _ => "draft",
        };
        let category = match row.get(Cell::Category) {
            "" => row.get(Cell::Type),
            category => category,
        };
        Self {
            handle: row.own(Cell::Handle),
            title: row.own(Cell::Title),
            body: html::text(row.get(Cell::Body)),
            vendor: row.own(Cell::Vendor),
            category: category.to_owned(),
            tags: row.own(Cell::Tags),
            status,
            options: std::array::from_fn(|at| row.own(Cell::OptionName(at))),
            images: Vec::new(),
            variants: Vec::new(),
        }
    }

    fn draft(&self, variant: &Variant, currency: Currency) -> ProductDraft {
        let mut draft = ProductDraft::new(currency);
        let chosen = self
            .options
            .iter()
            .zip(&variant.options)
            .filter(|(_, value)| !value.is_empty() && *value != NO_OPTION);
        let mut title = self.title.clone();
        for (place, (name, value)) in chosen.enumerate() {
            title += if place == 0 { " – " } else { " / " };
            title += value;
            if !name.is_empty() {
                draft.attribute(name, value);
            }
        }
        // Validation reports them as missing.
        for (name, text) in [("sku", &variant.sku), ("title", &title)] {
            if !text.is_empty() {
                draft.set(name, text.as_str().into());
            }
        }
        draft.price = Some(variant.price.clone()).filter(|price| !price.is_empty());
        draft.set("description", self.body.as_str().into());
        draft.set("brand", self.vendor.as_str().into());
        draft.set("status", self.status.into());
        if !self.category.is_empty() {
            draft.set("categories", Value::from(vec![self.category.as_str()]));
        }
        for (name, text) in [("tags", &self.tags), ("barcode", &variant.barcode)] {
            if !text.is_empty() {
                draft.attribute(name, text);
            }
        }
        // A variant's own picture comes first.
        let own = Some(&variant.image).filter(|image| !image.is_empty());
        let others = self.images.iter().filter(|image| Some(*image) != own);
        let images: Vec<&str> = own.into_iter().chain(others).map(String::as_str).collect();
        draft.set("images", images.into_iter().take(IMAGES_MAX).collect());
        match variant.quantity.as_str() {
            "" => {}
            // Oversold there; nothing to sell here.
            below if below.starts_with('-') => draft.stock("0"),
            pieces => draft.stock(pieces),
        }
        draft
    }
}
