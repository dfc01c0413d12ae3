//! HTTP/2 by h2: a connection that several workers share, each with a stream of its own.
//!
//! **Invariant:** a connection that failed is replaced by the next request, and by one alone.

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use h2::RecvStream;
use h2::client::SendRequest;
use http::Request;
use http::header::{LOCATION, RETRY_AFTER};
use tokio::sync::Mutex;

use super::request::{LoadRequest, LoadResponse};
use super::target::LoadTarget;

/// A response's body, as for HTTP/1.1.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The connection, if one is open.
#[derive(Default)]
pub(super) struct Http2Connection(Mutex<Option<SendRequest<Bytes>>>);

/// The latest response of a worker's own stream.
#[derive(Default)]
pub(super) struct Http2Stream {
    body: BytesMut,
    location: Option<String>,
}

impl Http2Connection {
    /// Opens the connection unless it is open.
    pub(super) async fn open(&self, target: &LoadTarget) -> io::Result<SendRequest<Bytes>> {
        let mut sender = self.0.lock().await;
        if let Some(sender) = &*sender {
            let ready = sender.clone().ready().now_or_never();
            if ready.is_none_or(|ready| ready.is_ok()) {
                return Ok(sender.clone());
            }
        }
        let stream = target.stream().await?;
        let shaken = h2::client::Builder::new()
            // Answers of a page of search results must not wait for a window.
            .initial_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(stream);
        let (opened, connection) = shaken.await.map_err(io::Error::other)?;
        // Its failure is that of its streams.
        tokio::spawn(async move { drop(connection.await) });
        *sender = Some(opened.clone());
        Ok(opened)
    }

    /// Sends a request on a stream of its own and reads the response to the end.
    pub(super) async fn exchange<'a>(
        &self,
        target: &LoadTarget,
        stream: &'a mut Http2Stream,
        request: &LoadRequest,
    ) -> io::Result<LoadResponse<'a>> {
        let sender = self.open(target).await?;
        let sent = send(sender, target, request).await;
        if sent.is_err() {
            *self.0.lock().await = None;
        }
        let (head, mut body) = sent.map_err(io::Error::other)?.into_parts();
        stream.body.clear();
        while let Some(part) = body.data().await {
            let part = part.map_err(io::Error::other)?;
            let freed = body.flow_control().release_capacity(part.len());
            freed.map_err(io::Error::other)?;
            stream.body.extend_from_slice(&part);
            if stream.body.len() > BODY_BYTES_MAX {
                return Err(io::Error::other("a response is too long"));
            }
        }
        let text = |name| head.headers.get(name)?.to_str().ok();
        stream.location = text(LOCATION.as_str()).map(str::to_owned);
        Ok(LoadResponse {
            status: head.status.as_u16(),
            location: stream.location.as_deref(),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()),
            is_replayed: text("idempotency-replayed") == Some("true"),
            body: &stream.body,
        })
    }
}

async fn send(
    sender: SendRequest<Bytes>,
    target: &LoadTarget,
    request: &LoadRequest,
) -> Result<http::Response<RecvStream>, h2::Error> {
    let LoadRequest { method, path, fields, body } = request;
    let mut sender = sender.ready().await?;
    let uri = format!("{}://{}{path}", target.scheme(), target.host());
    let mut head = Request::builder().method(*method).uri(uri);
    for field in fields.lines() {
        if let Some((name, value)) = field.split_once(": ") {
            head = head.header(name, value);
        }
    }
    // Only a scenario's own mistake makes a request that cannot be sent.
    let head = head.body(()).expect("a request's fields are valid");
    let (response, mut sending) = sender.send_request(head, body.is_empty())?;
    if !body.is_empty() {
        sending.reserve_capacity(body.len());
        let mut rest = Bytes::copy_from_slice(body.as_bytes());
        while !rest.is_empty() {
            let granted = poll_fn(|context| sending.poll_capacity(context)).await;
            let granted = granted.transpose()?.unwrap_or_default().min(rest.len());
            let part = rest.split_to(granted);
            sending.send_data(part, rest.is_empty())?;
        }
    }
    response.await
}
