//! Published products as they are sent: the bytes and their entity tag, ready.
//!
//! **Invariant:** whoever reads after a write was acknowledged sees that write.
//! A write forgets what it changes before its caller is answered, and what was
//! read before that is not put here afterwards: each product belongs to a stripe
//! with a generation, a reader remembers it before it reads, and fills only if it
//! is still the same. Only what everyone may see is ever put here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::etag::Tagged;
use chassis::status::Hits;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Entries;
use store::Tx;

use crate::domain::ProductId;

/// Reads that fill and writes that forget meet in one of so many places.
const STRIPES: usize = 64;
/// What an entry takes beside its bytes: key, pointers, the cache's own.
const ENTRY_BYTES: u64 = 256;
/// A product as JSON, more or less: sizes the cache's tables, bounds nothing.
const BODY_BYTES_USUAL: u64 = 2 * 1024;

#[derive(Clone)]
struct Weight;

impl Weighter<ProductId, Tagged> for Weight {
    fn weight(&self, _: &ProductId, shown: &Tagged) -> u64 {
        shown.len() as u64 + ENTRY_BYTES
    }
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Inner>);

struct Inner {
    entries: Entries<ProductId, Tagged, Weight>,
    generations: [Mutex<u64>; STRIPES],
    hits: Hits,
}

/// What a reader that missed must show to fill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missed {
    id: ProductId,
    generation: u64,
}

impl Cache {
    /// A cache of at most about so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries_usual = bytes_max / (BODY_BYTES_USUAL + ENTRY_BYTES);
        let entries_usual = usize::try_from(entries_usual).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            entries: Entries::with_weighter(entries_usual, bytes_max, Weight),
            generations: std::array::from_fn(|_| Mutex::new(0)),
            hits: Hits::new("konbini_products_cache"),
        }))
    }

    /// How often it was of use, and what it takes.
    pub(crate) fn figure(&self) -> serde_json::Value {
        self.0.hits.figure(self.0.entries.weight())
    }

    /// What is shown of a product, if it is here; a miss is counted by whoever goes
    /// on to read it.
    pub(crate) fn peek(&self, id: ProductId) -> Option<Tagged> {
        let shown = self.0.entries.get(&id)?;
        self.0.hits.hit();
        Some(shown)
    }

    /// What is shown of a product, or what to fill with once it was read. To be
    /// asked before the store is read.
    pub(crate) fn find(&self, id: ProductId) -> Result<Tagged, Missed> {
        if let Some(shown) = self.peek(id) {
            return Ok(shown);
        }
        self.0.hits.miss();
        Err(Missed { id, generation: *self.0.generation(id) })
    }

    /// Keeps what a reader made after it missed, unless the product changed since.
    pub(crate) fn fill(&self, missed: Missed, shown: Tagged) {
        let generation = self.0.generation(missed.id);
        if *generation == missed.generation {
            self.0.entries.insert(missed.id, shown);
        }
    }

    /// Forgets a product as soon as this transaction is durable, which is before
    /// its caller is answered. To be said before the event that tells of it is
    /// appended: who hears of a change finds it here.
    pub(crate) fn forget(&self, tx: &mut Tx<'_>, id: ProductId) {
        let inner = self.0.clone();
        tx.on_durable(move || {
            let mut generation = inner.generation(id);
            *generation += 1;
            inner.entries.remove(&id);
        });
    }
}

impl Inner {
    fn generation(&self, id: ProductId) -> MutexGuard<'_, u64> {
        // The last bytes of an id are the random ones.
        let stripe = usize::from(id.uuid().as_bytes()[15]) % STRIPES;
        self.generations[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
