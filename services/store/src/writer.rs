//! The writer thread of a store: it drains the queue, runs the closures as one batch,
//! makes the batch visible, journals it, and completes the callers (group commit).
//!
//! One writer needs no locks on rows, and concurrent callers share one sync.
//!
//! **Invariants:**
//! - No caller is completed, not even with a refusal, before the batch of its closure is
//!   durable: a refusal may depend on a write of an earlier closure of the same batch.
//! - After a failed write or sync nothing more is written, because the state of the disk is
//!   unknown until the store is opened again. A full disk is not such a failure: it is
//!   noticed before anything is written, and refuses the closures that write.
//! - No caller waits for ever: after a failure, or a panic of the engine or of a hook, the
//!   thread stays and refuses.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::disk_reserve::DiskSpace;
use crate::error::panic_text;
use crate::journal::Journal;
use crate::overlay::Overlay;
use crate::taps::Taps;
use crate::tx::{Hooks, Savepoint};
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
    Run(Closure),
    /// Journals an empty batch, to see whether the disk takes it.
    Probe,
    /// Ends the writer after the closures queued before.
    Close,
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
}

impl Writer {
    /// Runs until it is closed, or every sender of jobs is gone.
    pub(crate) fn run(self) {
        let Self { view, taps, mut journal, jobs, failed, batches, metrics } = self;
        let served = catch_unwind(AssertUnwindSafe(|| {
            let mut flow = ControlFlow::Continue(());
            while flow.is_continue() {
                flow = match jobs.recv() {
                    Ok(Job::Run(first)) => {
                        serve(&view, &taps, &mut journal, &metrics, &batches, first, &jobs)?
                    }
                    Ok(Job::Probe) => probe(&view, &taps, &mut journal, &metrics)?,
                    Ok(Job::Close) | Err(_) => ControlFlow::Break(()),
                };
            }
            Ok(())
        }));
        let why = match served {
            Ok(Ok(())) => {
                if let Err(error) = journal.close(&view) {
                    tracing::warn!(%error, "opening will replay the journal");
                }
                return;
            }
            Ok(Err(why)) => why,
            Err(panic) => format!("its writer panicked: {}", panic_text(&*panic)),
        };
        tracing::error!(why, "the store failed to write and accepts no more");
        failed.send_replace(Some(why));
        // Dropping a job drops the sender of its result, which refuses its caller; a job
        // left in the queue would keep its caller waiting.
        while let Ok(Job::Run(_) | Job::Probe) = jobs.recv() {}
    }
}

/// One batch: `first` and the closures queued behind it; fails with the reason why the
/// store cannot continue. Breaks if the store is to be closed after it.
fn serve(
    view: &Arc<View>,
    taps: &Taps,
    journal: &mut Journal,
    metrics: &WriterMetrics,
    batches: &watch::Sender<u64>,
    first: Closure,
    jobs: &flume::Receiver<Job>,
) -> Result<ControlFlow<()>, String> {
    let mut space = None;
    let mut flow = ControlFlow::Continue(());
    let mut overlay = Overlay::default();
    let mut hooks = Hooks::default();
    let mut completions = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        let mut tx = Tx {
            view,
            overlay: &mut overlay,
            hooks: &mut hooks,
            uses_reserve: false,
        };
        let before = tx.savepoint();
        let mut completion = job(&mut tx);
        match has_room(&tx, &before, &mut space) {
            Ok(true) => {}
            Ok(false) => {
                tx.roll_back(&before);
                let (complete, full) = (completion, view.engine.disk_reserve.full());
                completion = Box::new(move |outcome| complete(outcome.and(Err(full))));
            }
            Err(error) => {
                completions.push(completion);
                return refuse(completions, &error).map(|()| flow);
            }
        }
        completions.push(completion);
        let full = completions.len() >= BATCH_JOBS_MAX || overlay.bytes() >= BATCH_BYTES_MAX;
        if full {
            break;
        }
        next = match jobs.try_recv() {
            Ok(Job::Run(job)) => Some(job),
            Ok(Job::Close) => {
                flow = ControlFlow::Break(());
                None
            }
            // A batch with writes is a probe.
            Ok(Job::Probe) | Err(_) => None,
        };
    }
    // A batch without writes needs no sync: those before it already had theirs.
    let writes = !overlay.is_empty();
    let rows = overlay.rows() as u64;
    if writes {
        if let Err(error) = journal.prepare(view, &overlay) {
            return refuse(completions, &error).map(|()| flow);
        }
        taps.show(journal.number() + 1);
        view.memtables.apply(overlay);
    }
    hooks.visible.into_iter().for_each(|hook| hook());
    let outcome = match writes {
        true => append(view, taps, journal, metrics),
        false => Ok(()),
    };
    if writes && outcome.is_ok() {
        metrics.transactions.increment(completions.len() as u64);
        metrics.rows.increment(rows);
    }
    if outcome.is_ok() {
        hooks.durable.into_iter().for_each(|hook| hook());
        batches.send_modify(|count| *count += 1);
    }
    for complete in completions {
        complete(outcome.clone().map_err(Error::Poisoned));
    }
    outcome?;
    let rotated = journal.rotate_if_full(view);
    rotated.map(|()| flow).map_err(|error| error.to_string())
}

/// Whether the disk has room for what a closure has written since `before`. `space` is what is
/// known of the disk; it is looked at once a batch, when something is written.
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

/// Appends the prepared record. A write that succeeds shows that the disk answers.
fn append(
    view: &View,
    taps: &Taps,
    journal: &mut Journal,
    metrics: &WriterMetrics,
) -> Result<(), String> {
    let (health, begun) = (&view.engine.disk_health, Instant::now());
    let appended = health.writing(|| journal.append());
    appended.map_err(|error| error.to_string())?;
    health.note_write();
    metrics.sync_seconds.record(begun.elapsed());
    metrics.batches.increment(1);
    taps.publish(journal.number(), journal.rows());
    Ok(())
}

/// Journals an empty batch, unless the disk is full; fails when the disk does.
fn probe(
    view: &Arc<View>,
    taps: &Taps,
    journal: &mut Journal,
    metrics: &WriterMetrics,
) -> Result<ControlFlow<()>, String> {
    match journal.prepare(view, &Overlay::default()) {
        Ok(()) => append(view, taps, journal, metrics)?,
        Err(error) => refuse(Vec::new(), &error)?,
    }
    Ok(ControlFlow::Continue(()))
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
