//! What the index holds, for whoever compares it with the store.

use super::Search;
use super::identity::{self, SegmentIds};
use super::schema::column;
use crate::Error;
use crate::domain::{Level, Product, ProductId};

/// What can be told of an indexed product without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// Minor units.
    price: Option<i64>,
    /// Milliseconds since 1970.
    created: Option<i64>,
    /// Of everything else that is indexed.
    stamp: Option<u64>,
}

impl Indexed {
    /// What is indexed of this product if nothing is wrong.
    pub(crate) fn expected(product: &Product, level: Level) -> Self {
        Self {
            price: Some(product.content.price.amount),
            created: Some(product.created_at.0),
            stamp: Some(identity::stamp(&product.content, level)),
        }
    }
}

impl Search {
    /// Every product of the index. Reads all of it: for a check, not for a request.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) fn indexed(&self) -> Result<Vec<(ProductId, Indexed)>, Error> {
        let searcher = self.reader.searcher();
        let mut all = Vec::new();
        for segment in searcher.segment_readers() {
            let (ids, columns) = (SegmentIds::open(segment)?, segment.fast_fields());
            let price = columns.i64(column::PRICE)?;
            let created = columns.i64(column::CREATED)?;
            let stamp = columns.u64(column::STAMP)?;
            for document in segment.doc_ids_alive() {
                let indexed = Indexed {
                    price: price.first(document),
                    created: created.first(document),
                    stamp: stamp.first(document),
                };
                all.extend(ids.of(document).map(|id| (id, indexed)));
            }
        }
        Ok(all)
    }
}
