//! The columns of a Shopify product export, by the header it has had for years
//! and by the one it has now.
//!
//! Rows of one handle are a product (see `product`). Columns without a counterpart (tax codes,
//! the unit a weight is shown in, SEO, Google's) are ignored. A variant that is not taxable is
//! of the tax class `exempt`; one that is taxable stays in the class it has.
//!
//! **Invariant:** rows of one handle may lie apart, because a sheet that was sorted has them
//! so. Products wait for the end of the file, at most [`HELD_BYTES_MAX`] of them; the oldest
//! is handed over to make room, and a later row of it counts by itself.

mod product;

use std::collections::{HashMap, VecDeque};

use self::product::{Full, ShopifyProduct, VARIANTS_MAX};
use super::columns::ColumnPlaces;
use super::entry::{Entry, Remainder};

/// Options of a variant.
const OPTIONS: usize = 3;
/// Text of products that wait. Shopify neither writes nor reads a file above 15 MB, so a
/// whole one fits.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    Tracker,
    Policy,
    Grams,
    RequiresShipping,
    Taxable,
    Barcode,
    Image,
    ImagePosition,
    VariantImage,
}

fn cell(name: &str) -> Option<Cell> {
    Some(match name {
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
        "variant inventory tracker" | "inventory tracker" => Cell::Tracker,
        "variant inventory policy" | "continue selling when out of stock" => Cell::Policy,
        "variant grams" | "weight value (grams)" => Cell::Grams,
        "variant requires shipping" | "requires shipping" => Cell::RequiresShipping,
        "variant taxable" | "charge tax" => Cell::Taxable,
        "variant barcode" | "barcode" => Cell::Barcode,
        "image src" | "product image url" => Cell::Image,
        "image position" => Cell::ImagePosition,
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
    columns: ColumnPlaces<Cell>,
    /// In the order of their first rows.
    products: VecDeque<ShopifyProduct>,
    /// The number of the product of each handle.
    numbers: HashMap<String, u64>,
    /// The number of the first product that waits.
    first: u64,
    held_bytes: usize,
}

impl Shopify {
    /// A parser, if this is the header of such a file.
    pub(super) fn recognise(header: &[&str]) -> Option<Self> {
        let columns = ColumnPlaces::of(header, cell);
        let names = |name: &str| {
            header
                .iter()
                .any(|column| column.trim().eq_ignore_ascii_case(name))
        };
        let is_shopify = columns.has(Cell::Handle) || names("variant sku");
        is_shopify.then(|| Self {
            columns,
            products: VecDeque::new(),
            numbers: HashMap::new(),
            first: 0,
            held_bytes: 0,
        })
    }

    pub(super) fn ignored_columns(&mut self) -> &mut Vec<String> {
        self.columns.ignored()
    }

    pub(super) fn take(&mut self, line: u64, cells: &[&str], entries: &mut Vec<Entry>) {
        let handle = self.columns.text(cells, Cell::Handle);
        let place = self.place_of(handle);
        let Some(product) = self.products.get_mut(place) else {
            return;
        };
        let before = product.bytes;
        let full = product.add(line, &self.columns, cells);
        self.held_bytes += product.bytes - before;
        if let Err(Full) = full {
            let why = format!("the product has more than {VARIANTS_MAX} variants");
            entries.push(Entry::unreadable(line, why));
        }
        while self.held_bytes > HELD_BYTES_MAX {
            self.drain(entries);
        }
    }

    /// The place of the product of a handle. Rows without a handle are a product each.
    fn place_of(&mut self, handle: &str) -> usize {
        let number = self.numbers.get(handle).copied();
        let place = number.and_then(|number| usize::try_from(number - self.first).ok());
        place.unwrap_or_else(|| {
            let place = self.products.len();
            if !handle.is_empty() {
                self.numbers
                    .insert(handle.to_owned(), self.first + place as u64);
            }
            self.products.push_back(ShopifyProduct::new(handle));
            place
        })
    }

    /// Hands over the oldest product.
    pub(super) fn drain(&mut self, entries: &mut Vec<Entry>) -> Remainder {
        let Some(product) = self.products.pop_front() else {
            return Remainder::Nothing;
        };
        self.first += 1;
        self.numbers.remove(&product.handle);
        self.held_bytes -= product.bytes;
        product.hand_over(&self.columns, entries);
        Remainder::More
    }
}
