//! The one writer thread of a store: drain, run, commit, sync, answer.
//!
//! **Invariant:** no caller is answered, not even with a refusal, before the
//! batch its closure ran in is durable: a refusal may rest on what an earlier
//! closure of the same batch wrote. **Invariant:** after a failed commit or sync
//! nothing is ever written again; what reached the disk is unknown, and only
//! reopening can tell. **Invariant:** a caller is never left waiting: after a
//! failure, or a panic of the engine or a hook, the thread stays to refuse.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::watch;

use crate::engine::Engine;
use crate::overlay::Overlay;
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

/// Runs until every sender of `jobs` is gone.
pub(crate) fn run(
    engine: &Engine,
    jobs: &flume::Receiver<Job>,
    failed: &watch::Sender<Option<String>>,
) {
    let why = match catch_unwind(AssertUnwindSafe(|| serve(engine, jobs))) {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(panic) => format!("its writer panicked: {}", message(&*panic)),
    };
    tracing::error!(why, "the store failed to write and accepts no more");
    failed.send_replace(Some(why));
    // Dropping a job drops its answer's sender, which is the refusal. A closure
    // left in the queue would keep its caller waiting.
    jobs.iter().for_each(drop);
}

/// Batch after batch, until the senders are gone or a batch fails, and why.
fn serve(engine: &Engine, jobs: &flume::Receiver<Job>) -> Result<(), String> {
    while let Ok(first) = jobs.recv() {
        let mut overlay = Overlay::default();
        let mut hooks = Vec::new();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            let mut tx = Tx { engine, overlay: &mut overlay, hooks: &mut hooks };
            answers.push(job(&mut tx));
            let full = answers.len() >= BATCH_JOBS_MAX || overlay.bytes() >= BATCH_BYTES_MAX;
            next = if full { None } else { jobs.try_recv().ok() };
        }
        let outcome = make_durable(engine, &overlay).map_err(|error| error.to_string());
        if outcome.is_ok() {
            hooks.into_iter().for_each(|hook| hook());
        }
        for answer in answers {
            answer(outcome.clone().map_err(Error::Poisoned));
        }
        outcome?;
    }
    Ok(())
}

/// A batch without writes needs no sync: the batches before it already had theirs.
fn make_durable(engine: &Engine, overlay: &Overlay) -> Result<(), Error> {
    if overlay.is_empty() {
        return Ok(());
    }
    engine.commit(overlay)?;
    engine.sync()
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
