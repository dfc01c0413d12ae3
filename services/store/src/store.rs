//! A service's handle to its database folder.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use crate::engine::Engine;
use crate::journal::Journal;
use crate::layers::Layers;
use crate::read::{Bounds, RawRow};
use crate::view::View;
use crate::writer::{self, Job, Writer};
use crate::{Error, Read, Tx, room};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much of the database sled may keep in memory, in bytes. A hint: real
    /// use is a few times higher under load.
    pub cache_bytes: u64,
    /// How many closures may wait for the writer. Above it, [`Store::write`]
    /// refuses with [`Error::Busy`].
    pub queue_max: usize,
    /// How the journal's and the database's files are made durable. Only tests put
    /// something else here than `fdatasync`.
    pub sync: fn(&File) -> io::Result<()>,
    /// How many bytes are free on the disk of the store's folder. Only tests put
    /// something else here than what the operating system says.
    pub free_bytes: fn(&Path) -> io::Result<u64>,
}

impl Default for Options {
    /// 8 MiB of cache; a queue of 1,024 closures, four full batches, which is
    /// some tens of milliseconds of work.
    fn default() -> Self {
        Self {
            cache_bytes: 8 * 1024 * 1024,
            queue_max: 1024,
            sync: File::sync_data,
            free_bytes: room::free_bytes,
        }
    }
}

/// An open store. Cheap to clone; the folder is released when the last clone is
/// gone, or sooner by [`close`](Self::close).
#[derive(Clone)]
pub struct Store {
    view: Arc<View>,
    jobs: flume::Sender<Job>,
    failed: watch::Receiver<Option<String>>,
    batches: watch::Receiver<u64>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the folder, making it if it is not there, and starts its writer.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Io`] when it
    /// cannot be read or made durable, [`Error::Full`] when the disk has no room
    /// for what opening writes.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let engine = Engine::open(dir, options)?;
        let journal = Journal::open(dir, options.sync, &engine)?;
        let view = Arc::new(View { layers: Layers::default(), engine });
        let (jobs, queue) = flume::bounded(options.queue_max);
        let (fail, failed) = watch::channel(None);
        let (batch, batches) = watch::channel(0);
        let writer = Writer {
            view: view.clone(),
            journal,
            jobs: queue,
            failed: fail,
            batches: batch,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::Io { dir: dir.to_owned(), why: error.to_string() })?;
        Ok(Self {
            view,
            jobs,
            failed,
            batches,
            writer: Arc::new(Mutex::new(Some(writer))),
        })
    }

    /// Runs `work` on the writer thread and returns its result once everything
    /// it wrote is on disk. If `work` refuses, none of its writes stay.
    ///
    /// # Errors
    /// What `work` returned; [`Error::Busy`] when the queue is full, before
    /// anything was written; [`Error::Full`] when the disk has no room for it;
    /// [`Error::Poisoned`] when the outcome is unknown.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job(work);
        match self.jobs.try_send(job) {
            Ok(()) => self.answer(answer).await,
            Err(flume::TrySendError::Full(_)) => Err(Error::Busy.into()),
            Err(flume::TrySendError::Disconnected(_)) => Err(self.stopped().into()),
        }
    }

    /// As [`write`](Self::write), but waits for room in the queue: for a
    /// service's own background work, which nobody times out.
    ///
    /// # Errors
    /// What `work` returned; [`Error::Full`]; [`Error::Poisoned`].
    pub async fn write_when_free<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job(work);
        match self.jobs.send_async(job).await {
            Ok(()) => self.answer(answer).await,
            Err(_) => Err(self.stopped().into()),
        }
    }

    /// Resolves when the store has failed and the process should end.
    pub async fn failed(&self) -> Error {
        let mut failed = self.failed.clone();
        let why = match failed.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the writer thread ended".into(),
        };
        Error::Poisoned(why)
    }

    /// Counts the batches that became durable. It moves once a batch, after all that
    /// waited for its being durable: whoever collects what they leave sees all of it.
    pub fn batches(&self) -> watch::Receiver<u64> {
        self.batches.clone()
    }

    /// The database's size on disk, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        self.view.engine.disk_bytes()
    }

    #[cfg(test)]
    pub(crate) fn dir(&self) -> &Path {
        self.view.engine.dir()
    }

    /// How many closures wait for the writer now.
    pub fn queue_len(&self) -> usize {
        self.jobs.len()
    }

    /// Waits until everything queued is answered, and releases the folder if
    /// this was the last clone. Blocks; other clones' later writes are refused
    /// only once they are dropped too.
    pub fn close(self) {
        let Self { view, jobs, failed: _, batches: _, writer } = self;
        drop(jobs);
        if let Some(writer) = Arc::into_inner(writer) {
            let handle = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some(handle) = handle
                && handle.join().is_err()
            {
                tracing::error!("the store's writer thread had panicked");
            }
        }
        drop(view);
    }

    async fn answer<T, E: From<Error>>(
        &self,
        answer: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        answer.await.unwrap_or_else(|_| Err(self.stopped().into()))
    }

    fn stopped(&self) -> Error {
        let why = self.failed.borrow().clone();
        Error::Poisoned(why.unwrap_or_else(|| "the writer thread ended".into()))
    }
}

/// A closure as the writer takes it, and where its answer will come.
fn job<T, E, F>(work: F) -> (Job, oneshot::Receiver<Result<T, E>>)
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |tx| {
        let result = writer::attempt(tx, work);
        Box::new(move |durable| {
            // A caller that went away does not want its answer.
            let _ = reply.send(durable.map_err(E::from).and(result));
        })
    });
    (job, answer)
}

impl Read for Store {
    fn raw(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.view.get(table, key)
    }

    fn raw_scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        self.view.scan(table, bounds, newest_first)
    }
}
