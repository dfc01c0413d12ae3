//! Fingerprints: a short summary of each indexed version, for consistency checks.
//!
//! The index stores no texts, so a check compares price, creation time and a hash of
//! everything else.
//!
//! **Invariant:** the stamp covers every indexed value that has no column of its own.

use blake2::digest::consts::U4;
use blake2::{Blake2b, Digest};
use tantivy::Searcher;

use crate::identity::SegmentIds;
use crate::schema::column;
use crate::{Document, Error, ProductId};

/// The comparable part of an indexed product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    price: Option<i64>,
    created: Option<i64>,
    stamp: Option<u64>,
}

impl Fingerprint {
    /// The fingerprint that the index has of this document if it is up to date.
    #[must_use]
    pub fn expected(document: &Document<'_>) -> Self {
        Self {
            price: Some(document.price),
            created: Some(document.created),
            stamp: Some(stamp(document)),
        }
    }
}

/// 32 bits of the indexed values that have no column of their own.
pub(crate) fn stamp(document: &Document<'_>) -> u64 {
    let Document { sku, title, description, brand, .. } = *document;
    let mut digest = Blake2b::<U4>::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    for text in [sku, title, description, brand] {
        add(text);
    }
    for list in [document.categories, document.tags] {
        list.iter().for_each(|text| add(text));
        // The list's end, which is no category and no tag.
        add("\u{1f}");
    }
    for (name, value) in document.attributes {
        add(name);
        add(value);
    }
    digest.update([u8::from(document.available)]);
    u64::from(u32::from_le_bytes(digest.finalize().into()))
}

/// The fingerprint of every product in the index.
pub(crate) fn fingerprints(searcher: &Searcher) -> Result<Vec<(ProductId, Fingerprint)>, Error> {
    let mut all = Vec::new();
    for segment in searcher.segment_readers() {
        let (ids, columns) = (SegmentIds::open(segment)?, segment.fast_fields());
        let price = columns.i64(column::PRICE)?;
        let created = columns.i64(column::CREATED)?;
        let stamp = columns.u64(column::STAMP)?;
        for document in segment.doc_ids_alive() {
            let fingerprint = Fingerprint {
                price: price.first(document),
                created: created.first(document),
                stamp: stamp.first(document),
            };
            all.extend(ids.of(document).map(|id| (id, fingerprint)));
        }
    }
    Ok(all)
}
