//! Open streams and connections per key; an entry exists only while one is open.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;

/// Open things of each key.
#[derive(Default)]
pub(super) struct AddressTally(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: usize,
    by_key: HashMap<u128, u32>,
}

/// One open thing, until dropped.
pub(crate) struct Entered {
    among: Arc<AddressTally>,
    key: u128,
}

impl AddressTally {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().all
    }

    /// One more of `key`'s, unless it has `most`.
    pub(super) fn enter(self: &Arc<Self>, key: u128, most: u32) -> Option<Entered> {
        let mut open = self.lock();
        let count = open.by_key.entry(key).or_default();
        // A bound is at least one, so a key that is here has something open.
        if *count >= most {
            return None;
        }
        *count += 1;
        open.all += 1;
        Some(Entered { among: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.among.lock();
        open.all -= 1;
        if let Some(count) = open.by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_makes_room_and_is_forgotten() {
        let tally = AddressTally::new();
        let (one, two) = (tally.enter(1, 2).unwrap(), tally.enter(1, 2).unwrap());
        assert!(tally.enter(1, 2).is_none());
        let other = tally.enter(2, 2).unwrap();
        assert_eq!(tally.len(), 3);
        drop(one);
        assert!(tally.enter(1, 2).is_some());
        drop((two, other));
        assert_eq!((tally.len(), tally.lock().by_key.len()), (0, 0));
    }
}
