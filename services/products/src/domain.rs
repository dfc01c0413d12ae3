//! Products. Pure: time is a parameter. Stock levels are in `stock`.
//!
//! **Invariant:** every content is within the limits of the contract; only `submission`
//! makes one.

mod rating;
mod stock;

use std::collections::BTreeMap;

use model::{Listing, Money, PublicationStatus, TaxClass, Time};
use serde::{Deserialize, Serialize};

pub(crate) use ::search::{CATEGORY_SEPARATOR, category_and_above};

pub(crate) use self::rating::Rating;
pub(crate) use self::stock::*;

/// A product's id.
pub(crate) use model::ProductId;

/// A product's content as staff write it. Rows, responses and exports have these fields in this
/// order, and import reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// The shop's own number, 1..=64 characters, unique.
    pub(crate) sku: String,
    /// 1..=300 characters.
    pub(crate) title: String,
    /// At most 8,000 characters.
    pub(crate) description: String,
    /// At most 200 characters; empty when there is none.
    pub(crate) brand: String,
    /// Paths such as `Home > Lighting > Lamps`, at most 20.
    pub(crate) categories: Vec<String>,
    /// Words that staff file products under, at most 50 of at most 100 characters, each once.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Of one unit.
    pub(crate) price: Money,
    /// Name to value, at most 256.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Addresses of pictures, at most 20.
    pub(crate) images: Vec<String>,
    /// Only a published product is public and can be sold.
    pub(crate) status: PublicationStatus,
    /// Whether its stock limits its sale.
    #[serde(default)]
    pub(crate) stock_policy: StockPolicy,
    /// The customers' rating, where the shop has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
    /// The weight of one unit in grams, at most [`WEIGHT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight_g: Option<u32>,
    /// The class by which it is taxed.
    #[serde(default)]
    pub(crate) tax_class: TaxClass,
    /// Whether it is sent to the buyer: a download or a service is not.
    #[serde(default = "shipped_by_default")]
    pub(crate) requires_shipping: bool,
}

/// The heaviest product, in grams: a ton.
pub(crate) const WEIGHT_MAX: u32 = 1_000_000;

/// Whether a product requires shipping that does not say so.
pub(crate) fn shipped_by_default() -> bool {
    true
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    /// Its id, in order of creation.
    pub(crate) id: ProductId,
    /// As staff wrote it.
    pub(crate) content: Content,
    /// Of its creation.
    pub(crate) created_at: Time,
    /// Of its last change of content.
    pub(crate) updated_at: Time,
    /// The stock it was created with, if any: its first movement, which needs no row of its
    /// own.
    pub(crate) opening: Option<OpeningStock>,
}

impl Product {
    /// The product as its events carry it.
    pub(crate) fn listing(&self) -> Listing {
        Listing {
            product_id: self.id,
            sku: self.content.sku.clone(),
            title: self.content.title.clone(),
            price: self.content.price,
            status: self.content.status,
            category: self.content.categories.first().cloned(),
            other_categories: self.content.categories.iter().skip(1).cloned().collect(),
            weight_g: self.content.weight_g,
            tax_class: self.content.tax_class.clone(),
            requires_shipping: self.content.requires_shipping,
        }
    }

    /// Whether everyone may see it.
    pub(crate) fn is_published(&self) -> bool {
        self.content.status == PublicationStatus::Published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_what_orders_price_by() {
        let content = serde_json::json!({
            "sku": "A1", "title": "Lamp", "description": "", "brand": "", "images": [],
            "categories": ["Home > Lamps", "Sale", "New"], "attributes": {}, "status": "published",
            "price": { "amount": 1, "currency": "EUR" }, "weight_g": 900, "tax_class": "reduced",
            "requires_shipping": false,
        });
        let mut product = Product {
            id: ProductId::new(),
            content: serde_json::from_value(content).unwrap(),
            created_at: Time(1),
            updated_at: Time(1),
            opening: None,
        };
        let listing = product.listing();
        let categories: Vec<_> = listing.categories().collect();
        assert_eq!(categories, ["Home > Lamps", "Sale", "New"]);
        assert_eq!(listing.weight_g, Some(900));
        assert_eq!(listing.tax_class.as_str(), "reduced");
        assert!(!listing.requires_shipping);
        product.content.categories.clear();
        assert_eq!(product.listing().categories().count(), 0);
    }
}
