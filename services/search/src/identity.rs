//! Product ids and hashes as columns of the index.
//!
//! **Invariant:** the lower half of an id alone tells products apart. Of a UUIDv7
//! (RFC 9562 §5.7) it has 62 bits that are chosen at random: among a million
//! products the odds that two share it are one in nine million.

use tantivy::columnar::Column;
use tantivy::{DocId, SegmentReader, Term};
use uuid::Uuid;

use crate::ProductId;
use crate::schema::{SCHEMA, column};

/// The two halves of an id, as they are indexed.
pub(crate) fn halves(id: ProductId) -> (u64, u64) {
    id.uuid().as_u64_pair()
}

/// The term that finds a product's document.
pub(crate) fn term(id: ProductId) -> Term {
    Term::from_field_u64(SCHEMA.1.id_low, halves(id).1)
}

/// The ids of a segment's documents.
pub(crate) struct SegmentIds {
    high: Column<u64>,
    low: Column<u64>,
}

impl SegmentIds {
    pub(crate) fn open(segment: &SegmentReader) -> tantivy::Result<Self> {
        let columns = segment.fast_fields();
        Ok(Self {
            high: columns.u64(column::ID_HIGH)?,
            low: columns.u64(column::ID_LOW)?,
        })
    }

    pub(crate) fn of(&self, document: DocId) -> Option<ProductId> {
        let (high, low) = (self.high.first(document)?, self.low.first(document)?);
        Some(ProductId::from_uuid(Uuid::from_u64_pair(high, low)))
    }
}

/// The 40-bit hash by which an attribute's name and value are filtered. Terms without a
/// common prefix are the most expensive part of an index, so they are short; among a
/// million pairs the odds that a filter matches a second one are one in a million.
pub(crate) fn pair(name_and_value: &str) -> u64 {
    hash(name_and_value) >> 24
}

/// FNV-1a with 64 bits.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
