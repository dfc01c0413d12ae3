//! What a product and its stock are, and what may happen to them. Pure: time and
//! present state are parameters.
//!
//! **Invariant:** `0 <= reserved <= on_hand` for every level; what is available
//! is never below zero, so nothing is promised twice.

use std::collections::BTreeMap;

use mesh::{Id, ItemOrdered, Listing, Money, PublicationStatus, Shortage, Time, kinds};
use serde::{Deserialize, Serialize};

/// A product's id.
pub(crate) type ProductId = Id<kinds::Product>;

/// What staff write of a product. Its fields and their order are what export
/// gives out and import takes.
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
    /// What one piece costs.
    pub(crate) price: Money,
    /// Name to value, at most 256.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Addresses of pictures, at most 20.
    pub(crate) images: Vec<String>,
    /// Whether it may be seen and sold.
    pub(crate) status: PublicationStatus,
}

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Product {
    /// Its id, in order of creation.
    pub(crate) id: ProductId,
    /// What staff wrote.
    pub(crate) content: Content,
    /// When it was made.
    pub(crate) created_at: Time,
    /// When its content last changed.
    pub(crate) updated_at: Time,
}

impl store::Record for Product {}

impl Product {
    /// What other services are told.
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

/// The separator of a category path's steps, as it is written and stored.
pub(crate) const CATEGORY_SEPARATOR: &str = " > ";

/// A category path and every path above it, outermost first.
pub(crate) fn category_and_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices(CATEGORY_SEPARATOR)
        .map(|(at, _)| &path[..at])
        .chain(std::iter::once(path))
}

/// The most pieces of one product.
pub(crate) const PIECES_MAX: i64 = 1_000_000_000;

/// How many movements of a product's stock are kept.
pub(crate) const MOVEMENTS_KEPT: u64 = 100;

/// Pieces of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Level {
    /// In the house.
    pub(crate) on_hand: i64,
    /// Of those, promised to orders.
    pub(crate) reserved: i64,
    /// How many movements there have been; numbers the next one.
    pub(crate) movements: u64,
}

impl store::Record for Level {}

/// Why a level cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LevelFault {
    /// Fewer would be left than are promised to orders.
    BelowReserved,
    /// More than [`PIECES_MAX`].
    TooMany,
}

impl Level {
    /// How many may still be promised.
    pub(crate) fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// The level after `delta` pieces came or went.
    ///
    /// # Errors
    /// See [`LevelFault`].
    pub(crate) fn moved(self, delta: i64) -> Result<Self, LevelFault> {
        let on_hand = self.on_hand.saturating_add(delta);
        if on_hand < self.reserved {
            return Err(LevelFault::BelowReserved);
        }
        if on_hand > PIECES_MAX {
            return Err(LevelFault::TooMany);
        }
        Ok(Self { on_hand, movements: self.movements + 1, ..self })
    }
}

/// One change of how many pieces are in the house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Movement {
    /// When.
    pub(crate) at: Time,
    /// How many came (or, below zero, went).
    pub(crate) delta: i64,
    /// How many there were then.
    pub(crate) on_hand: i64,
    /// Why.
    pub(crate) reason: String,
    /// The user who said so; `None` for the shop's own import.
    pub(crate) by: Option<String>,
}

impl store::Record for Movement {}

/// What is held for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    /// What, each product once.
    pub(crate) lines: Vec<ItemOrdered>,
    /// Since when.
    pub(crate) at: Time,
}

impl store::Record for Reservation {}

/// The new level of every line's product, or every line that is short.
pub(crate) type Hold = Result<Vec<(ProductId, Level)>, Vec<Shortage>>;

/// Holds every line or none. `level_of` gives a product's present level, `None`
/// for one that is gone.
///
/// # Errors
/// Those of `level_of`.
pub(crate) fn hold<E>(
    lines: &[ItemOrdered],
    level_of: impl Fn(ProductId) -> Result<Option<Level>, E>,
) -> Result<Hold, E> {
    let mut held = Vec::with_capacity(lines.len());
    let mut shortages = Vec::new();
    for &ItemOrdered { product_id, quantity } in lines {
        let level = level_of(product_id)?.unwrap_or_default();
        let available = level.available();
        if i64::from(quantity) > available {
            shortages.push(Shortage { product_id, requested: quantity, available });
        } else {
            let reserved = level.reserved + i64::from(quantity);
            held.push((product_id, Level { reserved, ..level }));
        }
    }
    Ok(if shortages.is_empty() { Ok(held) } else { Err(shortages) })
}

/// An order's lines with each product once.
pub(crate) fn each_product_once(items: &[ItemOrdered]) -> Vec<ItemOrdered> {
    let mut lines: Vec<ItemOrdered> = Vec::with_capacity(items.len());
    for item in items {
        match lines
            .iter_mut()
            .find(|line| line.product_id == item.product_id)
        {
            Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
            None => lines.push(*item),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_level_keeps_its_promises() {
        let level = Level { on_hand: 5, reserved: 3, movements: 1 };
        assert_eq!(level.available(), 2);
        assert_eq!(level.moved(-2).unwrap().on_hand, 3);
        assert_eq!(level.moved(-3), Err(LevelFault::BelowReserved));
        assert_eq!(level.moved(i64::MIN), Err(LevelFault::BelowReserved));
        assert_eq!(level.moved(i64::MAX), Err(LevelFault::TooMany));
    }

    #[test]
    fn all_lines_are_held_or_none() {
        let (lamp, chair, gone) = (Id::new(), Id::new(), Id::new());
        let level_of = |id| -> Result<_, Infallible> {
            let level = |on_hand| Some(Level { on_hand, ..Level::default() });
            Ok([(lamp, level(5)), (chair, level(1))]
                .into_iter()
                .find(|(known, _)| *known == id)
                .and_then(|(_, level)| level))
        };
        let line = |product_id, quantity| ItemOrdered { product_id, quantity };
        let Ok(held) = hold(&[line(lamp, 5), line(chair, 1)], level_of);
        let reserved: Vec<_> = held
            .unwrap()
            .iter()
            .map(|(_, level)| level.reserved)
            .collect();
        assert_eq!(reserved, [5, 1]);

        let Ok(refused) = hold(&[line(lamp, 1), line(chair, 2), line(gone, 1)], level_of);
        let short: Vec<_> = refused
            .unwrap_err()
            .iter()
            .map(|short| (short.product_id, short.requested, short.available))
            .collect();
        assert_eq!(short, [(chair, 2, 1), (gone, 1, 0)]);

        let twice = each_product_once(&[line(lamp, 3), line(chair, 1), line(lamp, 3)]);
        assert_eq!(twice, [line(lamp, 6), line(chair, 1)]);
    }

    #[test]
    fn a_category_is_in_all_above_it() {
        let paths: Vec<_> = category_and_above("Home > Lighting > Lamps").collect();
        assert_eq!(
            paths,
            ["Home", "Home > Lighting", "Home > Lighting > Lamps"]
        );
    }

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
                price: Money { amount: 1999, currency: "EUR".parse().unwrap() },
                attributes: [("colour".to_owned(), "black".to_owned())].into(),
                images: Vec::new(),
                status: PublicationStatus::Draft,
            },
            created_at: Time(1),
            updated_at: Time(2),
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
