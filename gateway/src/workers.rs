//! Worker threads, one per core (thread per core): each serves its own connections.
//!
//! A connection, its requests and the pooled connections to services that it uses stay on
//! one thread, so that no request waits for another thread to wake up, and none of its data
//! moves between cores. In-process services are called on the same thread.
//!
//! A worker has a multi-thread runtime of one thread rather than tokio's `current_thread`,
//! because the latter does not allow `tokio::task::block_in_place`.
//!
//! **Invariant:** a connection stays on its worker, which had the fewest connections when it
//! was accepted.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use chassis::Supervision;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the current worker, from 0; 0 on any other thread.
pub(crate) fn here() -> usize {
    HERE.get()
}

/// The number of workers: one per core.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The workers. Dropping them closes the remaining connections.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
    /// Its strong count is the number of connections, plus one.
    connections: Arc<()>,
}

impl Workers {
    /// Starts one worker per core.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start() -> io::Result<Self> {
        (0..count())
            .map(Worker::start)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Registers each worker with the supervisor: it makes progress when it runs a task.
    pub(crate) fn supervise(&self, supervision: &Supervision) {
        for (number, worker) in self.0.iter().enumerate() {
            let Some(runtime) = &worker.runtime else {
                continue;
            };
            let handle = runtime.handle().clone();
            supervision.add_part(format!("worker {number} of the gateway"), move || {
                let task = handle.spawn(async {});
                async move { drop(task.await) }
            });
        }
    }

    /// Assigns a connection to the worker with the fewest.
    ///
    /// # Errors
    /// When the worker's runtime cannot register the socket.
    pub(crate) fn spawn<F>(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self
            .0
            .iter()
            .min_by_key(|worker| Arc::strong_count(&worker.connections));
        let Some(Worker { runtime: Some(runtime), connections: held }) = fewest else {
            return Ok(());
        };
        let (stream, held) = (stream.into_std()?, held.clone());
        let stream = {
            let _entered = runtime.enter();
            TcpStream::from_std(stream)?
        };
        let served = serve(stream);
        connections.spawn_on(
            async move {
                served.await;
                drop(held);
            },
            runtime.handle(),
        );
        Ok(())
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("gateway-{number}"))
            .on_thread_start(move || HERE.set(number))
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), connections: Arc::default() })
    }
}

impl Drop for Worker {
    /// Shuts down without waiting for blocking work: a runtime must not be dropped with a
    /// wait inside of another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
