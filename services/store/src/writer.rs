//! The one writer thread of a store: drain, run, show, journal, answer.
//!
//! **Invariant:** no caller is answered, not even with a refusal, before the
//! batch its closure ran in is durable: a refusal may rest on what an earlier
//! closure of the same batch wrote. **Invariant:** after a failed write or sync
//! nothing is ever written again; what reached the disk is unknown, and only
//! reopening can tell. A disk without room is no such failure: it shows before
//! anything is written, and refuses that batch alone. **Invariant:** a caller is never
//! left waiting: after a failure, or a panic of the engine or a hook, the thread stays
//! to refuse.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use crate::journal::Journal;
use crate::overlay::Overlay;
use crate::tx::Hooks;
use crate::view::View;
use crate::{Error, Tx};

/// How many closures share one commit. More would make the first of them wait
/// for the last; the disk is already amortised well before this.
const BATCH_JOBS_MAX: usize = 256;

/// Readers wait while a commit is applied, so its size is bounded too.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A caller's closure. It runs once and gives back how to answer its caller.
pub(crate) type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Answer + Send>;

/// Tells one caller how its batch ended.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What the writer works on.
pub(crate) struct Writer {
    pub(crate) view: Arc<View>,
    pub(crate) journal: Journal,
    pub(crate) jobs: flume::Receiver<Job>,
    pub(crate) failed: watch::Sender<Option<String>>,
    pub(crate) batches: watch::Sender<u64>,
}

impl Writer {
    /// Runs until every sender of jobs is gone.
    pub(crate) fn run(self) {
        let Self { view, mut journal, jobs, failed, batches } = self;
        let served = catch_unwind(AssertUnwindSafe(|| {
            while let Ok(first) = jobs.recv() {
                serve(&view, &mut journal, &batches, first, &jobs)?;
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
            Err(panic) => format!("its writer panicked: {}", message(&*panic)),
        };
        tracing::error!(why, "the store failed to write and accepts no more");
        failed.send_replace(Some(why));
        // Dropping a job drops its answer's sender, which is the refusal. A closure
        // left in the queue would keep its caller waiting.
        jobs.iter().for_each(drop);
    }
}

/// One batch: `first` and whatever is queued behind it; the error is why it failed.
fn serve(
    view: &Arc<View>,
    journal: &mut Journal,
    batches: &watch::Sender<u64>,
    first: Job,
    jobs: &flume::Receiver<Job>,
) -> Result<(), String> {
    let mut overlay = Overlay::default();
    let mut hooks = Hooks::default();
    let mut answers = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        let mut tx = Tx { view, overlay: &mut overlay, hooks: &mut hooks };
        answers.push(job(&mut tx));
        let full = answers.len() >= BATCH_JOBS_MAX || overlay.bytes() >= BATCH_BYTES_MAX;
        next = if full { None } else { jobs.try_recv().ok() };
    }
    // A batch without writes needs no sync: those before it already had theirs.
    let writes = !overlay.is_empty();
    if writes {
        let room = view.engine.room.check();
        if let Err(error) = room.and_then(|()| journal.prepare(view, &overlay)) {
            return refuse(answers, &error);
        }
        view.layers.show(overlay);
    }
    hooks.visible.into_iter().for_each(|hook| hook());
    let outcome = match writes {
        true => journal.append().map_err(|error| error.to_string()),
        false => Ok(()),
    };
    if outcome.is_ok() {
        hooks.durable.into_iter().for_each(|hook| hook());
        batches.send_modify(|count| *count += 1);
    }
    for answer in answers {
        answer(outcome.clone().map_err(Error::Poisoned));
    }
    outcome?;
    journal
        .turn_if_full(view)
        .map_err(|error| error.to_string())
}

/// Answers a batch of which nothing was shown or written; the error is why the store
/// can go no further.
fn refuse(answers: Vec<Answer>, error: &Error) -> Result<(), String> {
    let (told, outcome) = match error {
        Error::Full(_) => (error.clone(), Ok(())),
        error => (Error::Poisoned(error.to_string()), Err(error.to_string())),
    };
    for answer in answers {
        answer(Err(told.clone()));
    }
    outcome
}

/// Runs a caller's closure so that neither a refusal nor a panic leaves a trace.
pub(crate) fn attempt<T, E: From<Error>>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    tx.attempt(|tx| {
        catch_unwind(AssertUnwindSafe(|| work(tx)))
            .unwrap_or_else(|panic| Err(E::from(Error::Panicked(message(&*panic)))))
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
