//! The writer thread of a store: it drains the queue, runs the closures as one batch,
//! makes the batch visible, journals it, and completes the callers (group commit).
//!
//! One writer needs no locks on rows, and concurrent callers share one sync. A batch of
//! which nobody awaits the sync is put off: its rows are visible, and the next record has
//! them, too (see [`Deferred`]). A follower's cursor then costs no sync of its own.
//!
//! **Invariants:**
//! - No caller that awaits the sync is completed, not even with a refusal, before the batch
//!   of its closure is durable: a refusal may depend on a write of an earlier closure of the
//!   same batch.
//! - Rows that are put off reach the database only after the journal has them: while some
//!   are, no segment is rotated.
//! - After a failed write or sync nothing more is written, because the state of the disk is
//!   unknown until the store is opened again. A full disk is not such a failure: it is
//!   noticed before anything is written, and refuses the closures that write.
//! - No caller waits for ever: after a failure, or a panic of the engine or of a hook, the
//!   thread stays and refuses.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use flume::RecvTimeoutError;
use tokio::sync::watch;

use crate::deferred::Deferred;
use crate::disk_reserve::DiskSpace;
use crate::error::panic_text;
use crate::journal::Journal;
use crate::overlay::Overlay;
use crate::taps::Taps;
use crate::tx::{Hook, Hooks, Savepoint};
use crate::view::View;
use crate::{Error, Tx, WriterMetrics};

/// The most closures in one commit. More would make the first of them wait for the last,
/// and the cost of a sync is amortised well before this.
const BATCH_JOBS_MAX: usize = 256;

/// Readers wait while a batch is applied, so its size is bounded too.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A caller's closure, which returns how to complete its caller.
pub(crate) type Closure = Box<dyn FnOnce(&mut Tx<'_>) -> Completion + Send>;

/// What the writer is asked for.
pub(crate) enum Job {
    /// Runs a closure in the next batch.
    Run(Closure, Durability),
    /// Journals an empty batch, to see whether the disk takes it.
    Probe,
    /// Ends the writer after the closures queued before.
    Close,
}

/// What the caller of a closure waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The sync of its batch.
    Awaited,
    /// Nothing beyond the closure, unless it [asks for a sync](Tx::sync_now).
    Deferred,
}

/// Completes one caller with the outcome of its batch.
pub(crate) type Completion = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The writer thread's state.
pub(crate) struct Writer {
    pub(crate) view: Arc<View>,
    pub(crate) taps: Arc<Taps>,
    pub(crate) journal: Journal,
    pub(crate) jobs: flume::Receiver<Job>,
    pub(crate) failed: watch::Sender<Option<String>>,
    pub(crate) batches: watch::Sender<u64>,
    pub(crate) metrics: WriterMetrics,
    pub(crate) deferred: Deferred,
}

impl Writer {
    /// Runs until it is closed, or every sender of jobs is gone.
    pub(crate) fn run(mut self) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve_all()));
        let why = match served {
            Ok(Ok(())) => {
                if let Err(error) = self.journal.close(&self.view) {
                    tracing::warn!(%error, "opening will replay the journal");
                }
                return;
            }
            Ok(Err(why)) => why,
            Err(panic) => format!("its writer panicked: {}", panic_text(&*panic)),
        };
        tracing::error!(why, "the store failed to write and accepts no more");
        self.failed.send_replace(Some(why));
        // Dropping a job drops the sender of its result, which refuses its caller; a job
        // left in the queue would keep its caller waiting.
        while let Ok(Job::Run(..) | Job::Probe) = self.jobs.recv() {}
    }

    fn serve_all(&mut self) -> Result<(), String> {
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() {
            let received = match self.deferred.due() {
                Some(due) => self.jobs.recv_deadline(due),
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            flow = match received {
                Ok(Job::Run(first, durability)) => self.serve(first, durability)?,
                Ok(Job::Probe) | Err(RecvTimeoutError::Timeout) => {
                    self.sync_deferred()?;
                    flow
                }
                Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
            };
        }
        if !self.deferred.is_empty() {
            self.sync_deferred()?;
        }
        match self.deferred.is_empty() {
            true => Ok(()),
            false => Err("the disk is full; what followers applied last is applied again".into()),
        }
    }

    /// One batch: `first` and the closures queued behind it; fails with the reason why the
    /// store cannot continue. Breaks if the store is to be closed after it.
    fn serve(&mut self, first: Closure, durability: Durability) -> Result<ControlFlow<()>, String> {
        let view = self.view.clone();
        let mut batch = Batch::default();
        let mut flow = ControlFlow::Continue(());
        let mut next = Some((first, durability));
        while let Some((job, durability)) = next {
            if let Err(error) = batch.run(&view, job, durability) {
                return refuse(batch.completions, &error).map(|()| flow);
            }
            if batch.is_full() {
                break;
            }
            next = match self.jobs.try_recv() {
                Ok(Job::Run(job, durability)) => Some((job, durability)),
                Ok(Job::Close) => {
                    flow = ControlFlow::Break(());
                    None
                }
                // A batch with writes is a probe.
                Ok(Job::Probe) | Err(_) => None,
            };
        }
        self.commit(batch)?;
        Ok(flow)
    }

    /// Makes a batch visible and, unless it can be put off, durable; completes its callers.
    fn commit(&mut self, batch: Batch) -> Result<(), String> {
        let Batch { overlay, hooks, completions, is_awaited, .. } = batch;
        let run = |hooks: Vec<Hook>| hooks.into_iter().for_each(|hook| hook());
        if overlay.is_empty() {
            // It needs no sync: the batches before it already had theirs.
            run(hooks.visible);
            run(hooks.durable);
            completions
                .into_iter()
                .for_each(|complete| complete(Ok(())));
            return Ok(());
        }
        let is_deferred = !is_awaited && self.can_defer();
        let (closures, rows) = (completions.len() as u64, overlay.rows() as u64);
        if !is_deferred {
            let batches = [&self.deferred.rows, &overlay.tables];
            if let Err(error) = self.journal.prepare(&self.view, &batches) {
                return refuse(completions, &error);
            }
        }
        self.taps.show(self.journal.number() + 1);
        if is_deferred {
            self.deferred.add(&overlay);
        }
        self.view.memtables.apply(overlay);
        run(hooks.visible);
        self.deferred.hooks.extend(hooks.durable);
        let outcome = match is_deferred {
            true => Ok(()),
            false => self.append(),
        };
        if outcome.is_ok() {
            self.metrics.transactions.increment(closures);
            self.metrics.rows.increment(rows);
        }
        for complete in completions {
            complete(outcome.clone().map_err(Error::Poisoned));
        }
        outcome?;
        self.rotate_if_full()
    }

    /// Whether a batch may be put off. A rotation that met a full disk comes with the next
    /// record, and must not take rows into the database that the journal does not have.
    fn can_defer(&self) -> bool {
        self.deferred.has_room() && !self.journal.is_full()
    }

    /// Journals what is put off, or an empty batch, to see whether the disk takes it; fails
    /// when it does not. A disk that is only full leaves it put off.
    fn sync_deferred(&mut self) -> Result<(), String> {
        match self.journal.prepare(&self.view, &[&self.deferred.rows]) {
            Ok(()) => {
                self.append()?;
                self.rotate_if_full()
            }
            Err(error) => {
                self.deferred.wait_again();
                refuse(Vec::new(), &error)
            }
        }
    }

    /// Appends the prepared record, which has what was put off, too, and runs the hooks. A
    /// write that succeeds shows that the disk answers.
    fn append(&mut self) -> Result<(), String> {
        let (health, begun) = (&self.view.engine.disk_health, Instant::now());
        let appended = health.writing(|| self.journal.append());
        appended.map_err(|error| error.to_string())?;
        health.note_write();
        self.metrics.sync_seconds.record(begun.elapsed());
        self.metrics.batches.increment(1);
        self.taps
            .publish(self.journal.number(), self.journal.rows());
        let durable = std::mem::take(&mut self.deferred);
        durable.hooks.into_iter().for_each(|hook| hook());
        self.batches.send_modify(|count| *count += 1);
        Ok(())
    }

    fn rotate_if_full(&mut self) -> Result<(), String> {
        let rotated = self.journal.rotate_if_full(&self.view);
        rotated.map_err(|error| error.to_string())
    }
}

/// The closures that were run for one commit.
#[derive(Default)]
struct Batch {
    overlay: Overlay,
    hooks: Hooks,
    completions: Vec<Completion>,
    /// Whether a caller waits for the sync.
    is_awaited: bool,
    /// What is known of the disk; it is looked at once a batch, when something is written.
    space: Option<DiskSpace>,
}

impl Batch {
    /// Runs a closure; one that writes to a full disk is rolled back and refused.
    ///
    /// # Errors
    /// When the disk does not say whether it is full; the closure is to be refused.
    fn run(&mut self, view: &View, job: Closure, durability: Durability) -> Result<(), Error> {
        let mut tx = Tx {
            view,
            overlay: &mut self.overlay,
            hooks: &mut self.hooks,
            uses_reserve: false,
            is_awaited: durability == Durability::Awaited,
        };
        let before = tx.savepoint();
        let mut completion = job(&mut tx);
        let room = has_room(&tx, &before, &mut self.space);
        if let Ok(false) = room {
            tx.roll_back(&before);
            let (complete, full) = (completion, view.engine.disk_reserve.full());
            completion = Box::new(move |outcome| complete(outcome.and(Err(full))));
        }
        self.is_awaited |= tx.is_awaited;
        self.completions.push(completion);
        room.map(|_| ())
    }

    fn is_full(&self) -> bool {
        self.completions.len() >= BATCH_JOBS_MAX || self.overlay.bytes() >= BATCH_BYTES_MAX
    }
}

/// Whether the disk has room for what a closure has written since `before`.
fn has_room(tx: &Tx<'_>, before: &Savepoint, space: &mut Option<DiskSpace>) -> Result<bool, Error> {
    if !tx.has_written_since(before) {
        return Ok(true);
    }
    let space = match *space {
        Some(space) => space,
        None => *space.insert(tx.view.engine.disk_reserve.check()?),
    };
    Ok(match space {
        DiskSpace::Enough => true,
        DiskSpace::Reserve => tx.uses_reserve,
        DiskSpace::Full => false,
    })
}

/// Completes a batch of which nothing became visible or was written; fails when the
/// store cannot continue.
fn refuse(completions: Vec<Completion>, error: &Error) -> Result<(), String> {
    let (refusal, outcome) = match error {
        Error::Full(_) => (error.clone(), Ok(())),
        error => (Error::Poisoned(error.to_string()), Err(error.to_string())),
    };
    for complete in completions {
        complete(Err(refusal.clone()));
    }
    outcome
}

/// Runs a caller's closure; its writes are rolled back after a refusal or a panic.
pub(crate) fn attempt<T, E: From<Error>>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    tx.attempt(|tx| {
        catch_unwind(AssertUnwindSafe(|| work(tx)))
            .unwrap_or_else(|panic| Err(E::from(Error::Panicked(panic_text(&*panic)))))
    })
}
