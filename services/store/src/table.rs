//! [`Table`] and [`Span`]: names and key ranges with types, which services declare
//! and scan.

use std::marker::PhantomData;
use std::ops::Bound;

use crate::{Key, Prefix};

/// The bounds of a scan, in encoded keys.
pub(crate) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A table's name and the types of its keys and values. Declared once as a
/// `const`; costs nothing to copy.
pub struct Table<K, V> {
    pub(crate) name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K: Key, V> Table<K, V> {
    /// Declares a table. All declarations of one name must have the same types.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Its name, which is part of the stored format.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Every row, in key order.
    pub fn all(self) -> Span<K, V> {
        Span {
            table: self,
            low: Vec::new(),
            high: None,
            newest_first: false,
        }
    }

    /// The rows whose key begins with `prefix`, in key order.
    pub fn prefix<P: Prefix<K>>(self, prefix: &P) -> Span<K, V> {
        let low = prefix.encode();
        Span { high: successor(low.clone()), low, ..self.all() }
    }
}

/// A contiguous run of a table's rows and the direction to read it in. Bounds
/// only ever narrow it: a cursor from a caller cannot lead a prefix scan
/// into the rows of another prefix.
pub struct Span<K, V> {
    pub(crate) table: Table<K, V>,
    /// The inclusive lower bound.
    pub(crate) low: Vec<u8>,
    /// The exclusive upper bound; `None` without one.
    pub(crate) high: Option<Vec<u8>>,
    pub(crate) newest_first: bool,
}

impl<K: Key, V> Span<K, V> {
    /// Narrows the span to rows from `key` on, inclusive.
    #[must_use]
    pub fn from(self, key: &K) -> Self {
        self.above(key.encode())
    }

    /// Narrows the span to rows after `key`.
    #[must_use]
    pub fn after(self, key: &K) -> Self {
        self.above(next(key.encode()))
    }

    /// Narrows the span to rows before `key`.
    #[must_use]
    pub fn before(self, key: &K) -> Self {
        self.below(key.encode())
    }

    /// Narrows the span to rows up to `key`, inclusive.
    #[must_use]
    pub fn up_to(self, key: &K) -> Self {
        self.below(next(key.encode()))
    }

    /// Reverses the direction; with ids and sequence numbers the newest row is first.
    #[must_use]
    pub fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// The bounds for an ordered map; `None` when they are inverted, as a cursor may cause:
    /// ordered maps panic on such a range.
    pub(crate) fn bounds(self) -> Option<Bounds> {
        let high = match self.high {
            Some(high) if high <= self.low => return None,
            Some(high) => Bound::Excluded(high),
            None => Bound::Unbounded,
        };
        Some((Bound::Included(self.low), high))
    }

    fn above(self, low: Vec<u8>) -> Self {
        Self { low: self.low.max(low), ..self }
    }

    fn below(self, high: Vec<u8>) -> Self {
        let high = match self.high {
            Some(narrower) if narrower < high => narrower,
            _ => high,
        };
        Self { high: Some(high), ..self }
    }
}

/// The immediate successor of a byte string in sort order.
fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The first byte string after all that start with `prefix`; `None` without one.
pub(crate) fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}
