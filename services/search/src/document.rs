//! The index's input: one product as it is searched for.
//!
//! **Invariant:** a document borrows plain values, so the index depends on no
//! catalogue's tables and no wire format.

use std::collections::BTreeMap;

use crate::ProductId;

/// The separator of a category path's steps, as it is written and stored.
pub const CATEGORY_SEPARATOR: &str = " > ";

/// A product to be indexed.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The key: a newer document of one id replaces the older.
    pub id: ProductId,
    /// Matched as a whole, like a model number.
    pub sku: &'a str,
    /// Searched, ranked, suggested and analysed for the product's kind.
    pub title: &'a str,
    /// Searched and ranked.
    pub description: &'a str,
    /// Empty for none.
    pub brand: &'a str,
    /// Paths of steps parted by [`CATEGORY_SEPARATOR`].
    pub categories: &'a [String],
    /// Searched, and counted each by itself.
    pub tags: &'a [String],
    /// Name to value.
    pub attributes: &'a BTreeMap<String, String>,
    /// Minor units.
    pub price: i64,
    /// Whether at least one unit can be sold.
    pub available: bool,
    /// Milliseconds since 1970.
    pub created: i64,
    /// The higher, the better rated; `None` without ratings.
    pub rating: Option<u64>,
}

/// A category path and every path above it, outermost first.
pub fn category_and_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices(CATEGORY_SEPARATOR)
        .map(|(at, _)| &path[..at])
        .chain(std::iter::once(path))
}

/// The last step of a category path.
pub(crate) fn leaf(path: &str) -> &str {
    path.rsplit(CATEGORY_SEPARATOR).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_in_all_above_it() {
        let paths: Vec<_> = category_and_above("Home > Lighting > Lamps").collect();
        assert_eq!(
            paths,
            ["Home", "Home > Lighting", "Home > Lighting > Lamps"]
        );
    }
}
