//! The threads that connections live on, one for each core.
//!
//! A connection, what is asked over it and the warm connections to services that
//! it uses stay on one thread, so that no request waits for another thread to wake
//! up, and nothing it touches moves between cores. Services of this process are
//! called there as well.
//!
//! Each has a runtime of one worker rather than tokio's `current_thread`, so that
//! what blocks in place (`tokio::task::block_in_place`) may be called here as
//! anywhere else.
//!
//! **Invariant:** a connection stays where it was put, with the thread that had the fewest.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker that runs this, from 0; 0 outside of any.
pub(crate) fn here() -> usize {
    HERE.get()
}

/// How many there are: one for each core.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// All of them. Dropping them cuts the connections that are left.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
    /// Held once here, and once by each connection.
    connections: Arc<()>,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        (0..count())
            .map(Worker::start)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Has the worker with the fewest connections serve this one.
    ///
    /// # Errors
    /// When the runtime does not take it.
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
    /// A runtime must not wait for its blocking work where others run.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
