//! Parts of a run: the rows that hold its entries, in order.

use std::hash::{DefaultHasher, Hasher};

use itertools::Itertools;
use model::OrderId;
use serde::{Deserialize, Serialize};
use store::{Key, Read, Record, Table, Tx};

/// Entries of a part: a list by total reads a part of each run for its first page.
const PART_ENTRIES: usize = 64;

/// (run, first entry) → the entries.
pub(super) type Parts<E> = Table<(OrderId, E), PartRow>;

/// An entry of an index: what orders are indexed by, and the order.
pub(super) trait Entry: Key + Ord + Copy + 'static {}

impl<E: Key + Ord + Copy + 'static> Entry for E {}

/// The encoded entries of a part, one after the other.
#[derive(Serialize, Deserialize)]
pub(super) struct PartRow {
    #[serde(with = "serde_bytes")]
    entries: Vec<u8>,
}

impl Record for PartRow {}

impl PartRow {
    fn new(entries: &[impl Key]) -> Self {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write_to(&mut bytes));
        Self { entries: bytes }
    }

    fn read<E: Key>(&self, table: &'static str) -> Result<Vec<E>, store::Error> {
        let (mut entries, mut rest) = (Vec::new(), self.entries.as_slice());
        while !rest.is_empty() {
            let entry = E::read_from(&mut rest).ok_or_else(|| store::Error::Corrupt {
                table,
                why: format!("{} bytes of a part are no entry", rest.len()),
            })?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// The direction in which a run is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    pub(super) fn is_before<E: Ord>(self, one: &E, other: &E) -> bool {
        match self {
            Self::Ascending => one < other,
            Self::Descending => one > other,
        }
    }
}

/// The entries from `low` on, and before `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryRange<E> {
    pub(super) low: E,
    pub(super) high: Option<E>,
}

impl<E: Entry> EntryRange<E> {
    pub(super) fn contains(self, entry: E) -> bool {
        entry >= self.low && !self.ends_before(entry)
    }

    fn ends_before(self, entry: E) -> bool {
        self.high.is_some_and(|high| entry >= high)
    }
}

/// Sorts entries and writes them as the parts of a run.
pub(super) fn write_parts<E: Entry>(
    tx: &mut Tx<'_>,
    parts: Parts<E>,
    run: OrderId,
    entries: &mut [E],
) -> Result<(), store::Error> {
    entries.sort_unstable();
    for part in entries.chunks(PART_ENTRIES) {
        tx.put(parts, &(run, part[0]), &PartRow::new(part))?;
    }
    Ok(())
}

/// The entries of a run within bounds.
pub(super) fn entries<'a, E: Entry>(
    from: &'a impl Read,
    parts: Parts<E>,
    run: OrderId,
    bounds: EntryRange<E>,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<E, store::Error>> + 'a, store::Error> {
    let low = (run, bounds.low);
    let begun_before = parts.prefix(&run).up_to(&low).newest_first();
    let later = parts.prefix(&run).after(&low);
    let later = match bounds.high {
        Some(high) => later.before(&(run, high)),
        None => later,
    };
    let rows: Box<dyn Iterator<Item = _> + 'a> = match direction {
        Direction::Ascending => Box::new(from.scan(begun_before)?.take(1).chain(from.scan(later)?)),
        Direction::Descending => {
            let rows = from.scan(later.newest_first())?;
            Box::new(rows.chain(from.scan(begun_before)?.take(1)))
        }
    };
    let of_part = move |row: Result<(_, PartRow), store::Error>| {
        let mut entries: Vec<E> = row?.1.read(parts.name())?;
        if direction == Direction::Descending {
            entries.reverse();
        }
        Ok(entries)
    };
    let entries = rows.map(of_part).flatten_ok();
    Ok(entries.filter(move |entry| match entry {
        Ok(entry) => bounds.contains(*entry),
        Err(_) => true,
    }))
}

/// All entries of all runs.
pub(super) fn all_entries<E: Entry>(
    from: &impl Read,
    parts: Parts<E>,
) -> Result<impl Iterator<Item = Result<E, store::Error>>, store::Error> {
    let rows = from.scan(parts.all())?;
    let of_part = move |row: Result<(_, PartRow), store::Error>| row?.1.read(parts.name());
    Ok(rows.map(of_part).flatten_ok())
}

/// The hash of an entry, the same within a process.
pub(super) fn hash(entry: &impl Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&entry.encode());
    hasher.finish()
}
