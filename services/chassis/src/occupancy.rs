//! Occupancy: the open uses of each key, bounded for one key and in all.
//!
//! Connections of an address, streams of an account and requests of an `Idempotency-Key`
//! are counted here. A value of type `V` exists for a key while it has an open use.
//!
//! **Invariant:** a key without open uses takes no memory, so at most as many keys are kept
//! as there are open uses.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// The open uses of each key. Cheap to clone; clones share the counts.
#[derive(Debug)]
pub struct Occupancy<K, V = ()>(Arc<Mutex<Open<K, V>>>);

#[derive(Debug)]
struct Open<K, V> {
    total: usize,
    by_key: HashMap<K, (V, usize)>,
}

/// An open use of a key, until dropped.
#[derive(Debug)]
pub struct Place<K: Hash + Eq, V = ()> {
    occupancy: Occupancy<K, V>,
    key: K,
}

/// Why no further use can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The key has as many open uses as one key may have.
    Key,
    /// All keys together have as many open uses as there may be.
    Total,
}

impl<K, V> Clone for Occupancy<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Occupancy<K, V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Open {
            total: 0,
            by_key: HashMap::new(),
        })))
    }
}

impl<K: Hash + Eq + Clone, V: Default> Occupancy<K, V> {
    /// Opens a use of `key`. Bounds are at least 1.
    ///
    /// # Errors
    /// When the key has `key_max` open uses, or all keys together have `total_max`.
    pub fn enter(&self, key: K, key_max: usize, total_max: usize) -> Result<Place<K, V>, Full> {
        let mut open = self.0.lock();
        let uses = open.by_key.get(&key).map_or(0, |(_, uses)| *uses);
        if uses >= key_max {
            return Err(Full::Key);
        }
        if open.total >= total_max {
            return Err(Full::Total);
        }
        open.total += 1;
        open.by_key.entry(key.clone()).or_default().1 += 1;
        drop(open);
        Ok(Place { occupancy: self.clone(), key })
    }

    /// Hands the value of `key` to `read`, if the key has an open use.
    pub fn get<T>(&self, key: &K, read: impl FnOnce(&V) -> T) -> Option<T> {
        let open = self.0.lock();
        open.by_key.get(key).map(|(value, _)| read(value))
    }

    /// The number of open uses of all keys.
    pub fn total(&self) -> usize {
        self.0.lock().total
    }
}

impl<K: Hash + Eq + Clone, V: Default> Place<K, V> {
    /// The key that is used.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Hands the key's value to `read`.
    pub fn with<T>(&self, read: impl FnOnce(&V) -> T) -> T {
        let value = self.occupancy.get(&self.key, read);
        value.expect("the key of an open use has a value")
    }
}

impl<K: Hash + Eq, V> Drop for Place<K, V> {
    fn drop(&mut self) {
        let mut open = self.occupancy.0.lock();
        open.total -= 1;
        if let Some((_, uses)) = open.by_key.get_mut(&self.key) {
            *uses -= 1;
            if *uses == 0 {
                open.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_after_its_use() {
        let occupancy = Occupancy::<u8>::default();
        let enter = |key| occupancy.enter(key, 2, 3);
        let (first, second) = (enter(1).unwrap(), enter(1).unwrap());
        assert_eq!(enter(1).unwrap_err(), Full::Key);
        let other = enter(2).unwrap();
        assert_eq!(enter(2).unwrap_err(), Full::Total);
        assert_eq!(occupancy.total(), 3);
        drop(first);
        assert!(enter(1).is_ok());
        drop((second, other));
        assert_eq!((occupancy.total(), occupancy.0.lock().by_key.len()), (0, 0));
    }
}
