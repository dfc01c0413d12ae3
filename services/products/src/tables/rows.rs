//! The row of a product: its content as responses show it, in JSON.
//!
//! A response is then the bytes of the row and a few members around them: products are shown
//! hundreds of times as often as they are changed, and a search shows twenty at once.
//!
//! **Invariant:** a response made of a row has the bytes of the response that is made of the
//! product.

use ::store::Record;
use model::{ProductId, PublicationStatus, Time};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{Content, OpeningStock, Product, StockLevel};

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductRow {
    pub(crate) id: ProductId,
    /// [`Content`] in JSON.
    #[serde(with = "serde_bytes")]
    content: Vec<u8>,
    /// That of the content.
    pub(crate) status: PublicationStatus,
    created_at: Time,
    updated_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<OpeningStock>,
}

impl ProductRow {
    fn new(product: &Product) -> Result<Self, serde_json::Error> {
        let Product { id, content, created_at, updated_at, opening } = product;
        Ok(Self {
            id: *id,
            content: serde_json::to_vec(content)?,
            status: content.status,
            created_at: *created_at,
            updated_at: *updated_at,
            opening: opening.clone(),
        })
    }

    fn product(self) -> Result<Product, serde_json::Error> {
        let Self { id, content, created_at, updated_at, opening, .. } = self;
        let content = serde_json::from_slice(&content)?;
        Ok(Product { id, content, created_at, updated_at, opening })
    }

    /// A row of version 2 with what it lacks: products had no tax class and were all shipped. A
    /// row that is shown is read far more often than changed, so its JSON is not parsed for this.
    fn completed(mut self) -> Self {
        if self.content.pop_if(|last| *last == b'}').is_some() {
            self.content.extend_from_slice(COMPLETION);
        }
        self
    }

    /// The response that shows the product, see
    /// [`ProductResponse`](crate::wire::ProductResponse).
    pub(crate) fn response(&self, level: StockLevel) -> Vec<u8> {
        let Self { id, content, created_at, updated_at, .. } = self;
        let members = content
            .strip_prefix(b"{")
            .and_then(|content| content.strip_suffix(b"}"));
        let available = level.is_available();
        let before = format!("{{\"id\":\"{id}\",");
        let after = format!(
            ",\"available\":{available},\"created_at\":\"{created_at}\",\"updated_at\":\"{updated_at}\"}}"
        );
        [
            before.as_bytes(),
            members.unwrap_or_default(),
            after.as_bytes(),
        ]
        .concat()
    }
}

impl Record for ProductRow {
    const VERSION: u8 = 3;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, String> {
        if version == SecondRow::VERSION {
            let SecondRow(row) = ::store::decode(&[&[version], body].concat())?;
            return Ok(row.completed());
        }
        let product = <Product as Record>::upgrade(version, body)?;
        Self::new(&product).map_err(|error| error.to_string())
    }
}

impl Record for Product {
    const VERSION: u8 = ProductRow::VERSION;

    /// Version 1 had the content as fields of MessagePack.
    fn upgrade(version: u8, body: &[u8]) -> Result<Self, String> {
        if version == SecondRow::VERSION {
            let row = <ProductRow as Record>::upgrade(version, body)?;
            return row.product().map_err(|error| error.to_string());
        }
        let FirstRow { id, content, created_at, updated_at, opening } =
            ::store::decode(&[&[version], body].concat())?;
        Ok(Self { id, content, created_at, updated_at, opening })
    }
}

impl Serialize for Product {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = ProductRow::new(self).map_err(S::Error::custom)?;
        row.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Product {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let row = ProductRow::deserialize(deserializer)?;
        row.product().map_err(D::Error::custom)
    }
}

/// The members that the content of version 2 lacks, as that of version 3 has them at its end.
const COMPLETION: &[u8] = br#","tax_class":"standard","requires_shipping":true}"#;

/// Version 2.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct SecondRow(ProductRow);

impl Record for SecondRow {
    const VERSION: u8 = 2;
}

/// Version 1.
#[derive(Serialize, Deserialize)]
struct FirstRow {
    id: ProductId,
    content: Content,
    created_at: Time,
    updated_at: Time,
    #[serde(default)]
    opening: Option<OpeningStock>,
}

impl Record for FirstRow {}

#[cfg(test)]
mod tests {
    use model::{Money, TaxClass};

    use super::*;
    use crate::domain::{Rating, StockPolicy};
    use crate::wire::ProductResponse;

    fn lamp() -> Product {
        Product {
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
                weight_g: None,
                tax_class: TaxClass::default(),
                requires_shipping: true,
            },
            created_at: Time(1),
            updated_at: Time(2),
            opening: None,
        }
    }

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let id = b"\xc4\x10\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57";
        let golden = [
            b"\x03\x85\xa2id",
            &id[..],
            b"\xa7content\xc5\x01\x0a{\"sku\":\"A1\",\"title\":\"Lamp\",\"description\":\"\",",
            b"\"brand\":\"Mori\",\"categories\":[\"Home\"],\"tags\":[],",
            b"\"price\":{\"amount\":1999,\"currency\":\"EUR\"},\"attributes\":{\"colour\":\"black\"},",
            b"\"images\":[],\"status\":\"draft\",\"stock_policy\":\"tracked\"",
            COMPLETION,
            b"\xa6status\xa5draft\xaacreated_at\x01\xaaupdated_at\x02",
        ]
        .concat();
        let encoded = ::store::encode(&lamp()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&encoded),
            String::from_utf8_lossy(&golden)
        );
        assert_eq!(encoded, golden);
        assert_eq!(::store::decode::<Product>(&golden).unwrap(), lamp());
        let first = [
            b"\x01\x84\xa2id",
            &id[..],
            b"\xa7content\x89\xa3sku\xa2A1\xa5title\xa4Lamp\xabdescription",
            b"\xa0\xa5brand\xa4Mori\xaacategories\x91\xa4Home\xa5price\x82",
            b"\xa6amount\xcd\x07\xcf\xa8currency\xa3EUR\xaaattributes\x81",
            b"\xa6colour\xa5black\xa6images\x90\xa6status\xa5draft",
            b"\xaacreated_at\x01\xaaupdated_at\x02",
        ]
        .concat();
        assert_eq!(::store::decode::<Product>(&first).unwrap(), lamp());
        assert_eq!(
            ::store::encode(&::store::decode::<ProductRow>(&first).unwrap()).unwrap(),
            golden
        );
        let second = [
            b"\x02\x85\xa2id",
            &id[..],
            b"\xa7content\xc4\xda{\"sku\":\"A1\",\"title\":\"Lamp\",\"description\":\"\",",
            b"\"brand\":\"Mori\",\"categories\":[\"Home\"],\"tags\":[],",
            b"\"price\":{\"amount\":1999,\"currency\":\"EUR\"},\"attributes\":{\"colour\":\"black\"},",
            b"\"images\":[],\"status\":\"draft\",\"stock_policy\":\"tracked\"}",
            b"\xa6status\xa5draft\xaacreated_at\x01\xaaupdated_at\x02",
        ]
        .concat();
        assert_eq!(::store::decode::<Product>(&second).unwrap(), lamp());
        assert_eq!(
            ::store::encode(&::store::decode::<ProductRow>(&second).unwrap()).unwrap(),
            golden
        );
        let newer = [b"\x04", &golden[1..]].concat();
        assert!(::store::decode::<Product>(&newer).is_err());
    }

    /// A response made of a row has the bytes of the one made of the product, and the texts that
    /// are highlighted are read from both.
    #[test]
    fn a_row_is_shown_as_its_product() {
        let mut product = lamp();
        product.content.title = "\"Lamp\" <é>\\".into();
        product.content.description = "two\nlines".into();
        product.content.tags = vec!["a".into()];
        product.content.stock_policy = StockPolicy::Backorder;
        product.content.rating = Some(Rating { average: 4.5.try_into().unwrap(), count: 2 });
        product.content.weight_g = Some(7);
        product.content.tax_class = "reduced".parse().unwrap();
        product.content.requires_shipping = false;
        for product in [lamp(), product] {
            for on_hand in [0, 3] {
                let level = StockLevel { on_hand, ..StockLevel::default() };
                let expected = serde_json::to_string(&ProductResponse::new(&product, level));
                let shown = ProductRow::new(&product).unwrap().response(level);
                assert_eq!(String::from_utf8_lossy(&shown), expected.unwrap());
                let texts = crate::wire::HighlightedTexts::read(&shown).unwrap();
                let Content { title, description, brand, .. } = &product.content;
                assert_eq!(texts.title, *title);
                assert_eq!(texts.description, *description);
                assert_eq!(texts.brand, *brand);
            }
        }
    }
}
