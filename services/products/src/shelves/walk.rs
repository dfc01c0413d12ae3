//! Walking along shelves in one of their orders.
//!
//! **Invariant:** the places a walk gives are in order and on every one of its
//! shelves. To find them it passes rows of the shelf that has fewer, and of the
//! others about as many: what lies between is leapt over.

use std::iter::Peekable;
use std::ops::Bound;

use store::{Key, Read};

use super::{Places, Shelf};

/// Rows passed one by one before a shelf is entered anew further on, which costs
/// about as much.
const STEPS_MAX: usize = 16;

/// The places that all `shelves` have in common, after `last` if it is given.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn walk<R: Read, P: Key + Ord + Clone + 'static>(
    from: &R,
    table: Places<P>,
    shelves: Vec<Shelf>,
    last: Option<&P>,
    descending: bool,
) -> Result<impl Iterator<Item = Result<P, store::Error>>, store::Error> {
    let bound = last.map_or(Bound::Unbounded, Bound::Excluded);
    let aisles: Result<Vec<_>, _> = shelves
        .into_iter()
        .map(|shelf| Aisle::enter(from, table, shelf, bound, descending))
        .collect();
    let mut aisles = aisles?;
    Ok(std::iter::from_fn(move || common(&mut aisles).transpose()))
}

/// The next place in all aisles, which the first of them has then passed.
fn common<R: Read, P: Key + Ord + Clone + 'static>(
    aisles: &mut [Aisle<'_, R, P>],
) -> Result<Option<P>, store::Error> {
    let Some((first, others)) = aisles.split_first_mut() else {
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

/// One shelf, and how far it was walked along.
struct Aisle<'a, R, P> {
    from: &'a R,
    table: Places<P>,
    shelf: Shelf,
    descending: bool,
    rows: Peekable<Box<dyn Iterator<Item = Row<P>> + 'a>>,
}

impl<'a, R: Read, P: Key + Ord + Clone + 'static> Aisle<'a, R, P> {
    fn enter(
        from: &'a R,
        table: Places<P>,
        shelf: Shelf,
        bound: Bound<&P>,
        descending: bool,
    ) -> Result<Self, store::Error> {
        let rows = table.prefix(&shelf);
        let key = |place: &P| (shelf, place.clone());
        let rows = match (bound, descending) {
            (Bound::Unbounded, _) => rows,
            (Bound::Included(place), false) => rows.from(&key(place)),
            (Bound::Excluded(place), false) => rows.after(&key(place)),
            (Bound::Included(place), true) => rows.up_to(&key(place)),
            (Bound::Excluded(place), true) => rows.before(&key(place)),
        };
        let rows = if descending { rows.newest_first() } else { rows };
        let rows: Box<dyn Iterator<Item = Row<P>> + 'a> = Box::new(
            from.scan(rows)?
                .map(|row| row.map(|((_, place), ())| place)),
        );
        Ok(Self { from, table, shelf, descending, rows: rows.peekable() })
    }

    /// Where the walk stands.
    fn front(&mut self) -> Result<Option<P>, store::Error> {
        match self.rows.peek() {
            None => Ok(None),
            Some(Ok(place)) => Ok(Some(place.clone())),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// Walks to `place`, or to the first one behind it.
    fn reach(&mut self, place: &P) -> Result<Option<P>, store::Error> {
        let descending = self.descending;
        let is_before = |row: &Row<P>| match row {
            Ok(found) if descending => found > place,
            Ok(found) => found < place,
            Err(_) => false,
        };
        for _ in 0..STEPS_MAX {
            if self.rows.next_if(is_before).is_none() {
                return self.front();
            }
        }
        let Self { from, table, shelf, descending, .. } = *self;
        *self = Self::enter(from, table, shelf, Bound::Included(place), descending)?;
        self.front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use store::{Options, Store, Table};

    use super::*;

    const PLACES: Places<(i64, String)> = Table::new("places");
    const SHELVES: [Shelf; 2] = [[1; 8], [2; 8]];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Against sets: two shelves of any sizes, walked both ways from anywhere.
        #[test]
        fn what_two_shelves_have_in_common(
            few in prop::collection::btree_set(0..400_i64, 0..12),
            many in prop::collection::btree_set(0..400_i64, 0..300),
            last: Option<u8>,
            descending: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), &Options::default()).unwrap();
            let place = |number: &i64| (*number, "x".to_owned());
            let stood = [few.clone(), many.clone()];
            futures::executor::block_on(store.write(move |tx| {
                for (shelf, numbers) in SHELVES.iter().zip(&stood) {
                    for number in numbers {
                        tx.put(PLACES, &(*shelf, place(number)), &())?;
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
            for shelves in [SHELVES.to_vec(), SHELVES.iter().rev().copied().collect()] {
                let walked = walk(&store, PLACES, shelves, last.as_ref(), descending).unwrap();
                let walked: Vec<i64> = walked.map(|place| place.unwrap().0).collect();
                prop_assert_eq!(&walked, &expected);
            }
        }
    }
}
