//! A worker's connection: HTTP/1.1 of its own, or a stream of an HTTP/2 connection that it
//! shares.
//!
//! **Invariant:** a connection that failed, or that the other side closed while it was idle, is
//! replaced before the next request.

use std::io;
use std::rc::Rc;

use super::http1::Http1Connection;
use super::http2::{Http2Connection, Http2Stream};
use super::request::{LoadRequest, LoadResponse};
use super::target::{HttpVersion, LoadTarget};

/// A worker's connection.
pub(super) enum Connection {
    /// `None` before the first.
    Http1(Option<Box<Http1Connection>>),
    Http2(Rc<Http2Connection>, Http2Stream),
}

impl Connection {
    /// Those of so many workers, not open yet.
    pub(super) fn of_workers(workers: usize, version: HttpVersion) -> Vec<Self> {
        match version {
            HttpVersion::Http1 => (0..workers).map(|_| Self::Http1(None)).collect(),
            HttpVersion::Http2 { streams } => {
                let shared = (0..workers.div_ceil(streams)).map(|_| Rc::default());
                let shared: Vec<Rc<Http2Connection>> = shared.collect();
                let of = |worker: usize| {
                    Self::Http2(shared[worker / streams].clone(), Http2Stream::default())
                };
                (0..workers).map(of).collect()
            }
        }
    }

    /// Connects, unless the connection may be used.
    pub(super) async fn open(&mut self, target: &LoadTarget) -> io::Result<()> {
        match self {
            Self::Http2(shared, _) => drop(shared.open(target).await?),
            Self::Http1(slot) => {
                if !slot
                    .as_mut()
                    .is_some_and(|connection| connection.is_usable())
                {
                    let stream = target.stream().await?;
                    let connection = Http1Connection::new(stream, target.host().to_owned());
                    *slot = Some(Box::new(connection));
                }
            }
        }
        Ok(())
    }

    /// Sends a request and reads its response to the end.
    pub(super) async fn exchange(
        &mut self,
        target: &LoadTarget,
        request: &LoadRequest,
    ) -> io::Result<LoadResponse<'_>> {
        self.open(target).await?;
        match self {
            Self::Http2(shared, stream) => shared.exchange(target, stream, request).await,
            Self::Http1(slot) => {
                let connection = slot.as_mut().expect("it was opened");
                connection.exchange(request).await
            }
        }
    }
}
