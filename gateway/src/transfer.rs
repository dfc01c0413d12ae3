//! HTTP/2 transfers: the bytes of a stream that its client has not taken, and the reset of
//! one that stalls.
//!
//! hyper asks a body for a frame, and keeps it until the client's flow control window takes
//! it. A client with a window of 0 would keep it forever, because the socket is never blocked
//! and the body is not polled. Therefore each frame counts itself until it was written
//! ([`Outgoing`]), and the task of each stream is ended when it waits longer for its client
//! than its progress timeout allows. h2 resets a stream whose task has ended (`CANCEL`).
//!
//! A stream can be reset only before hyper has handed its last frame to h2. The end of a
//! body is therefore held back until its bytes were written ([`Transfer::poll_written`]),
//! except for small bodies while the connection has little unwritten, which is the usual
//! case and costs nothing.
//!
//! The connection is a transfer, too: it is closed when its streams together make no progress
//! for twice as long, once those that can be reset have been, or when there is no room for
//! what they left. Over HTTP/1.1, where the socket blocks, the transfer only shows whether a
//! response is still being sent.
//!
//! **Invariant:** a client that does not read holds no stream for longer than its progress
//! timeout, and not more memory than its shares of the send budget.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::task::AtomicWaker;
use hyper::rt::Executor;

use crate::limits::{ClientLimits, SendBudget, SendCharge};
use crate::progress_timeout::ProgressTimeout;

tokio::task_local! {
    /// The transfer of the present stream. hyper makes the stream's future, so the executor
    /// that runs it and the response in it meet only in its task.
    static TRANSFER: Arc<Transfer>;
}

/// Unwritten bytes of a connection above which small responses, too, can be reset.
const UNWRITTEN_BYTES_MAX: usize = 64 * 1024;

/// The bytes of a stream, or of all streams of a connection, on their way to the client.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    connection: Option<Arc<Self>>,
    unwritten: AtomicUsize,
    /// Bytes written since the last look.
    moved: AtomicUsize,
    /// Whether the response is charged by its size.
    is_charged: AtomicBool,
    waker: AtomicWaker,
    /// The open streams of a connection.
    streams: AtomicUsize,
}

impl Transfer {
    /// The transfer of a stream of `connection`.
    fn of_stream(connection: &Arc<Self>) -> Arc<Self> {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            connection: Some(connection.clone()),
            unwritten: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
            is_charged: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            streams: AtomicUsize::new(0),
        })
    }

    /// The number of open streams of a connection.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// The transfer of the present task, if it serves an HTTP/2 stream.
    pub(crate) fn current() -> Option<Arc<Self>> {
        TRANSFER.try_with(Arc::clone).ok()
    }

    /// Marks a response that is charged by its size.
    pub(crate) fn set_charged(&self) {
        self.is_charged.store(true, Ordering::Relaxed);
    }

    /// Whether the connection has so much unwritten that its client may have stalled.
    pub(crate) fn is_backed_up(&self) -> bool {
        let connection = self.connection.as_deref().unwrap_or(self);
        connection.unwritten() > UNWRITTEN_BYTES_MAX
    }

    /// The bytes that hyper has and the client has not.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Waits until every byte was written.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unwritten() == 0 {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.unwritten() == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn add(&self, bytes: usize) {
        self.unwritten.fetch_add(bytes, Ordering::AcqRel);
        if let Some(connection) = &self.connection {
            connection.add(bytes);
        }
    }

    /// Counts bytes that the client has.
    fn written(&self, bytes: usize) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        if let Some(connection) = &self.connection {
            connection.moved.fetch_add(bytes, Ordering::Relaxed);
        }
        self.remove(bytes);
    }

    fn remove(&self, bytes: usize) {
        if self.unwritten.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.waker.wake();
        }
        if let Some(connection) = &self.connection {
            connection.remove(bytes);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A frame of a body, which counts as unwritten until it was written or dropped.
pub(crate) struct Outgoing {
    bytes: Bytes,
    transfer: Option<Arc<Transfer>>,
    _charge: Option<Arc<SendCharge>>,
}

impl Outgoing {
    /// Counts a frame.
    pub(crate) fn new(
        bytes: Bytes,
        transfer: Option<Arc<Transfer>>,
        charge: Option<Arc<SendCharge>>,
    ) -> Self {
        if let Some(transfer) = &transfer {
            transfer.add(bytes.len());
        }
        Self { bytes, transfer, _charge: charge }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(transfer) = &self.transfer {
            transfer.written(count);
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(transfer) = &self.transfer
            && self.bytes.has_remaining()
        {
            transfer.remove(self.bytes.len());
        }
    }
}

/// Runs the streams of one HTTP/2 connection, each in a task of its own.
#[derive(Clone)]
pub(crate) struct StreamExecutor {
    connection: Arc<Transfer>,
    limits: Arc<ClientLimits>,
}

impl StreamExecutor {
    /// The streams of `connection` run under `limits`.
    pub(crate) fn new(connection: Arc<Transfer>, limits: Arc<ClientLimits>) -> Self {
        Self { connection, limits }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let transfer = Transfer::of_stream(&self.connection);
        let limits = self.limits.clone();
        let stream = TRANSFER.scope(transfer.clone(), stream);
        tokio::spawn(async move {
            let timeout = ClientTimeout::of_stream(&transfer, &limits);
            if timeout.run(stream).await.is_none() {
                limits.send_budget().stalled();
            }
        });
    }
}

/// How long the gateway waits for the client of a transfer.
pub(crate) struct ClientTimeout<'a> {
    transfer: &'a Transfer,
    writing: ProgressTimeout,
    /// Where bytes that wait for the client are charged.
    budget: &'a Arc<SendBudget>,
    /// The charge, and the bytes that it is for.
    charge: Option<(SendCharge, usize)>,
}

impl<'a> ClientTimeout<'a> {
    /// For a stream.
    fn of_stream(transfer: &'a Transfer, limits: &'a ClientLimits) -> Self {
        let (writing, budget) = (limits.write_progress_timeout(), limits.send_budget());
        Self { transfer, writing, budget, charge: None }
    }

    /// For a connection: streams that have ended may have left bytes to h2.
    pub(crate) fn of_connection(transfer: &'a Transfer, limits: &'a ClientLimits) -> Self {
        let (writing, budget) = (limits.connection_progress_timeout(), limits.send_budget());
        Self { transfer, writing, budget, charge: None }
    }

    /// Runs `sending` to its end; `None` when the client takes too little meanwhile.
    pub(crate) async fn run<F: Future>(mut self, sending: F) -> Option<F::Output> {
        let mut sending = pin!(sending);
        poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_exhausted(cx).map(|()| None),
        })
        .await
    }

    /// Ready when the client has been waited for too long, or there is no room in the send
    /// budget for what it does not take.
    fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.transfer.moved.swap(0, Ordering::Relaxed);
        if moved > 0 {
            self.writing.moved(moved);
        }
        let unwritten = self.transfer.unwritten();
        if unwritten == 0 {
            // Also where the last bytes were dropped, and not written.
            self.writing.moved(0);
            self.charge = None;
            return Poll::Pending;
        }
        if self.writing.poll_too_slow(cx).is_ready() {
            return Poll::Ready(());
        }
        let charged = self.charge.as_ref().map_or(0, |(_, bytes)| *bytes);
        let is_charged = self.transfer.is_charged.load(Ordering::Relaxed);
        if !is_charged && charged < unwritten && self.writing.is_waiting() {
            self.charge = None;
            match self.budget.charge_waiting(unwritten) {
                Some(charge) => self.charge = Some((charge, unwritten)),
                None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
