//! What the index holds, for whoever compares it with the store.

use tantivy::schema::Value;
use tantivy::{DocAddress, SegmentOrdinal, TantivyDocument};

use super::Search;
use super::schema::{SCHEMA, column};
use crate::Error;
use crate::domain::ProductId;

/// What can be told of an indexed product without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// Minor units.
    pub(crate) price: i64,
    /// Milliseconds since 1970.
    pub(crate) created: i64,
}

impl Search {
    /// Every product of the index. Reads all of it: for a check, not for a request.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) fn indexed(&self) -> Result<Vec<(ProductId, Indexed)>, Error> {
        let searcher = self.reader.searcher();
        let mut all = Vec::new();
        for (place, segment) in (0 as SegmentOrdinal..).zip(searcher.segment_readers()) {
            let price = segment.fast_fields().i64(column::PRICE)?;
            let created = segment.fast_fields().i64(column::CREATED)?;
            for document in segment.doc_ids_alive() {
                let stored: TantivyDocument = searcher.doc(DocAddress::new(place, document))?;
                let id = stored
                    .get_first(SCHEMA.1.id)
                    .and_then(|id| id.as_str()?.parse().ok());
                let indexed = Indexed {
                    price: price.first(document).unwrap_or(-1),
                    created: created.first(document).unwrap_or(-1),
                };
                all.extend(id.map(|id| (id, indexed)));
            }
        }
        Ok(all)
    }
}
