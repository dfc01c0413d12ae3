//! Reading a product's fields and the limits of each.
//!
//! **Invariants:** a product that is read without a fault is within every limit below; its
//! texts are in the one form in which they are stored, so that two that look equal are equal.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use chassis::fields::{Fields, Price, ReadFields, ReadOnly};
use model::{PublicationStatus, TaxClass};
use serde_json::value::RawValue;

use super::{CategoryRename, READ_ONLY, Submission};
use crate::domain::{
    CATEGORY_SEPARATOR, Content, PIECES_MAX, Rating, WEIGHT_MAX, shipped_by_default,
};

const SKU_CHARS_MAX: usize = 64;
const TITLE_CHARS_MAX: usize = 300;
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 8_000;
const BRAND_CHARS_MAX: usize = 200;
const CATEGORIES_MAX: usize = 20;
const CATEGORY_CHARS_MAX: usize = 200;
/// Every step has its own rows in the lists, so a path cannot be all steps.
const CATEGORY_STEPS_MAX: usize = 10;
pub(crate) const TAGS_MAX: usize = 50;
pub(crate) const TAG_CHARS_MAX: usize = 100;
const ATTRIBUTES_MAX: usize = 256;
const ATTRIBUTE_NAME_CHARS_MAX: usize = 128;
const ATTRIBUTE_VALUE_CHARS_MAX: usize = 8_000;
pub(crate) const IMAGES_MAX: usize = 20;
const IMAGE_CHARS_MAX: usize = 500;

impl ReadFields for Submission {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let sku = fields.required("sku", sku);
        let title = fields.required("title", title);
        let description = fields.optional("description", block::<DESCRIPTION_CHARS_MAX>);
        let brand = fields.optional("brand", brand);
        let categories = categories(fields);
        let tags = tags(fields);
        fields.require("price");
        let price = fields.object("price").map(|Price(money)| money);
        let attributes = attributes(fields);
        let images = images(fields);
        let status = fields.value("status").unwrap_or(PublicationStatus::Draft);
        let stock_policy = fields.value("stock_policy").unwrap_or_default();
        let rating = fields.object("rating");
        let weight_g = fields.parsed("weight_g", weight);
        let tax_class = fields.optional("tax_class", tax_class);
        let is_shipped = fields.value("requires_shipping");
        let stock = fields.parsed("stock", stock);
        let read_only = ReadOnly::read(fields, READ_ONLY);
        let content = Content {
            sku: sku?,
            title: title?,
            description: description.unwrap_or_default(),
            brand: brand.unwrap_or_default(),
            categories,
            tags,
            price: price?,
            attributes,
            images,
            status,
            stock_policy,
            rating,
            weight_g,
            tax_class: tax_class.unwrap_or_default(),
            requires_shipping: is_shipped.unwrap_or_else(shipped_by_default),
        };
        Some(Self { content, stock, read_only })
    }
}

impl ReadFields for Rating {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let average = fields.required_value("average");
        let count = fields.required_value("count");
        Some(Self { average: average?, count: count? })
    }
}

impl ReadFields for CategoryRename {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let from = fields.required("from", category);
        let to = fields.required("to", category);
        Some(Self { from: from?, to: to? })
    }
}

/// A text of at most that many characters, in the form in which it is stored.
fn at_most<const CHARS_MAX: usize>(text: &str) -> Result<String, String> {
    let text = model::normalised(text);
    let chars = text.chars().count();
    if chars > CHARS_MAX {
        return Err(format!(
            "has {chars} characters; at most {CHARS_MAX} are allowed"
        ));
    }
    Ok(text.into_owned())
}

/// A text of several lines, each ended by a line feed.
fn block<const CHARS_MAX: usize>(text: &str) -> Result<String, String> {
    let text = at_most::<CHARS_MAX>(text)?;
    if !text.contains('\r') {
        return Ok(text);
    }
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// A SKU, in the form in which it is stored.
///
/// # Errors
/// Why the text is none.
pub(crate) fn sku(text: &str) -> Result<String, String> {
    let sku = at_most::<SKU_CHARS_MAX>(text)?;
    if !model::is_visible_throughout(&sku) {
        return Err("must have no control or invisible characters".into());
    }
    // This also refuses `.` and `..`, which no path has as a segment (RFC 3986 §3.3), so
    // that by-sku could not name them.
    if !sku.contains(char::is_alphanumeric) {
        return Err("must be 1..64 characters, with at least one letter or digit".into());
    }
    Ok(sku)
}

fn title(text: &str) -> Result<String, String> {
    let title = at_most::<TITLE_CHARS_MAX>(text)?;
    if !model::is_legible(&title) {
        return Err(model::ILLEGIBLE.into());
    }
    Ok(title)
}

fn brand(text: &str) -> Result<String, String> {
    let brand = at_most::<BRAND_CHARS_MAX>(text)?;
    if !brand.is_empty() && !model::is_legible(&brand) {
        return Err(model::ILLEGIBLE.into());
    }
    Ok(brand)
}

fn stock(pieces: i64) -> Result<i64, String> {
    if !(0..=PIECES_MAX).contains(&pieces) {
        return Err(format!("must be 0..{PIECES_MAX} units"));
    }
    Ok(pieces)
}

fn weight(grams: i64) -> Result<u32, String> {
    let weight = u32::try_from(grams).ok();
    weight
        .filter(|grams| *grams <= WEIGHT_MAX)
        .ok_or_else(|| format!("must be 0..{WEIGHT_MAX} grams"))
}

fn tax_class(name: &str) -> Result<TaxClass, String> {
    let name = model::normalised(name);
    match name.is_empty() {
        true => Ok(TaxClass::default()),
        false => name
            .parse()
            .map_err(|error: model::NotATaxClass| error.to_string()),
    }
}

/// The steps of each path are trimmed, so that a category has one spelling.
fn categories(fields: &mut Fields<'_>) -> Vec<String> {
    let mut categories: Vec<String> = Vec::new();
    for (pointer, raw) in fields.list("categories", CATEGORIES_MAX) {
        if let Some(path) = fields.parsed_at(&pointer, raw, category)
            && !categories.contains(&path)
        {
            categories.push(path);
        }
    }
    categories
}

/// A category path, its steps separated as it is stored.
///
/// # Errors
/// Why the text is none.
pub(crate) fn category(path: &str) -> Result<String, String> {
    let path = at_most::<CATEGORY_CHARS_MAX>(path)?;
    let steps: Vec<&str> = path.split('>').map(str::trim).collect();
    if steps.iter().any(|step| step.is_empty()) || steps.len() > CATEGORY_STEPS_MAX {
        return Err(format!(
            "must be 1..{CATEGORY_STEPS_MAX} names separated by ` > `, such as `Home > Lighting`"
        ));
    }
    if !steps.iter().all(|step| model::is_legible(step)) {
        return Err(format!("each name {}", model::ILLEGIBLE));
    }
    Ok(steps.join(CATEGORY_SEPARATOR))
}

/// Tags in the order given. Of tags that differ only in case, accents or width the first is
/// kept: in a filter they would be two.
fn tags(fields: &mut Fields<'_>) -> Vec<String> {
    let (mut tags, mut known) = (Vec::new(), HashSet::new());
    for (pointer, raw) in fields.list("tags", TAGS_MAX) {
        let tag = fields.parsed_at(&pointer, raw, tag);
        tags.extend(tag.filter(|tag| known.insert(::search::folded(tag))));
    }
    tags
}

fn tag(text: &str) -> Result<String, String> {
    let tag = at_most::<TAG_CHARS_MAX>(text)?;
    if !model::is_legible(&tag) {
        return Err(model::ILLEGIBLE.into());
    }
    Ok(tag)
}

fn images(fields: &mut Fields<'_>) -> Vec<String> {
    let mut images = Vec::new();
    for (pointer, raw) in fields.list("images", IMAGES_MAX) {
        images.extend(fields.parsed_at(&pointer, raw, image));
    }
    images
}

/// An address of a picture. A blank in it is written as `%20`: spreadsheets and file names
/// have them, addresses do not.
fn image(address: &str) -> Result<String, String> {
    let address = at_most::<IMAGE_CHARS_MAX>(&model::normalised(address).replace(' ', "%20"))?;
    let is_address = ["https://", "http://", "/"]
        .iter()
        .any(|start| address.starts_with(start));
    if !is_address {
        return Err("must be an address that begins with https://, http:// or /".into());
    }
    if address.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be an address without white space or control characters".into());
    }
    Ok(address)
}

/// Attributes by name. An attribute without a value is left out.
fn attributes(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let Some(raw) = fields.raw("attributes") else {
        return BTreeMap::new();
    };
    // Most products have many and all of them are valid.
    let texts = serde_json::from_str(raw.get()).ok();
    if let Some(texts) = texts.filter(attributes_are_fine) {
        return texts;
    }
    let pointer = "/attributes";
    let raw: BTreeMap<String, &RawValue> = fields.value_at(pointer, raw).unwrap_or_default();
    if raw.len() > ATTRIBUTES_MAX {
        let given = raw.len();
        let why = format!("has {given} entries; at most {ATTRIBUTES_MAX} are allowed");
        fields.fault(pointer, why);
    }
    let mut attributes = BTreeMap::new();
    for (name, raw) in raw.into_iter().take(ATTRIBUTES_MAX) {
        let name = model::normalised(&name);
        if !attribute_name_is_fine(&name) {
            let chars = name.chars().count();
            // The name itself may be as long as the body, so it is not repeated.
            let why = format!(
                "has a name of {chars} characters; a name has 1..{ATTRIBUTE_NAME_CHARS_MAX} and no control characters"
            );
            fields.fault(pointer, why);
            continue;
        }
        if raw.get() == "null" {
            continue;
        }
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let value = fields.parsed_at(&pointer, raw, block::<ATTRIBUTE_VALUE_CHARS_MAX>);
        let value = value.filter(|value| !value.is_empty());
        attributes.extend(value.map(|value| (name.into_owned(), value)));
    }
    attributes
}

/// Whether attributes are valid and in the form in which they are stored.
fn attributes_are_fine(attributes: &BTreeMap<String, String>) -> bool {
    attributes.len() <= ATTRIBUTES_MAX
        && attributes.iter().all(|(name, value)| {
            attribute_name_is_fine(name)
                && is_normalised(name)
                && !value.is_empty()
                && !value.contains('\r')
                && is_normalised(value)
                && value.chars().count() <= ATTRIBUTE_VALUE_CHARS_MAX
        })
}

fn is_normalised(text: &str) -> bool {
    matches!(model::normalised(text), Cow::Borrowed(same) if same.len() == text.len())
}

fn attribute_name_is_fine(name: &str) -> bool {
    (1..=ATTRIBUTE_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(char::is_control)
}
