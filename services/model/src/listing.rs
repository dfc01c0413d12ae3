//! Listings: the part of a product that its events carry.
//!
//! **Invariant:** a field that is at its default is left out, so that a listing at its defaults
//! has the bytes of one of an earlier version, and such a one reads as what was true then.

use serde::{Deserialize, Serialize};

use crate::{Id, Money, TaxClass, kinds};

/// The part of a product that orders need to sell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The product.
    pub product_id: Id<kinds::Product>,
    /// The shop's own number, unique.
    pub sku: String,
    /// The title.
    pub title: String,
    /// The price of one unit.
    pub price: Money,
    /// Only published products are for sale.
    pub status: PublicationStatus,
    /// The first of its categories, by which sales are reported; absent in events of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Its further categories, at most 19.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_categories: Vec<String>,
    /// The weight of one unit, in grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_g: Option<u32>,
    /// The class by which it is taxed.
    #[serde(default, skip_serializing_if = "TaxClass::is_standard")]
    pub tax_class: TaxClass,
    /// Whether it is sent to the buyer: a download or a service is not.
    #[serde(default = "shipped_by_default", skip_serializing_if = "is_true")]
    pub requires_shipping: bool,
}

/// Whether a product requires shipping whose listing does not say so.
fn shipped_by_default() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Listing {
    /// Every category it is in, the first one first. Of a product that was last changed by an
    /// earlier version, that is the only one known.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        let all = self.category.iter().chain(&self.other_categories);
        all.map(String::as_str)
    }
}

/// The publication status of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationStatus {
    /// Visible to staff only.
    Draft,
    /// For sale.
    Published,
    /// No longer sold, kept for its orders.
    Archived,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an earlier version, and what a product at every default costs today.
    #[test]
    fn a_listing_at_its_defaults_is_that_of_an_earlier_version() {
        let earlier = r#"{"product_id":"prod_01h455vb4pex5vsknk084sn02q","sku":"LAMP-1","title":"Lamp","price":{"amount":1999,"currency":"EUR"},"status":"published","category":"Lighting > Lamps"}"#;
        let read: Listing = serde_json::from_str(earlier).unwrap();
        assert!(read.tax_class.is_standard() && read.requires_shipping);
        assert_eq!((read.weight_g, read.other_categories.len()), (None, 0));
        assert_eq!(serde_json::to_string(&read).unwrap(), earlier);
        assert_eq!(read.categories().collect::<Vec<_>>(), ["Lighting > Lamps"]);
        let full = Listing { other_categories: vec!["Sale".into()], ..read };
        let categories: Vec<_> = full.categories().collect();
        assert_eq!(categories, ["Lighting > Lamps", "Sale"]);
    }
}
