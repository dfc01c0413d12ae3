//! A product's changes from the cells of a table: fields collected, the price left as written
//! until its currency is known.
//!
//! **Invariant:** a field that no column gives stays absent, so that it leaves the product's
//! own value alone; an empty cell becomes `null`, which clears it.

use chassis::FieldError;
use chassis::fields::BodyFault;
use model::Currency;
use serde_json::{Map, Number, Value, json};

use super::figures::{self, WeightUnit};
use super::price;
use crate::submission::{self, DESCRIPTION_CHARS_MAX, IMAGES_MAX, TAG_CHARS_MAX, TAGS_MAX};

/// The length to which a description of too many characters is cut, in bytes: characters of
/// three bytes would leave no room for the rest of a product.
const DESCRIPTION_CUT_BYTES: usize = 16 * 1024;

/// The fields of a product as cells give them.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ProductCells {
    fields: Map<String, Value>,
    attributes: Map<String, Value>,
    /// Fields of a product that does not exist yet, where the cells leave them out.
    defaults: Map<String, Value>,
    /// Decimal, as written.
    price: Option<String>,
    /// Named by the file.
    currency: Option<Currency>,
    omissions: Omissions,
    faults: Vec<FieldError>,
}

/// What a product of a table has beyond the bounds of a product. Other shops allow more, and a
/// product without a part of it is of more use than none.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Omissions {
    pub(super) images: Vec<String>,
    pub(super) tags: Vec<String>,
    /// Whether the end of the description was left out.
    pub(super) is_description_cut: bool,
}

impl ProductCells {
    /// Sets a text; an empty one clears the field.
    pub(super) fn text(&mut self, name: &str, cell: &str) {
        let value = if cell.is_empty() { Value::Null } else { cell.into() };
        self.fields.insert(name.to_owned(), value);
    }

    /// Sets a text that no product can be without; an empty cell leaves it alone.
    pub(super) fn required(&mut self, name: &str, cell: &str) {
        if !cell.is_empty() {
            self.fields.insert(name.to_owned(), cell.into());
        }
    }

    /// Sets a text of a new product; a known one keeps its own.
    pub(super) fn default_text(&mut self, name: &str, text: &str) {
        self.defaults.insert(name.to_owned(), text.into());
    }

    /// Sets the description, as long as that of a product may be.
    pub(super) fn description(&mut self, cell: &str) {
        match beginning(&model::normalised(cell)) {
            None => self.text("description", cell),
            Some(beginning) => {
                self.omissions.is_description_cut = true;
                self.text("description", &beginning);
            }
        }
    }

    /// Sets a list; an empty one clears the field.
    pub(super) fn list(&mut self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) {
        let values = values.into_iter().map(Into::into).collect();
        self.fields.insert(name.to_owned(), Value::Array(values));
    }

    /// Sets the pictures, as many as a product may have.
    pub(super) fn images(&mut self, mut images: Vec<String>) {
        if images.len() > IMAGES_MAX {
            self.omissions.images = images.split_off(IMAGES_MAX);
        }
        self.list("images", images);
    }

    /// Sets the tags, as many and as long as a product may have.
    pub(super) fn tags(&mut self, tags: Vec<String>) {
        let fits = |tag: &String| tag.chars().count() <= TAG_CHARS_MAX;
        let (mut kept, mut left): (Vec<_>, Vec<_>) = tags.into_iter().partition(fits);
        if kept.len() > TAGS_MAX {
            left.extend(kept.split_off(TAGS_MAX));
        }
        self.omissions.tags = left;
        self.list("tags", kept);
    }

    /// Sets an attribute; an empty cell removes it.
    pub(super) fn attribute(&mut self, name: &str, cell: &str) {
        let value = if cell.is_empty() { Value::Null } else { cell.into() };
        self.attributes.insert(name.to_owned(), value);
    }

    /// Sets the price; an empty cell leaves it alone, since no product can be without.
    pub(super) fn price(&mut self, cell: &str) {
        self.price = Some(cell.to_owned()).filter(|price| !price.is_empty());
    }

    /// Sets the currency of the price, in capitals or not.
    pub(super) fn currency(&mut self, cell: &str) {
        if cell.is_empty() {
            return;
        }
        match cell.to_ascii_uppercase().parse() {
            Ok(currency) => self.currency = Some(currency),
            Err(error) => self.fault("/price/currency", format!("{cell:?}: {error}")),
        }
    }

    /// Sets the stock. An empty cell leaves it alone: a level that is not known is not 0.
    pub(super) fn stock(&mut self, cell: &str) {
        if cell.is_empty() {
            return;
        }
        // Programs that count in weights write units with decimals.
        let units = match cell.split_once(['.', ',']) {
            Some((units, zeros))
                if zeros.bytes().all(|digit| digit == b'0') && zeros.len() != 3 =>
            {
                units
            }
            _ => cell,
        };
        match units.parse::<i64>() {
            Ok(units) => {
                self.fields.insert("stock".into(), units.into());
            }
            Err(_) => self.fault("/stock", format!("{cell:?} is no whole number")),
        }
    }

    /// Sets the weight; an empty cell clears it.
    pub(super) fn weight(&mut self, cell: &str, unit: WeightUnit) {
        match figures::grams(cell, unit) {
            _ if cell.is_empty() => self.text("weight_g", ""),
            Ok(grams) => {
                self.fields.insert("weight_g".into(), grams.into());
            }
            Err(why) => self.fault("/weight_g", why),
        }
    }

    /// Sets a truth value; an empty cell clears it.
    pub(super) fn flag(&mut self, name: &str, cell: &str) {
        match figures::truth(cell) {
            _ if cell.is_empty() => self.text(name, ""),
            Some(is_true) => {
                self.fields.insert(name.to_owned(), is_true.into());
            }
            None => self.fault(
                &format!("/{name}"),
                format!("{cell:?} is not `true` or `false`"),
            ),
        }
    }

    /// Sets a figure of the rating; both empty clear it.
    pub(super) fn rating(&mut self, figure: &str, cell: &str) {
        let number = match figure {
            _ if cell.is_empty() => Some(Value::Null),
            "count" => cell.parse::<u32>().ok().map(Value::from),
            _ => cell
                .replace(',', ".")
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::from),
        };
        let Some(number) = number else {
            let pointer = format!("/rating/{figure}");
            return self.fault(&pointer, format!("{cell:?} is no such number"));
        };
        let rating = self.fields.entry("rating").or_insert(Value::Null);
        if !number.is_null() && rating.is_null() {
            *rating = json!({});
        }
        if let Value::Object(rating) = rating {
            rating.insert(figure.to_owned(), number);
        }
    }

    pub(super) fn fault(&mut self, pointer: &str, detail: String) {
        self.faults.push(FieldError::new(pointer, detail));
    }

    /// The product's SKU, in the form in which it is stored.
    ///
    /// # Errors
    /// Every fault of the cells, if there is none.
    pub(super) fn sku(&self) -> Result<String, BodyFault> {
        let sku = self.fields.get("sku").and_then(Value::as_str);
        let why = match sku.map(submission::sku) {
            Some(Ok(sku)) => return Ok(sku),
            Some(Err(why)) => why,
            None => "is required".into(),
        };
        let mut faults = vec![FieldError::new("/sku", why)];
        faults.extend_from_slice(&self.faults);
        Err(BodyFault::Invalid(faults))
    }

    pub(super) fn omissions(&self) -> &Omissions {
        &self.omissions
    }

    /// The currency that the file names for the price, by a cell of its own or in the price.
    pub(super) fn currency_named(&self) -> Option<Currency> {
        let in_price = || price::currency(self.price.as_deref()?);
        self.currency.or_else(in_price)
    }

    /// Refuses a currency without a price, unless it is that of the product: an amount in
    /// another currency is another price.
    ///
    /// # Errors
    /// The fault of the currency.
    pub(super) fn require_price_unless(&self, present: Currency) -> Result<(), BodyFault> {
        match self.currency {
            Some(currency) if self.price.is_none() && currency != present => {
                let why =
                    format!("the price is in {present}; a change to {currency} needs a price");
                Err(BodyFault::Invalid(vec![FieldError::new(
                    "/price/currency",
                    why,
                )]))
            }
            _ => Ok(()),
        }
    }

    /// Whether the cells give a price.
    pub(super) fn has_price(&self) -> bool {
        self.price.is_some()
    }

    /// The cells of a product that does not exist yet.
    ///
    /// # Errors
    /// As for [`patch`](Self::patch).
    pub(super) fn whole(&self, currency: Currency) -> Result<Value, BodyFault> {
        let Value::Object(mut fields) = self.patch(currency)? else {
            return Ok(Value::Null);
        };
        for (name, value) in &self.defaults {
            fields.entry(name).or_insert_with(|| value.clone());
        }
        Ok(fields.into())
    }

    /// The cells as a merge patch, with the price in that currency.
    ///
    /// # Errors
    /// Every cell that cannot be read.
    pub(super) fn patch(&self, currency: Currency) -> Result<Value, BodyFault> {
        let mut fields = self.fields.clone();
        let mut faults = self.faults.clone();
        if let Some(written) = &self.price {
            match price::minor_units(written, currency) {
                Ok(amount) => {
                    let price = json!({ "amount": amount, "currency": currency.to_string() });
                    fields.insert("price".into(), price);
                }
                Err(why) => faults.push(FieldError::new("/price/amount", why)),
            }
        }
        if !self.attributes.is_empty() {
            fields.insert("attributes".into(), self.attributes.clone().into());
        }
        if faults.is_empty() {
            Ok(fields.into())
        } else {
            Err(BodyFault::Invalid(faults))
        }
    }
}

/// The beginning of a description that is too long, up to the end of a word.
fn beginning(text: &str) -> Option<String> {
    text.char_indices().nth(DESCRIPTION_CHARS_MAX)?;
    // With room for the mark behind it.
    let (end, _) = text.char_indices().nth(DESCRIPTION_CHARS_MAX - 1)?;
    let end = text.floor_char_boundary(end.min(DESCRIPTION_CUT_BYTES));
    let word_end = text[..end].rfind(char::is_whitespace);
    // A text without blanks is cut anywhere.
    let end = word_end.filter(|at| *at > end / 2).unwrap_or(end);
    Some(format!("{}…", text[..end].trim_end()))
}
