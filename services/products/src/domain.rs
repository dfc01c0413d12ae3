//! Products. Pure: time is a parameter. Stock levels are in `stock`.
//!
//! **Invariant:** every content is within the limits of the contract; only `submission`
//! makes one.

mod rating;
mod stock;

use std::collections::BTreeMap;

use model::{Listing, Money, PublicationStatus, Time};
use serde::{Deserialize, Serialize};

pub(crate) use ::search::{CATEGORY_SEPARATOR, category_and_above};

pub(crate) use self::rating::Rating;
pub(crate) use self::stock::*;

/// A product's id.
pub(crate) use model::ProductId;

/// A product's content as staff write it. Export writes these fields in this order, and
/// import reads them.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    #[serde(default, skip_serializing_if = "StockPolicy::is_default")]
    pub(crate) stock_policy: StockPolicy,
    /// The customers' rating, where the shop has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
}

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) opening: Option<OpeningStock>,
}

impl store::Record for Product {}

impl Product {
    /// The product as its events carry it.
    pub(crate) fn listing(&self) -> Listing {
        Listing {
            product_id: self.id,
            sku: self.content.sku.clone(),
            title: self.content.title.clone(),
            price: self.content.price,
            status: self.content.status,
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

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let product = Product {
            id: "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
            content: Content {
                sku: "A1".into(),
                title: "Lamp".into(),
                description: String::new(),
                brand: "Mori".into(),
                categories: vec!["Home".into()],
                tags: Vec::new(),
                price: Money { amount: 1999, currency: "EUR".parse().unwrap() },
                attributes: [("colour".to_owned(), "black".to_owned())].into(),
                images: Vec::new(),
                status: PublicationStatus::Draft,
                stock_policy: StockPolicy::default(),
                rating: None,
            },
            created_at: Time(1),
            updated_at: Time(2),
            opening: None,
        };
        let mut golden =
            b"\x01\x84\xa2id\xc4\x10\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57"
                .to_vec();
        golden.extend_from_slice(b"\xa7content\x89\xa3sku\xa2A1\xa5title\xa4Lamp\xabdescription");
        golden.extend_from_slice(b"\xa0\xa5brand\xa4Mori\xaacategories\x91\xa4Home\xa5price\x82");
        golden.extend_from_slice(b"\xa6amount\xcd\x07\xcf\xa8currency\xa3EUR\xaaattributes\x81");
        golden.extend_from_slice(b"\xa6colour\xa5black\xa6images\x90\xa6status\xa5draft");
        golden.extend_from_slice(b"\xaacreated_at\x01\xaaupdated_at\x02");
        assert_eq!(store::encode(&product).unwrap(), golden);
        assert_eq!(store::decode::<Product>(&golden).unwrap(), product);
    }
}
