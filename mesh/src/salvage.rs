//! Salvage of a service's store: what reads of it, in a new one whose log has no gap.
//!
//! Followers go on only with a log in which each event continues the one before, so the new
//! log begins where events read and ends where the first event does not. The services that have applied later events of it
//! notice that, and go on once the rollback is accepted.

use std::path::Path;

use serde::Serialize;
use store::{Error, Options, Read, Salvaged, Store};

use crate::log::{HEAD, Head, LOG};
use crate::{Mark, cursor, epochs, retention};

/// The events that are deleted in one transaction.
const DELETED_AT_ONCE: usize = 1000;

/// What was salvaged of a service and what was not.
#[derive(Debug, Serialize)]
pub struct SalvagedService {
    /// The rows of its store.
    #[serde(flatten)]
    pub store: Salvaged,
    /// The last event of its log.
    pub log_end: u64,
    /// The events after the log's first gap, which were deleted.
    pub events_deleted: u64,
}

/// Makes a new store in `into`, which must be absent, of what reads of the store of `source`
/// in `from`. Blocks. `progress` is called with the number of rows read so far, and of those
/// expected.
///
/// # Errors
/// Those of [`store::salvage`]. [`Error::Damaged`] if the positions up to which the service
/// follows others do not read: it would apply their events a second time.
pub fn salvage(
    source: &str,
    from: &Path,
    into: &Path,
    options: &Options,
    progress: impl FnMut(u64, u64),
) -> Result<SalvagedService, Error> {
    let store = store::salvage(from, into, options, progress)?;
    if !store.is_whole(cursor::TABLE) {
        let why = "up to which events of other services it was does not read, and it would \
                   apply them a second time; only a copy helps";
        return Err(Error::Damaged { file: from.join("db"), why: why.into() });
    }
    let opened = Store::open(into, options)?;
    let (source, writing) = (source.to_owned(), opened.clone());
    let mended = futures::executor::block_on(async {
        begin_at_first(&writing, &source).await?;
        mend_log(&writing, source).await
    });
    drop(writing);
    opened.close();
    let (log_end, events_deleted) = mended?;
    Ok(SalvagedService { store, log_end, events_deleted })
}

/// Has the log begin after the first event that reads, if that one does not continue its
/// beginning: the hash before it is lost. Followers that are further go on with the rest.
async fn begin_at_first(store: &Store, source: &str) -> Result<(), Error> {
    let Some(first) = store.scan(LOG.all())?.next().transpose()? else {
        return Ok(());
    };
    let (seq, recorded) = first;
    if recorded.continues(&retention::beginning(store, source)?) {
        return Ok(());
    }
    let source = source.to_owned();
    let begun = store.write(move |tx| {
        tx.delete(LOG, &seq)?;
        retention::set_beginning(tx, &source, &recorded.mark())
    });
    begun.await
}

/// Ends the log at the last event that continues all before it. Returns its number, and
/// the number of later events, which are deleted.
async fn mend_log(store: &Store, source: String) -> Result<(u64, u64), Error> {
    let mut end: Mark = retention::beginning(store, &source)?;
    for row in store.scan(LOG.all())? {
        let (_, recorded) = row?;
        if !recorded.continues(&end) {
            break;
        }
        end = recorded.mark();
    }
    let mut deleted = 0;
    loop {
        let some = store.write(move |tx| {
            let later = tx.scan(LOG.all().after(&end.seq))?.take(DELETED_AT_ONCE);
            let later: Vec<u64> = later
                .map(|row| row.map(|(seq, _)| seq))
                .collect::<Result<_, _>>()?;
            for seq in &later {
                tx.delete(LOG, seq)?;
            }
            Ok::<_, Error>(later.len())
        });
        match some.await? {
            0 => break,
            some => deleted += some as u64,
        }
    }
    let head = store.write(move |tx| {
        let epoch = epochs::cut(tx, end.seq)?;
        tx.put(HEAD, &source, &Head { epoch, mark: end })
    });
    head.await?;
    Ok((end.seq, deleted))
}
