//! Read-through cache of published products: the response bytes and their entity tag.
//!
//! **Invariant:** read-your-writes: a read that starts after a write was acknowledged
//! sees it. A write invalidates its product before its caller gets the response. An entry
//! keeps the version at which its read began, so what an older read caches afterwards is
//! never current (`chassis::versions`). Only public products are cached.

use std::sync::Arc;

use ::store::{Store, Tx};
use chassis::etag::Tagged;
use chassis::status::CacheHits;
use chassis::versions::{Stripe, Version, Versions};
use model::PublicationStatus;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::ProductId;
use crate::{Error, tables};

/// The overhead of an entry: key, pointers, the cache's bookkeeping.
const ENTRY_BYTES: u64 = 256;
/// The usual size of a product as JSON; sizes the cache's tables.
const BODY_BYTES_USUAL: u64 = 2 * 1024;

/// A cached product, and the version at which it was read.
type Entry = (Tagged, Version);

#[derive(Clone)]
struct Weight;

impl Weighter<ProductId, Entry> for Weight {
    fn weight(&self, _: &ProductId, (product, _): &Entry) -> u64 {
        product.len() as u64 + ENTRY_BYTES
    }
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProductCache(Arc<Inner>);

struct Inner {
    entries: Cache<ProductId, Entry, Weight>,
    versions: Versions,
    hits: CacheHits,
}

/// The audience of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    Public,
    Staff,
}

impl ProductCache {
    /// A cache of about `bytes_max` at most.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries_usual = bytes_max / (BODY_BYTES_USUAL + ENTRY_BYTES);
        let entries_usual = usize::try_from(entries_usual).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            entries: Cache::with_weighter(entries_usual, bytes_max, Weight),
            versions: Versions::default(),
            hits: CacheHits::new("products", "konbini_products_cache"),
        }))
    }

    /// Hits, misses and size, for the status report.
    pub(crate) fn figure(&self) -> serde_json::Value {
        self.0.hits.figure(self.0.entries.weight())
    }

    /// A cached product. A miss is not counted here but by the read that follows.
    pub(crate) fn peek(&self, id: ProductId) -> Option<Tagged> {
        let (product, since) = self.0.entries.get(&id)?;
        if !self.0.versions.is_current(since, &[Stripe::of(&id)]) {
            return None;
        }
        self.0.hits.hit();
        Some(product)
    }

    /// A product as it is sent, from the cache or the store, and who may see it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) fn read(&self, from: &Store, id: ProductId) -> Result<(Tagged, Visibility), Error> {
        if let Some(product) = self.peek(id) {
            return Ok((product, Visibility::Public));
        }
        self.0.hits.miss();
        let since = self.0.versions.now();
        let (row, level) = tables::product_row(from, id)?;
        let tagged = Tagged::of_json(row.response(level));
        if row.status != PublicationStatus::Published {
            return Ok((tagged, Visibility::Staff));
        }
        self.0.entries.insert(id, (tagged.clone(), since));
        Ok((tagged, Visibility::Public))
    }

    /// Invalidates a product once this transaction is durable, which is before its
    /// caller gets the response. Called before the event of the change is appended, so
    /// that its followers find the cache invalidated.
    pub(crate) fn invalidate(&self, tx: &mut Tx<'_>, id: ProductId) {
        let inner = self.0.clone();
        tx.on_durable(move || {
            inner.versions.invalidate(Stripe::of(&id));
            inner.entries.remove(&id);
        });
    }
}
