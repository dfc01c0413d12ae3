//! Opening a journal: what it has and the database does not is replayed, and a journal
//! that does not fit the database is refused.
//!
//! Copies of a folder that were made slowly, restores that were cut off and disks that lie
//! leave a database and a journal of different moments. Each reads well alone, so they are
//! held against each other by numbers of records: the database's [`Stamp`], and the base
//! and the records of each segment.
//!
//! **Invariant:** a store opens only if the database and the replayed records have
//! everything up to the highest number that any of the files names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::segment::Segment;
use crate::Error;
use crate::engine::Engine;
use crate::overlay::Rows;
use crate::rows::decode;
use crate::stamp::Stamp;

/// The names of the segments' files; a segment lies in the one of its generation's parity.
pub(super) const FILES: [&str; 2] = ["journal.0", "journal.1"];

/// What opening found; the database has everything.
pub(super) struct Recovered {
    /// The store's random number.
    pub(super) store: u64,
    /// Whether both segments have their heads.
    pub(super) has_journal: bool,
    /// The newest generation.
    pub(super) generation: u64,
    /// The number of the last record.
    pub(super) number: u64,
}

/// Replays the segments that `files` hold into the database. A file is `None` if it did
/// not exist.
///
/// # Errors
/// [`Error::Damaged`] if they do not fit the database; nothing was written then.
pub(super) fn recover(
    dir: &Path,
    files: [Option<Vec<u8>>; 2],
    engine: &Engine,
) -> Result<Recovered, Error> {
    match engine.stored_stamp()? {
        Some(stamp) if stamp.has_journal => recover_stamped(dir, files, engine, stamp),
        Some(stamp) => {
            // Its first opening was cut off before the segments had their heads.
            let segments = files.into_iter().flatten().filter_map(Segment::read);
            let generation = segments.map(|segment| segment.head.generation).max();
            let (store, number) = (stamp.store, stamp.complete);
            engine.adopt_stamp(stamp);
            let generation = generation.unwrap_or(0);
            Ok(Recovered { store, has_journal: false, generation, number })
        }
        None => recover_unstamped(dir, files, engine),
    }
}

fn recover_stamped(
    dir: &Path,
    files: [Option<Vec<u8>>; 2],
    engine: &Engine,
    mut stamp: Stamp,
) -> Result<Recovered, Error> {
    let segments = segments_of(dir, files, stamp.store)?;
    let [(older_name, older), (newer_name, newer)] = &segments;
    let database = stamp.complete;
    if database < older.head.base {
        let why = format!(
            "the database has the records up to {database} and should have those up to {}: \
             it is an older copy, or its end is missing",
            older.head.base
        );
        return Err(damaged(dir, "db", &why));
    }
    // Rows that the database surely has: a part of a segment would bring back older values.
    let mut synced = if stamp.closed { database } else { older.head.base };
    if older.last() != newer.head.base {
        if database < newer.head.base {
            return Err(ends_early(dir, older_name, older, newer.head.base));
        }
        let file = dir.join(older_name);
        tracing::warn!(file = %file.display(), "the segment is damaged; the database has all of its records");
        synced = synced.max(newer.head.base);
    }
    let end = newer.last();
    let claimed = older.acknowledged.max(newer.acknowledged).max(stamp.begun);
    let claimed = claimed.max(newer.beyond().unwrap_or(0));
    if end < claimed {
        return Err(ends_early(dir, newer_name, newer, claimed));
    }
    if newer.is_torn {
        let file = dir.join(newer_name);
        tracing::warn!(
            file = %file.display(),
            number = end + 1,
            "the last record was cut off while it was written, before it was acknowledged, and is dropped"
        );
    }
    let (store, generation) = (stamp.store, newer.head.generation);
    if stamp.begun > database {
        // A crash cut a checkpoint off: some of its rows are there, and are not counted.
        count_rows(engine, &mut stamp)?;
    }
    engine.adopt_stamp(stamp);
    replay(dir, &segments, engine, synced, end)?;
    Ok(Recovered { store, has_journal: true, generation, number: end })
}

/// Both segments with their names, the older one first.
fn segments_of(
    dir: &Path,
    files: [Option<Vec<u8>>; 2],
    store: u64,
) -> Result<[(&'static str, Segment); 2], Error> {
    let segment = |name: &'static str, bytes: Option<Vec<u8>>| {
        let bytes = bytes.ok_or_else(|| damaged(dir, name, "it is missing"))?;
        let segment =
            Segment::read(bytes).ok_or_else(|| damaged(dir, name, "its head does not read"))?;
        if segment.head.store != store {
            return Err(damaged(dir, name, "it belongs to another store"));
        }
        Ok((name, segment))
    };
    let [first, second] = files;
    let mut segments = [segment(FILES[0], first)?, segment(FILES[1], second)?];
    segments.sort_by_key(|(_, segment)| segment.head.generation);
    let [(name, older), (_, newer)] = &segments;
    if older.head.generation + 1 != newer.head.generation {
        return Err(damaged(
            dir,
            name,
            "it is older than the other segment expects",
        ));
    }
    Ok(segments)
}

fn ends_early(dir: &Path, name: &str, segment: &Segment, claimed: u64) -> Error {
    let why = format!(
        "its records read up to {} and there were records up to {claimed}: \
         some are damaged, or it is an older copy",
        segment.last()
    );
    damaged(dir, name, &why)
}

/// Opens a new store, or one that an earlier version wrote.
fn recover_unstamped(
    dir: &Path,
    files: [Option<Vec<u8>>; 2],
    engine: &Engine,
) -> Result<Recovered, Error> {
    let is_new = engine.tables().is_empty();
    let mut segments = Vec::new();
    for (name, bytes) in FILES.iter().zip(files) {
        let Some(bytes) = bytes else { continue };
        if Segment::read(bytes.clone()).is_some() {
            let why = "it is missing, or its beginning is: the journal names another one";
            return Err(damaged(dir, "db", why));
        }
        segments.extend(Segment::read_old(bytes).map(|segment| (*name, segment)));
    }
    segments.sort_by_key(|(_, segment)| segment.head.generation);
    for (name, segment) in &segments {
        if segment.beyond().is_some() {
            return Err(damaged(
                dir,
                name,
                "a record that others follow does not read",
            ));
        }
    }
    match &*segments {
        [(_, first), ..] if is_new && first.head.base > 0 => {
            return Err(damaged(dir, "db", "it is missing, or its beginning is"));
        }
        [(name, older), (_, newer)] if older.last() != newer.head.base => {
            return Err(damaged(
                dir,
                name,
                "records between it and the other segment are missing",
            ));
        }
        _ => {}
    }
    if !is_new {
        tracing::info!(dir = %dir.display(), "an earlier version wrote this store; it is stamped now");
    }
    let newest = segments.last().map(|(_, segment)| segment);
    let end = newest.map_or(0, Segment::last);
    let generation = newest.map_or(0, |segment| segment.head.generation);
    let mut stamp = Stamp::new();
    count_rows(engine, &mut stamp)?;
    let store = stamp.store;
    engine.adopt_stamp(stamp);
    replay(dir, &segments, engine, 0, end)?;
    Ok(Recovered { store, has_journal: false, generation, number: end })
}

/// Sets the digests of the tables by reading all rows.
fn count_rows(engine: &Engine, stamp: &mut Stamp) -> Result<(), Error> {
    stamp.tables.clear();
    for table in engine.tables() {
        let digest = engine.digest(&table)?;
        stamp.tables.insert(table, digest);
    }
    Ok(())
}

/// Writes the rows of the records after `synced`, which the database may not have, and the
/// stamp.
fn replay(
    dir: &Path,
    segments: &[(&str, Segment)],
    engine: &Engine,
    synced: u64,
    end: u64,
) -> Result<(), Error> {
    let mut tables: BTreeMap<String, Rows> = BTreeMap::new();
    for (name, segment) in segments {
        for (number, rows) in segment.rows_after(synced) {
            decode(rows, &mut tables)
                .ok_or_else(|| damaged(dir, name, &format!("record {number} does not read")))?;
        }
    }
    if synced == end && end > 0 {
        return Ok(());
    }
    engine.checkpoint(&tables, end)
}

/// The error for a file that is damaged, missing or of another moment.
pub(super) fn damaged(dir: &Path, name: &str, why: &str) -> Error {
    Error::Damaged { file: PathBuf::from(dir).join(name), why: why.to_owned() }
}
