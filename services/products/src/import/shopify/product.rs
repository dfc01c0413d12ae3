//! A product of a Shopify file: the rows of one handle.
//!
//! The first row has the texts, each with a price or an option is a variant, and others add
//! pictures. Each variant becomes a product of its own, titled `Title – Option / Option`.
//!
//! **Invariant:** Shopify allows a variant without a SKU; it gets one of its handle and
//! options, and always the same, so that a second import finds it.

use std::mem::size_of;

use blake2::digest::consts::U4;
use blake2::{Blake2b, Digest};

use super::{Cell, OPTIONS};
use crate::import::cells::ProductCells;
use crate::import::columns::{ColumnPlaces, parts};
use crate::import::entry::Entry;
use crate::import::figures::{self, TAX_EXEMPT, WeightUnit};
use crate::import::html;
use crate::import::line::ProductLine;
use crate::import::native::TAG_SEPARATOR;

/// As many as Shopify allows.
pub(super) const VARIANTS_MAX: usize = 2048;
/// Pictures held of a product: as many as Shopify allows.
const IMAGES_HELD_MAX: usize = 250;
/// Shopify's option value of a product without variants.
const NO_OPTION: &str = "Default Title";
/// A SKU's length.
const SKU_CHARS_MAX: usize = 64;
/// The digits of a hash in place of what is too long.
const HASH_CHARS: usize = 8;
/// The product of the rows of one handle so far.
pub(super) struct ShopifyProduct {
    pub(super) handle: String,
    /// The cells of a product, by the first row with a title; absent where there is no column,
    /// or no such row although there is a column of titles.
    texts: Vec<(Cell, String)>,
    options: [String; OPTIONS],
    images: Vec<ShopifyImage>,
    variants: Vec<Variant>,
    /// Text held of it.
    pub(super) bytes: usize,
}

struct ShopifyImage {
    position: u32,
    address: String,
}

struct Variant {
    line: u64,
    /// Its cells, where there is a column.
    texts: Vec<(Cell, String)>,
    options: [String; OPTIONS],
}

/// The cells of a product as a whole.
const PRODUCT_CELLS: [Cell; 8] = [
    Cell::Title,
    Cell::Body,
    Cell::Vendor,
    Cell::Category,
    Cell::Type,
    Cell::Tags,
    Cell::Published,
    Cell::Status,
];
/// The cells of a variant.
const VARIANT_CELLS: [Cell; 10] = [
    Cell::Sku,
    Cell::Price,
    Cell::Quantity,
    Cell::Tracker,
    Cell::Policy,
    Cell::Grams,
    Cell::RequiresShipping,
    Cell::Taxable,
    Cell::Barcode,
    Cell::VariantImage,
];

/// The product has as many variants as it may.
pub(super) struct Full;

impl ShopifyProduct {
    pub(super) fn new(handle: &str) -> Self {
        Self {
            handle: handle.to_owned(),
            texts: Vec::new(),
            options: Default::default(),
            images: Vec::new(),
            variants: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a row.
    pub(super) fn add(
        &mut self,
        line: u64,
        columns: &ColumnPlaces<Cell>,
        cells: &[&str],
    ) -> Result<(), Full> {
        let option = |cell: fn(usize) -> Cell| -> [String; OPTIONS] {
            std::array::from_fn(|at| columns.text(cells, cell(at)).to_owned())
        };
        let has_title = columns
            .cell(cells, Cell::Title)
            .is_none_or(|title| !title.is_empty());
        if self.texts.is_empty() && has_title {
            self.texts = kept(columns, cells, &PRODUCT_CELLS);
            self.bytes += bytes_of(&self.texts);
        }
        // Files without a title still name their options.
        if self.options.iter().all(String::is_empty) {
            self.options = option(Cell::OptionName);
        }
        let address = columns.text(cells, Cell::Image);
        if !address.is_empty() && self.images.len() < IMAGES_HELD_MAX {
            let position = columns
                .text(cells, Cell::ImagePosition)
                .parse()
                .unwrap_or(u32::MAX);
            self.bytes += address.len() + size_of::<ShopifyImage>();
            self.images
                .push(ShopifyImage { position, address: address.to_owned() });
        }
        let sells = [Cell::Sku, Cell::Price, Cell::OptionValue(0)];
        if sells
            .iter()
            .all(|cell| columns.text(cells, *cell).is_empty())
        {
            return Ok(());
        }
        if self.variants.len() >= VARIANTS_MAX {
            return Err(Full);
        }
        let texts = kept(columns, cells, &VARIANT_CELLS);
        let options = option(Cell::OptionValue);
        let option_bytes: usize = options.iter().map(String::len).sum();
        self.bytes += bytes_of(&texts) + option_bytes + size_of::<Variant>();
        self.variants.push(Variant { line, texts, options });
        Ok(())
    }

    pub(super) fn hand_over(mut self, columns: &ColumnPlaces<Cell>, entries: &mut Vec<Entry>) {
        // Stable, so that pictures without a position stay in the order of their rows.
        self.images.sort_by_key(|image| image.position);
        for variant in &self.variants {
            let line = ProductLine::of_cells(self.cells(variant, columns));
            entries.push(Entry::new(variant.line, line));
        }
    }

    /// A cell of the product; `None` where nothing gives it.
    fn text(&self, cell: Cell) -> Option<&str> {
        text_of(&self.texts, cell)
    }

    fn cells(&self, variant: &Variant, columns: &ColumnPlaces<Cell>) -> ProductCells {
        let mut cells = ProductCells::default();
        let chosen = || {
            let pairs = self.options.iter().zip(&variant.options);
            pairs.filter(|(_, value)| !value.is_empty() && *value != NO_OPTION)
        };
        let values: Vec<&str> = chosen().map(|(_, value)| value.as_str()).collect();
        for (name, value) in chosen().filter(|(name, _)| !name.is_empty()) {
            cells.attribute(name, value);
        }
        match text_of(&variant.texts, Cell::Sku).unwrap_or_default() {
            "" => cells.required("sku", &sku_of(&self.handle, &values)),
            sku => cells.required("sku", sku),
        }
        if let Some(title) = self.text(Cell::Title) {
            let parts = if values.is_empty() {
                String::new()
            } else {
                format!(" – {}", values.join(" / "))
            };
            cells.required("title", &format!("{title}{parts}"));
        }
        if let Some(body) = self.text(Cell::Body) {
            cells.description(&html::text(body));
        }
        if let Some(vendor) = self.text(Cell::Vendor) {
            cells.text("brand", vendor);
        }
        self.category(&mut cells);
        self.status(&mut cells);
        if let Some(tags) = self.text(Cell::Tags) {
            cells.tags(parts(tags, TAG_SEPARATOR));
        }
        if let Some(barcode) = text_of(&variant.texts, Cell::Barcode) {
            cells.attribute("barcode", barcode);
        }
        self.images(variant, columns, &mut cells);
        cells.price(text_of(&variant.texts, Cell::Price).unwrap_or_default());
        match text_of(&variant.texts, Cell::Quantity).unwrap_or_default() {
            // Oversold there; nothing to sell here.
            below if below.starts_with('-') => cells.stock("0"),
            pieces => cells.stock(pieces),
        }
        if let Some(policy) = stock_policy(variant) {
            cells.text("stock_policy", policy);
        }
        if let Some(grams) = text_of(&variant.texts, Cell::Grams) {
            cells.weight(grams, WeightUnit::Gram);
        }
        if let Some(is_shipped) = text_of(&variant.texts, Cell::RequiresShipping) {
            cells.flag("requires_shipping", is_shipped);
        }
        let taxable = text_of(&variant.texts, Cell::Taxable);
        if taxable.and_then(figures::truth) == Some(false) {
            cells.text("tax_class", TAX_EXEMPT);
        }
        cells
    }

    fn category(&self, cells: &mut ProductCells) {
        let given = [self.text(Cell::Category), self.text(Cell::Type)];
        if given.iter().any(Option::is_some) {
            let category = given
                .into_iter()
                .flatten()
                .find(|category| !category.is_empty());
            cells.list("categories", category);
        }
    }

    /// A new product is published, as Shopify does with one whose status is not given.
    fn status(&self, cells: &mut ProductCells) {
        let (status, published) = (self.text(Cell::Status), self.text(Cell::Published));
        if status.is_none() && published.is_none() {
            return cells.default_text("status", "published");
        }
        let is_published = !published.unwrap_or_default().eq_ignore_ascii_case("false");
        let status = match status.unwrap_or_default().to_lowercase().as_str() {
            "archived" => "archived",
            "active" | "" if is_published => "published",
            _ => "draft",
        };
        cells.text("status", status);
    }

    /// A variant's own picture comes first.
    fn images(&self, variant: &Variant, columns: &ColumnPlaces<Cell>, cells: &mut ProductCells) {
        let own = text_of(&variant.texts, Cell::VariantImage);
        let is_given = columns.has(Cell::Image) && !self.texts.is_empty();
        if !is_given && own.is_none() {
            return;
        }
        let mut images: Vec<String> = Vec::new();
        let own = own.filter(|own| !own.is_empty());
        let others = self.images.iter().map(|image| image.address.as_str());
        for address in own.into_iter().chain(others) {
            if !images.iter().any(|known| known == address) {
                images.push(address.to_owned());
            }
        }
        cells.images(images);
    }
}

/// The cells of a row that have a column.
fn kept(columns: &ColumnPlaces<Cell>, cells: &[&str], names: &[Cell]) -> Vec<(Cell, String)> {
    let given = names
        .iter()
        .filter_map(|name| Some((*name, columns.cell(cells, *name)?.to_owned())));
    given.collect()
}

/// The stock policy of a variant: without a tracker its stock is not counted. `None` where no
/// column tells.
fn stock_policy(variant: &Variant) -> Option<&'static str> {
    let tracker = text_of(&variant.texts, Cell::Tracker);
    let policy = text_of(&variant.texts, Cell::Policy);
    match (tracker, policy) {
        (None, None) => None,
        (Some(""), _) => Some("untracked"),
        (_, Some(policy)) if policy.eq_ignore_ascii_case("continue") => Some("backorder"),
        _ => Some("tracked"),
    }
}

fn text_of(texts: &[(Cell, String)], cell: Cell) -> Option<&str> {
    let (_, text) = texts.iter().find(|(name, _)| *name == cell)?;
    Some(text)
}

fn bytes_of(texts: &[(Cell, String)]) -> usize {
    texts
        .iter()
        .map(|(_, text)| size_of::<(Cell, String)>() + text.len())
        .sum()
}

/// A SKU of a handle and of the options of a variant, `clay-plant-pot-large`: the same texts
/// make the same SKU, so that a second import finds the product.
fn sku_of(handle: &str, options: &[&str]) -> String {
    let parts = std::iter::once(&handle)
        .chain(options)
        .map(|part| slug(part));
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let sku = parts.join("-");
    if sku.chars().count() <= SKU_CHARS_MAX {
        return sku;
    }
    let beginning: String = sku.chars().take(SKU_CHARS_MAX - 1 - HASH_CHARS).collect();
    let hash: [u8; HASH_CHARS / 2] = Blake2b::<U4>::digest(sku.as_bytes()).into();
    let hash = u32::from_be_bytes(hash);
    format!("{beginning}-{hash:08x}")
}

/// Letters and digits in lower case, with a hyphen in place of everything between them.
fn slug(text: &str) -> String {
    let text = model::normalised(text).to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skus_are_stable_and_short() {
        for (handle, options, expected) in [
            ("clay-plant-pot", &["Large"][..], "clay-plant-pot-large"),
            ("soy-candle", &[], "soy-candle"),
            (
                "hemd",
                &["Größe 39", "Weiß / Blau"],
                "hemd-größe-39-weiß-blau",
            ),
            ("", &[], ""),
        ] {
            assert_eq!(sku_of(handle, options), expected);
        }
        let long = "a-very-long-handle-of-a-product-that-was-named-with-much-care";
        let (red, blue) = (
            sku_of(long, &["Signal red"]),
            sku_of(long, &["Signal blue"]),
        );
        assert_eq!(red.chars().count(), SKU_CHARS_MAX);
        assert!(red != blue && red == sku_of(long, &["Signal red"]));
    }
}
