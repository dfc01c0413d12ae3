//! Client of the services' control sockets.
//!
//! The permissions of the data folder are the only access control: a process that can open
//! the socket may send any command. If the service is not running, the command starts it
//! for its own duration, so that the same code of the service does the work in either case.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, client};
use hyper_util::rt::TokioIo;
use mesh::{InProcessNetwork, Mesh};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::service_name::ServiceName;
use crate::services::Running;
use crate::shop::{ShopArgs, check_owner};

/// Timeout of a command: an import of a small catalogue to a slow memory card.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The response of a service.
pub(crate) struct ControlResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl ControlResponse {
    /// The body, unless the service refused.
    pub(crate) fn accepted(self) -> anyhow::Result<Self> {
        if !self.status.is_success() {
            let refusal = self.body["detail"].as_str();
            bail!(
                "{}",
                refusal.unwrap_or("the service refused the command without a reason")
            );
        }
        Ok(self)
    }
}

/// Runs `talk` with the service users; see [`with`].
pub(crate) async fn with_users<T>(
    shop: &ShopArgs,
    talk: impl AsyncFn(&Folder) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with(ServiceName::Users, shop, talk).await
}

/// Runs `talk`, which sends commands to a service; starts the service alone for it if it is
/// not running.
pub(crate) async fn with<T>(
    service: ServiceName,
    shop: &ShopArgs,
    talk: impl AsyncFn(&Folder) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // Any free port: the configured one may be in use, and no client should connect.
    let (folder, config) = shop.open("warn", Some((Ipv4Addr::LOCALHOST, 0).into()))?;
    match talk(&folder).await {
        Err(error) if is_at_rest(&error) => {}
        outcome => return outcome,
    }
    check_owner(&folder)?;
    // The command's work is all that is to happen.
    let folder = folder.quiet();
    let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), folder.shop());
    let stop = CancellationToken::new();
    let mut running = Running::start(&[service], &folder, &config, &mesh, stop).await?;
    let outcome = talk(&folder).await;
    running.end().await?;
    outcome
}

/// Whether the error means that no process serves the socket.
pub(crate) fn is_at_rest(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| {
            matches!(
                cause.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            )
        })
}

/// Sends a command to users and returns the JSON response, whatever its status.
pub(crate) async fn ask_users(
    folder: &Folder,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<ControlResponse> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let kind = "application/json";
    send(
        &folder.control_socket("users"),
        method,
        path,
        kind,
        body.into(),
    )
    .await
}

/// Posts a body and returns the JSON response, whatever its status.
pub(crate) async fn post(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> anyhow::Result<ControlResponse> {
    send(socket, Method::POST, path, content_type, body.into()).await
}

/// Asks for a text.
pub(crate) async fn text(socket: &Path, path: &str) -> anyhow::Result<String> {
    let nothing = Full::new(Bytes::new());
    let (_, body) = exchange(socket, Method::GET, path, "text/plain", nothing).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Sends a command without a timeout, for example a check of all data.
pub(crate) async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
) -> anyhow::Result<ControlResponse> {
    let nothing = Full::new(Bytes::new());
    let exchange = exchange(socket, method, path, "application/json", nothing);
    Ok(json(exchange.await?))
}

/// Posts a streamed body without a timeout; the service ends a stream that makes no
/// progress.
pub(crate) async fn stream<B>(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: B,
) -> anyhow::Result<ControlResponse>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Pinned on the heap, because a stream may not be `Unpin`.
    let body = Box::pin(body);
    let exchange = exchange(socket, Method::POST, path, content_type, body);
    Ok(json(exchange.await?))
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    content_type: &str,
    body: Bytes,
) -> anyhow::Result<ControlResponse> {
    let exchange = exchange(socket, method, path, content_type, Full::new(body));
    let exchanged = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .with_context(|| {
            format!(
                "{}: no response within {} s",
                socket.display(),
                TIMEOUT.as_secs()
            )
        })?;
    Ok(json(exchanged?))
}

fn json((status, body): (StatusCode, Bytes)) -> ControlResponse {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    ControlResponse { status, body }
}

/// A response that is read as it arrives.
pub(crate) struct ControlStream {
    pub(crate) body: Incoming,
    /// Drives the connection for as long as the body is read.
    _connection: AbortOnDrop,
}

/// Asks for a response that is read as it arrives.
pub(crate) async fn open_stream(socket: &Path, path: &str) -> anyhow::Result<ControlStream> {
    let nothing = Full::new(Bytes::new());
    let (response, connection) =
        begin(socket, Method::GET, path, "application/json", nothing).await?;
    let (status, body) = (response.status(), response.into_body());
    if !status.is_success() {
        let body = body.collect().await?.to_bytes();
        json((status, body)).accepted()?;
        bail!("{}: the service responded with {status}", socket.display());
    }
    Ok(ControlStream { body, _connection: connection })
}

async fn exchange<B>(
    socket: &Path,
    method: Method,
    path: &str,
    content_type: &str,
    body: B,
) -> anyhow::Result<(StatusCode, Bytes)>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (response, _connection) = begin(socket, method, path, content_type, body).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// Sends a request; returns its response with the task of the connection.
async fn begin<B>(
    socket: &Path,
    method: Method,
    path: &str,
    content_type: &str,
    body: B,
) -> anyhow::Result<(Response<Incoming>, AbortOnDrop)>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| socket.display().to_string())?;
    let stream = TokioIo::new(AnswerFirst { stream, is_closed: false });
    let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
    let connection = AbortOnDrop(tokio::spawn(async move {
        // A failure shows in the response.
        let _ = connection.await;
    }));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "control")
        .header("content-type", content_type)
        .body(body)?;
    Ok((sender.send_request(request).await?, connection))
}

/// A task that ends when this is dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection whose response counts, even if the service sent it and closed before it had
/// read the whole request: what is written from then on is dropped. hyper would report the
/// broken pipe in place of the response that waits to be read.
struct AnswerFirst {
    stream: UnixStream,
    /// Whether the service reads nothing any more.
    is_closed: bool,
}

impl AnswerFirst {
    /// Takes a write to a closed connection for done.
    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(error))
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                self.is_closed = true;
                Poll::Ready(Ok(bytes))
            }
            result => result,
        }
    }
}

impl AsyncRead for AnswerFirst {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for AnswerFirst {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(result, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixListener;

    use super::*;

    /// A refusal that is sent before the request was read is the response, however much of the
    /// request is still to be written.
    #[tokio::test]
    async fn an_early_response_is_read() {
        const REFUSAL: &[u8] =
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let service = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(REFUSAL).await.unwrap();
            }
        });
        for _ in 0..100 {
            let piece = || Ok::<_, io::Error>(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])));
            let body = futures::stream::iter((0..16).map(move |_| piece()));
            let response = stream(&socket, "/", "text/csv", StreamBody::new(body))
                .await
                .unwrap();
            assert_eq!(response.status, StatusCode::BAD_REQUEST);
        }
        service.abort();
    }
}
