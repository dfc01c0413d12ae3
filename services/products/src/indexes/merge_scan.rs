//! Merge scan: the intersection of several index keys, in one of the orders.
//!
//! **Invariant:** the positions returned are in order and under every one of the keys.
//! The scan reads rows of the key with the fewest, and about as many of the others: it
//! seeks over the rows between.

use std::iter::Peekable;
use std::ops::Bound;

use store::{Key, Read};

use super::{IndexKey, IndexTable};

/// Rows read one by one before the scan seeks instead, which costs about as much.
const STEPS_MAX: usize = 16;

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// The positions that all `keys` have in common, after `last` if it is given.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn merge_scan<R: Read, P: Key + Ord + Clone + 'static>(
    from: &R,
    table: IndexTable<P>,
    keys: Vec<IndexKey>,
    last: Option<&P>,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<P, store::Error>>, store::Error> {
    let bound = last.map_or(Bound::Unbounded, Bound::Excluded);
    let scans: Result<Vec<_>, _> = keys
        .into_iter()
        .map(|key| KeyScan::open(from, table, key, bound, direction))
        .collect();
    let mut scans = scans?;
    Ok(std::iter::from_fn(move || {
        next_common(&mut scans).transpose()
    }))
}

/// The next position in all scans, which the first of them has then passed.
fn next_common<R: Read, P: Key + Ord + Clone + 'static>(
    scans: &mut [KeyScan<'_, R, P>],
) -> Result<Option<P>, store::Error> {
    let Some((first, others)) = scans.split_first_mut() else {
        return Ok(None);
    };
    let Some(mut place) = first.front()? else {
        return Ok(None);
    };
    loop {
        let mut further = None;
        for other in &mut *others {
            match other.reach(&place)? {
                None => return Ok(None),
                Some(found) if found == place => {}
                Some(found) => further = Some(found),
            }
        }
        let Some(found) = further else {
            first.rows.next();
            return Ok(Some(place));
        };
        match first.reach(&found)? {
            None => return Ok(None),
            Some(found) => place = found,
        }
    }
}

type Row<P> = Result<P, store::Error>;

/// The scan of one key.
struct KeyScan<'a, R, P> {
    from: &'a R,
    table: IndexTable<P>,
    key: IndexKey,
    direction: Direction,
    rows: Peekable<Box<dyn Iterator<Item = Row<P>> + 'a>>,
}

impl<'a, R: Read, P: Key + Ord + Clone + 'static> KeyScan<'a, R, P> {
    fn open(
        from: &'a R,
        table: IndexTable<P>,
        key: IndexKey,
        bound: Bound<&P>,
        direction: Direction,
    ) -> Result<Self, store::Error> {
        let rows = table.prefix(&key);
        let at = |place: &P| (key, place.clone());
        let rows = match (bound, direction) {
            (Bound::Unbounded, _) => rows,
            (Bound::Included(place), Direction::Ascending) => rows.from(&at(place)),
            (Bound::Excluded(place), Direction::Ascending) => rows.after(&at(place)),
            (Bound::Included(place), Direction::Descending) => rows.up_to(&at(place)),
            (Bound::Excluded(place), Direction::Descending) => rows.before(&at(place)),
        };
        let rows = match direction {
            Direction::Ascending => rows,
            Direction::Descending => rows.newest_first(),
        };
        let rows: Box<dyn Iterator<Item = Row<P>> + 'a> = Box::new(
            from.scan(rows)?
                .map(|row| row.map(|((_, place), ())| place)),
        );
        Ok(Self { from, table, key, direction, rows: rows.peekable() })
    }

    /// The position of the next row.
    fn front(&mut self) -> Result<Option<P>, store::Error> {
        match self.rows.peek() {
            None => Ok(None),
            Some(Ok(place)) => Ok(Some(place.clone())),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// Advances to `place`, or to the first position after it.
    fn reach(&mut self, place: &P) -> Result<Option<P>, store::Error> {
        let direction = self.direction;
        let is_before = |row: &Row<P>| match row {
            Ok(found) if direction == Direction::Descending => found > place,
            Ok(found) => found < place,
            Err(_) => false,
        };
        for _ in 0..STEPS_MAX {
            if self.rows.next_if(is_before).is_none() {
                return self.front();
            }
        }
        let Self { from, table, key, direction, .. } = *self;
        *self = Self::open(from, table, key, Bound::Included(place), direction)?;
        self.front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use store::{Options, Store, Table};

    use super::*;

    const PLACES: IndexTable<(i64, String)> = Table::new("places");
    const KEYS: [IndexKey; 2] = [[1; 8], [2; 8]];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Against sets: two keys of any sizes, scanned both ways from anywhere.
        #[test]
        fn the_intersection_of_two_keys(
            few in prop::collection::btree_set(0..400_i64, 0..12),
            many in prop::collection::btree_set(0..400_i64, 0..300),
            last: Option<u8>,
            descending: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), &Options::default()).unwrap();
            let place = |number: &i64| (*number, "x".to_owned());
            let written = [few.clone(), many.clone()];
            futures::executor::block_on(store.write(move |tx| {
                for (key, numbers) in KEYS.iter().zip(&written) {
                    for number in numbers {
                        tx.put(PLACES, &(*key, place(number)), &())?;
                    }
                }
                Ok::<_, store::Error>(())
            })).unwrap();
            let last = last.map(i64::from);
            let mut expected: Vec<i64> = few.intersection(&many).copied().collect();
            expected.retain(|number| match last {
                None => true,
                Some(last) if descending => *number < last,
                Some(last) => *number > last,
            });
            if descending {
                expected.reverse();
            }
            let last = last.as_ref().map(place);
            let direction = if descending { Direction::Descending } else { Direction::Ascending };
            for keys in [KEYS.to_vec(), KEYS.iter().rev().copied().collect()] {
                let scanned = merge_scan(&store, PLACES, keys, last.as_ref(), direction).unwrap();
                let scanned: Vec<i64> = scanned.map(|place| place.unwrap().0).collect();
                prop_assert_eq!(&scanned, &expected);
            }
        }
    }
}
