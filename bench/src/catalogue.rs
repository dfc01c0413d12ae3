//! Real catalogues, and how each becomes what the shop's import takes.
//!
//! **Invariant:** nothing is cut short or left out to make a product fit. A
//! product beyond the shop's limits is sent whole, and the shop refuses it by
//! name; so one line in is always one line out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// What a file of products holds, known by the fields of its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Catalogue {
    /// Icecat, as the Chorus project prepared it: `id`, `price_cents`, `attributes`.
    Icecat,
    /// The products of the UCI "Online Retail" orders: `id`, `price_pence`.
    Retail,
    /// The shop's own import format: `sku`, `price`.
    Konbini,
}

impl Catalogue {
    /// Recognises a file by its first line.
    pub(crate) fn recognise(first_line: &[u8]) -> anyhow::Result<Self> {
        let fields: Map<String, Value> = match serde_json::from_slice(first_line) {
            Ok(fields) => fields,
            Err(error) => bail!("the first line is not a JSON object: {error}"),
        };
        let has = |names: &[&str]| names.iter().all(|&name| fields.contains_key(name));
        if has(&["sku", "price"]) {
            Ok(Self::Konbini)
        } else if has(&["id", "title", "price_cents", "attributes"]) {
            Ok(Self::Icecat)
        } else if has(&["id", "title", "price_pence"]) {
            Ok(Self::Retail)
        } else {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            bail!(
                "no known kind of product has the fields {}; see --help for the kinds",
                names.join(", ")
            );
        }
    }

    /// How the kind is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Icecat => "icecat products",
            Self::Retail => "retail products",
            Self::Konbini => "products in the shop's own format",
        }
    }

    /// One line as the import takes it, without a line end. A line that is not
    /// what the file's first line promised is passed on as it is: the shop
    /// refuses it and names its number, and line numbers stay those of the file.
    pub(crate) fn convert(self, line: Vec<u8>, stock: u64) -> Vec<u8> {
        let converted = match self {
            Self::Konbini => return line,
            Self::Icecat => serde_json::from_slice::<Icecat<'_>>(&line)
                .and_then(|product| serde_json::to_vec(&product.into_product(stock))),
            Self::Retail => serde_json::from_slice::<Retail<'_>>(&line)
                .and_then(|product| serde_json::to_vec(&product.into_product(stock))),
        };
        converted.unwrap_or(line)
    }
}

/// The SKU that a line of any kind of catalogue becomes a product under.
pub(crate) fn sku_of(line: &[u8]) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    match fields.remove("sku").or_else(|| fields.remove("id"))? {
        Value::String(sku) => Some(sku),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Icecat<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    model: Option<String>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    brand: Option<Cow<'a, str>>,
    product_type: Option<String>,
    price_cents: u64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(default)]
    ean: Vec<String>,
    image_url: Option<String>,
    attributes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Retail<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    price_pence: u64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

#[derive(Serialize)]
struct Product<'a> {
    sku: Cow<'a, str>,
    title: Cow<'a, str>,
    description: Cow<'a, str>,
    brand: Cow<'a, str>,
    categories: Vec<String>,
    price: Price<'a>,
    attributes: BTreeMap<String, String>,
    images: Vec<String>,
    status: &'static str,
    stock: u64,
}

#[derive(Serialize)]
struct Price<'a> {
    amount: u64,
    currency: Cow<'a, str>,
}

impl<'a> Icecat<'a> {
    fn into_product(self, stock: u64) -> Product<'a> {
        let mut attributes: BTreeMap<String, String> = self
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), attribute(value)))
            .collect();
        let ean = self.ean.join(", ");
        for (name, value) in [("model", self.model.unwrap_or_default()), ("ean", ean)] {
            if !value.is_empty() {
                attributes.entry(name.to_owned()).or_insert(value);
            }
        }
        let category = |kind: &String| format!("Electronics > {kind}");
        Product {
            sku: self.id,
            title: self.title,
            description: self.description.unwrap_or_default(),
            brand: self.brand.unwrap_or_default(),
            categories: self.product_type.iter().map(category).collect(),
            price: Price { amount: self.price_cents, currency: self.currency },
            attributes,
            images: self
                .image_url
                .into_iter()
                .filter(|url| !url.is_empty())
                .collect(),
            status: "published",
            stock,
        }
    }
}

impl<'a> Retail<'a> {
    fn into_product(self, stock: u64) -> Product<'a> {
        Product {
            sku: self.id,
            title: self.title,
            description: Cow::default(),
            brand: Cow::default(),
            categories: Vec::new(),
            price: Price { amount: self.price_pence, currency: self.currency },
            attributes: BTreeMap::new(),
            images: Vec::new(),
            status: "published",
            stock,
        }
    }
}

/// An attribute's value as a person would write it: `6`, `2.13`, `true`,
/// `Black, Cyan`.
fn attribute(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => plain(number),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(attribute).collect();
            values.join(", ")
        }
        Value::Bool(_) | Value::Object(_) => value.to_string(),
    }
}

/// JSON has no integers, so `6.0` is how the source writes six. Display of a
/// float has no exponent and no needless fraction.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn converted(catalogue: Catalogue, line: &Value) -> Value {
        let line = catalogue.convert(line.to_string().into_bytes(), 7);
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn an_icecat_product_keeps_every_value_as_text() {
        let line = json!({
            "id": "2101957", "title": "HP Pavilion", "model": "dv7-1211ea", "description": "",
            "brand": "HP", "product_type": "Notebook", "price_cents": 10995, "currency": "USD",
            "ean": ["0884420588030", "0884420588031"], "date_released": "2008-12-19T00:00:00Z",
            "image_url": "http://images.example/1.jpg", "thumb_url": "http://images.example/t.jpg",
            "attributes": {
                "display_diagonal": 17.0, "processor_frequency": 2.13, "touchscreen": false,
                "colours": ["Black", "Cyan"], "aspect_ratio": "16:10", "lines": 12,
                "response_time": 1e-6
            }
        });
        assert_eq!(
            Catalogue::recognise(line.to_string().as_bytes()).unwrap(),
            Catalogue::Icecat
        );
        assert_eq!(
            converted(Catalogue::Icecat, &line),
            json!({
                "sku": "2101957", "title": "HP Pavilion", "description": "", "brand": "HP",
                "categories": ["Electronics > Notebook"],
                "price": {"amount": 10995, "currency": "USD"},
                "attributes": {
                    "aspect_ratio": "16:10", "colours": "Black, Cyan", "display_diagonal": "17",
                    "ean": "0884420588030, 0884420588031", "lines": "12", "model": "dv7-1211ea",
                    "processor_frequency": "2.13", "response_time": "0.000001", "touchscreen": "false"
                },
                "images": ["http://images.example/1.jpg"], "status": "published", "stock": 7
            })
        );
    }

    #[test]
    fn a_retail_product_is_sold_in_pence() {
        let line = json!({
            "id": "10002", "title": "INFLATABLE POLITICAL GLOBE", "price_pence": 85,
            "currency": "GBP", "units_sold": 8676
        });
        assert_eq!(
            Catalogue::recognise(line.to_string().as_bytes()).unwrap(),
            Catalogue::Retail
        );
        let product = converted(Catalogue::Retail, &line);
        assert_eq!(product["sku"], "10002");
        assert_eq!(product["price"], json!({"amount": 85, "currency": "GBP"}));
        assert_eq!(product["stock"], 7);
    }

    #[test]
    fn a_line_that_is_not_what_was_promised_reaches_the_shop_as_it_is() {
        let line = br#"{"id": 5}"#.to_vec();
        assert_eq!(Catalogue::Icecat.convert(line.clone(), 7), line);
        assert!(Catalogue::recognise(br#"{"name": "x"}"#).is_err());
        assert_eq!(
            Catalogue::recognise(br#"{"sku": "A", "price": {}}"#).unwrap(),
            Catalogue::Konbini
        );
    }
}
