//! Which product a document is, and which version of it.
//!
//! **Invariant:** the lower half of an id alone tells products apart. Of a UUIDv7
//! (RFC 9562 §5.7) it has 62 bits that are chosen at random: among a million
//! products the odds that two share it are one in nine million.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use blake2::digest::consts::U4;
use blake2::{Blake2b, Digest};
use tantivy::columnar::Column;
use tantivy::{DocAddress, DocId, Searcher, SegmentOrdinal, SegmentReader, Term};
use uuid::Uuid;

use super::schema::{SCHEMA, column};
use crate::domain::{Content, Level, ProductId};

/// An id in halves, as they are indexed.
pub(super) fn halves(id: ProductId) -> (u64, u64) {
    id.uuid().as_u64_pair()
}

/// What a product's document is found by.
pub(super) fn term(id: ProductId) -> Term {
    Term::from_field_u64(SCHEMA.1.id_low, halves(id).1)
}

/// The ids of a segment's documents.
pub(super) struct SegmentIds {
    high: Column<u64>,
    low: Column<u64>,
}

impl SegmentIds {
    pub(super) fn open(segment: &SegmentReader) -> tantivy::Result<Self> {
        let columns = segment.fast_fields();
        Ok(Self {
            high: columns.u64(column::ID_HIGH)?,
            low: columns.u64(column::ID_LOW)?,
        })
    }

    pub(super) fn of(&self, document: DocId) -> Option<ProductId> {
        let (high, low) = (self.high.first(document)?, self.low.first(document)?);
        Some(ProductId::from_uuid(Uuid::from_u64_pair(high, low)))
    }
}

/// The ids of documents here and there; each segment's columns are opened once.
#[derive(Default)]
pub(super) struct Ids(HashMap<SegmentOrdinal, SegmentIds>);

impl Ids {
    pub(super) fn of(
        &mut self,
        searcher: &Searcher,
        document: DocAddress,
    ) -> tantivy::Result<Option<ProductId>> {
        let ids = match self.0.entry(document.segment_ord) {
            Entry::Occupied(ids) => ids.into_mut(),
            Entry::Vacant(none) => {
                let segment = searcher.segment_reader(document.segment_ord);
                none.insert(SegmentIds::open(segment)?)
            }
        };
        Ok(ids.of(document.doc_id))
    }
}

/// 32 bits of what is indexed of a product and is in no column by itself.
pub(super) fn stamp(content: &Content, level: Level) -> u64 {
    let Content { sku, title, description, brand, categories, attributes, .. } = content;
    let mut digest = Blake2b::<U4>::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    for text in [sku, title, description, brand]
        .into_iter()
        .chain(categories)
    {
        add(text);
    }
    for (name, value) in attributes {
        add(name);
        add(value);
    }
    digest.update([u8::from(level.is_available())]);
    u64::from(u32::from_le_bytes(digest.finalize().into()))
}

/// An attribute's name and value as they are indexed to be filtered by: 40 bits. Nothing
/// in an index is as dear as terms that have nothing in common, so they are short; among
/// a million different pairs a filter means a second one with odds of one in a million.
pub(super) fn pair(name_and_value: &str) -> u64 {
    hash(name_and_value) >> 24
}

/// FNV-1a of 64 bits.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
