//! A service's handle to its database folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::deferred::Deferred;
use crate::disk_reserve::DiskSpace;
use crate::engine::{Engine, remove_kept_database, remove_unfinished};
use crate::journal::Journal;
use crate::memtables::Memtables;
use crate::read::RawRow;
use crate::table::{Bounds, Table};
use crate::taps::Taps;
use crate::view::View;
use crate::writer::{self, Closure, Durability, Job, Writer};
use crate::{Error, Options, Read, Tx};

/// An open store. Cheap to clone; the folder is released when the last clone is
/// gone, or sooner by [`close`](Self::close).
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Handle>);

/// What the clones of a store share.
pub(crate) struct Handle {
    pub(crate) view: Arc<View>,
    pub(crate) taps: Arc<Taps>,
    jobs: flume::Sender<Job>,
    failed: watch::Receiver<Option<String>>,
    batches: watch::Receiver<u64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the folder, creates it if it is absent, and starts the writer.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Io`] when it
    /// cannot be read or made durable, [`Error::Full`] when the disk has no space
    /// for the writes of opening.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let engine = Engine::open(dir, options)?;
        let journal = Journal::open(dir, options.sync, &engine)?;
        remove_kept_database(engine.dir())?;
        if let Err(error) = remove_unfinished(engine.dir()) {
            tracing::warn!(%error, "what is left of a compaction was not removed");
        }
        let view = Arc::new(View { memtables: Memtables::default(), engine });
        let taps = Arc::new(Taps::new(journal.number()));
        let (jobs, queue) = flume::bounded(options.queue_max);
        let (fail, failed) = watch::channel(None);
        let (batch, batches) = watch::channel(0);
        let writer = Writer {
            view: view.clone(),
            taps: taps.clone(),
            journal,
            jobs: queue,
            failed: fail,
            batches: batch,
            metrics: options.metrics.clone(),
            deferred: Deferred::default(),
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::io(dir, "its writer", &error))?;
        let writer = Mutex::new(Some(writer));
        let handle = Handle { view, taps, jobs, failed, batches, writer };
        Ok(Self(Arc::new(handle)))
    }

    /// Runs `work` on the writer thread and returns its result once everything it wrote
    /// is durable. If `work` fails, none of its writes stay.
    ///
    /// # Errors
    /// The error of `work`; [`Error::Busy`] when the queue is full, before
    /// anything was written; [`Error::Full`] when the disk has no space;
    /// [`Error::Poisoned`] when the outcome is unknown.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job(work);
        match self.0.jobs.try_send(Job::Run(job, Durability::Awaited)) {
            Ok(()) => self.result(result).await,
            Err(flume::TrySendError::Full(_)) => Err(Error::Busy.into()),
            Err(flume::TrySendError::Disconnected(_)) => Err(self.stopped().into()),
        }
    }

    /// As [`write`](Self::write), but waits while the queue is full: for a service's
    /// background work, which has no timeout.
    ///
    /// # Errors
    /// The error of `work`; [`Error::Full`]; [`Error::Poisoned`].
    pub async fn write_when_free<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.send(work, Durability::Awaited).await
    }

    /// As [`write_when_free`](Self::write_when_free), but returns once the writes are visible
    /// to readers; they become durable with the next transaction that awaits its sync, or 0.1 s
    /// later, and their [`Tx::on_durable`] hooks run then. A crash may take them back, all
    /// or none, so this is only for what follows again from facts that are durable elsewhere. The
    /// closure [asks](Tx::sync_now) for a sync if somebody waits for what it announces.
    ///
    /// # Errors
    /// The error of `work`; [`Error::Full`]; [`Error::Poisoned`].
    pub async fn write_deferred<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.send(work, Durability::Deferred).await
    }

    /// Resolves when the store has failed and the process should end.
    pub async fn failed(&self) -> Error {
        let mut failed = self.0.failed.clone();
        let why = match failed.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "it was closed".into(),
        };
        Error::Poisoned(why)
    }

    /// The number of durable batches. It changes once per batch, after the batch's
    /// [`Tx::on_durable`] hooks, so an observer sees their effects.
    pub fn batches(&self) -> watch::Receiver<u64> {
        self.0.batches.clone()
    }

    /// The database's size on disk, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        self.0.view.engine.disk_bytes()
    }

    /// The free space on the store's disk, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk does not say.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        self.0.view.engine.disk_reserve.free()
    }

    /// The number of a table's committed rows, from the count that checkpoints keep and the
    /// rows above it; no table is scanned. `None` while a checkpoint changes that count and
    /// goes on for longer than 250 ms. Blocks for that long.
    ///
    /// # Errors
    /// [`Error::Io`] when a row cannot be read.
    pub fn row_count<K, V>(&self, table: Table<K, V>) -> Result<Option<u64>, Error> {
        self.0.view.row_count(table.name)
    }

    /// The store's folder, absolute.
    pub fn dir(&self) -> &Path {
        self.0.view.engine.dir()
    }

    /// The number of rows of each table at the last checkpoint. Rows that were written since
    /// lie in the journal and are not counted.
    pub fn row_counts(&self) -> BTreeMap<String, u64> {
        self.0.view.engine.row_counts()
    }

    /// Reads the whole database and returns its faults: tables whose rows are not those
    /// that were written. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Io`] when a row cannot be read.
    pub fn verify(&self) -> Result<Vec<String>, Error> {
        self.0.view.engine.verify()
    }

    /// How long the present write to the disk has taken so far.
    pub fn writing_for(&self) -> Duration {
        self.0.view.engine.disk_health.writing_for()
    }

    /// Whether the disk is nearly full, so that writes are refused.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk does not say.
    pub fn is_disk_full(&self) -> Result<bool, Error> {
        Ok(self.0.view.engine.disk_reserve.space()? != DiskSpace::Enough)
    }

    /// Whether a read failed, and no write succeeded since.
    pub fn read_failed(&self) -> bool {
        self.0.view.engine.disk_health.read_failed()
    }

    /// Journals what is deferred, or an empty batch. If the disk does not take it, the store
    /// [fails](Self::failed).
    pub fn probe(&self) {
        // A full queue will write soon anyway.
        let _ = self.0.jobs.try_send(Job::Probe);
    }

    /// Resolves once the writer has done what is queued, and never while it is stuck: for a
    /// watchdog. Nothing is written.
    pub async fn progress(&self) {
        // A writer that has failed says so in `failed`, and still takes from its queue.
        let _ = self.write_when_free(|_| Ok::<_, Error>(())).await;
    }

    /// The length of the writer's queue.
    pub fn queue_len(&self) -> usize {
        self.0.jobs.len()
    }

    /// Waits until every queued closure has its result and the database has all rows.
    /// Blocks. Other clones can still read, and their writes are refused from now on; the
    /// folder is released when the last of them is gone.
    pub fn close(self) {
        // An error says that the writer has ended.
        let _ = self.0.jobs.send(Job::Close);
        let handle = self.0.writer.lock().take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the store's writer thread had panicked");
        }
    }

    async fn send<T, E, F>(&self, work: F, durability: Durability) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job(work);
        match self.0.jobs.send_async(Job::Run(job, durability)).await {
            Ok(()) => self.result(result).await,
            Err(_) => Err(self.stopped().into()),
        }
    }

    async fn result<T, E: From<Error>>(
        &self,
        result: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        result.await.unwrap_or_else(|_| Err(self.stopped().into()))
    }

    fn stopped(&self) -> Error {
        let why = self.0.failed.borrow().clone();
        Error::Poisoned(why.unwrap_or_else(|| "it was closed".into()))
    }
}

/// A closure as the writer takes it, and the receiver of its result.
fn job<T, E, F>(work: F) -> (Closure, oneshot::Receiver<Result<T, E>>)
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, receiver) = oneshot::channel();
    let job: Closure = Box::new(move |tx| {
        let result = writer::attempt(tx, work);
        Box::new(move |durable| {
            // A cancelled caller needs no result.
            let _ = reply.send(durable.map_err(E::from).and(result));
        })
    });
    (job, receiver)
}

impl Read for Store {
    fn raw(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.0.view.get(table, key)
    }

    fn raw_scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        self.0.view.scan(table, bounds, newest_first)
    }
}
