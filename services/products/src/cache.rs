//! Read-through cache of published products: the response bytes and their entity tag.
//!
//! **Invariant:** read-your-writes: a read that starts after a write was acknowledged
//! sees it. A write invalidates its product before its caller gets the response, and
//! an older read does not fill the cache afterwards: each product belongs to a stripe
//! with a version, a reader remembers it before it reads the store, and fills only if
//! it is unchanged. Only public products are cached.

use std::sync::Arc;

use ::store::{Store, Tx};
use chassis::etag::Tagged;
use chassis::status::CacheHits;
use parking_lot::{Mutex, MutexGuard};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::ProductId;
use crate::wire::ProductResponse;
use crate::{Error, tables};

/// Stripes by which reads that fill and writes that invalidate are ordered.
const STRIPES: usize = 64;
/// The overhead of an entry: key, pointers, the cache's bookkeeping.
const ENTRY_BYTES: u64 = 256;
/// The usual size of a product as JSON; sizes the cache's tables.
const BODY_BYTES_USUAL: u64 = 2 * 1024;

#[derive(Clone)]
struct Weight;

impl Weighter<ProductId, Tagged> for Weight {
    fn weight(&self, _: &ProductId, product: &Tagged) -> u64 {
        product.len() as u64 + ENTRY_BYTES
    }
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProductCache(Arc<Inner>);

struct Inner {
    entries: Cache<ProductId, Tagged, Weight>,
    versions: [Mutex<u64>; STRIPES],
    hits: CacheHits,
}

/// The audience of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    Public,
    Staff,
}

/// A miss, with the version of the product's stripe at that time.
#[derive(Debug, Clone, Copy)]
struct CacheMiss {
    id: ProductId,
    version: u64,
}

impl ProductCache {
    /// A cache of about `bytes_max` at most.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries_usual = bytes_max / (BODY_BYTES_USUAL + ENTRY_BYTES);
        let entries_usual = usize::try_from(entries_usual).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            entries: Cache::with_weighter(entries_usual, bytes_max, Weight),
            versions: std::array::from_fn(|_| Mutex::new(0)),
            hits: CacheHits::new("konbini_products_cache"),
        }))
    }

    /// Hits, misses and size, for the status report.
    pub(crate) fn figure(&self) -> serde_json::Value {
        self.0.hits.figure(self.0.entries.weight())
    }

    /// A cached product. A miss is not counted here but by the read that follows.
    pub(crate) fn peek(&self, id: ProductId) -> Option<Tagged> {
        let product = self.0.entries.get(&id)?;
        self.0.hits.hit();
        Some(product)
    }

    /// A product as it is sent, from the cache or the store, and who may see it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) fn read(&self, from: &Store, id: ProductId) -> Result<(Tagged, Visibility), Error> {
        let miss = match self.find(id) {
            Ok(product) => return Ok((product, Visibility::Public)),
            Err(miss) => miss,
        };
        let (product, level) = tables::product(from, id)?;
        let tagged = Tagged::new(&ProductResponse::new(&product, level))?;
        if !product.is_published() {
            return Ok((tagged, Visibility::Staff));
        }
        self.fill(miss, tagged.clone());
        Ok((tagged, Visibility::Public))
    }

    fn find(&self, id: ProductId) -> Result<Tagged, CacheMiss> {
        if let Some(product) = self.peek(id) {
            return Ok(product);
        }
        self.0.hits.miss();
        Err(CacheMiss { id, version: *self.0.version(id) })
    }

    /// Caches the result of a miss, unless the product changed since.
    fn fill(&self, miss: CacheMiss, product: Tagged) {
        let version = self.0.version(miss.id);
        if *version == miss.version {
            self.0.entries.insert(miss.id, product);
        }
    }

    /// Invalidates a product once this transaction is durable, which is before its
    /// caller gets the response. Called before the event of the change is appended, so
    /// that its followers find the cache invalidated.
    pub(crate) fn invalidate(&self, tx: &mut Tx<'_>, id: ProductId) {
        let inner = self.0.clone();
        tx.on_durable(move || {
            let mut version = inner.version(id);
            *version += 1;
            inner.entries.remove(&id);
        });
    }
}

impl Inner {
    fn version(&self, id: ProductId) -> MutexGuard<'_, u64> {
        // The last bytes of an id are the random ones.
        let stripe = usize::from(id.uuid().as_bytes()[15]) % STRIPES;
        self.versions[stripe].lock()
    }
}
