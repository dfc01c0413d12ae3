//! The threads that hash, one a core, at the lowest priority of the system (setpriority(2)).
//!
//! Where the priority cannot be lowered, as under a filter of system calls, one core is left to
//! other work. **Invariant:** at most as many hashes run as there are threads, and a hash that
//! panics stops none of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use flume::{Receiver, Sender};
use tokio::sync::oneshot;

use super::phc::HashMemory;

/// The priority that yields to every other.
const NICEST: i32 = 19;

/// How long a thread without work keeps its memory: between the log-ins of a rush, and no longer.
const IDLE: Duration = Duration::from_secs(1);

type Work = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// The threads; they end with it.
pub(super) struct HashThreads {
    queue: Sender<Work>,
    count: usize,
}

impl HashThreads {
    /// Starts as many threads as there are cores, and at most `count_max`, for a queue of
    /// `waiting_max`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(super) async fn start(
        cores: usize,
        count_max: usize,
        waiting_max: usize,
    ) -> io::Result<Self> {
        let (queue, works) = flume::bounded(waiting_max);
        let mut threads = Self { queue, count: 0 };
        let is_nice = threads.add(&works)?.await.unwrap_or(false);
        if !is_nice {
            tracing::info!(
                "the priority of hashing cannot be lowered here; one core is left to other work"
            );
        }
        let cores = if is_nice { cores } else { cores.saturating_sub(1) };
        while threads.count < cores.min(count_max) {
            threads.add(&works)?;
        }
        Ok(threads)
    }

    /// Starts a thread, which says whether it has the lowest priority.
    fn add(&mut self, works: &Receiver<Work>) -> io::Result<oneshot::Receiver<bool>> {
        let (nice, is_nice) = oneshot::channel();
        let works = works.clone();
        let hashing = move || {
            // On Linux this is of the thread alone (setpriority(2), under BUGS).
            let _ = nice.send(rustix::process::setpriority_process(None, NICEST).is_ok());
            hash(&works);
        };
        thread::Builder::new().name("hash".into()).spawn(hashing)?;
        self.count += 1;
        Ok(is_nice)
    }

    /// The number of threads.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Runs `work` when a thread is free; `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let work = move |memory: &mut HashMemory| {
            let _ = done.send(work(memory));
        };
        self.queue.send_async(Box::new(work)).await.ok()?;
        result.await.ok()
    }
}

/// Works until the queue is closed.
fn hash(works: &Receiver<Work>) {
    let mut memory = HashMemory::default();
    loop {
        let work = works.recv_timeout(IDLE).or_else(|_| {
            memory.release();
            works.recv()
        });
        let Ok(work) = work else { return };
        // The caller learns of a panic, since its sender is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| work(&mut memory)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_that_panics_stops_no_thread() {
        let threads = HashThreads::start(8, 2, 4).await.unwrap();
        assert_eq!(threads.count(), 2);
        for _ in 0..4 {
            let panicked: Option<()> = threads.run(|_| panic!("a hash that panics")).await;
            assert_eq!(panicked, None);
        }
        assert_eq!(threads.run(|_| 7).await, Some(7));
    }
}
