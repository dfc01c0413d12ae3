//! Speaks to a service through its control socket.
//!
//! Whoever can open the socket owns the data folder; that is all the permission
//! there is. Beside a running shop the service is there; on a data folder at rest
//! it is run for as long as the conversation takes. Either way the same code does
//! what was asked.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::{Method, Request, StatusCode, client};
use hyper_util::rt::TokioIo;
use mesh::{InProcessNetwork, Mesh};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::service_name::ServiceName;
use crate::services::Running;
use crate::shop::ShopArgs;

/// The longest a command waits: an import of a small catalogue on a slow card.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A service's control socket.
pub(crate) fn socket(folder: &Folder, service: &str) -> PathBuf {
    folder.path().join(service).join("control.sock")
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, unless the service refused.
    pub(crate) fn accepted(self) -> anyhow::Result<Self> {
        if !self.status.is_success() {
            let refusal = self.body["detail"].as_str();
            bail!("{}", refusal.unwrap_or("the service refused"));
        }
        Ok(self)
    }
}

/// Has a conversation with users, which is run for it if it does not run.
pub(crate) async fn with_users<T>(
    shop: &ShopArgs,
    talk: impl AsyncFn(&Folder) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with(ServiceName::Users, shop, talk).await
}

/// Has a conversation with a service, which is run for it, alone, if it does not
/// run.
pub(crate) async fn with<T>(
    service: ServiceName,
    shop: &ShopArgs,
    talk: impl AsyncFn(&Folder) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // The gateway's own door may be taken, and nobody is to come in.
    let (folder, config) = shop.open("warn", Some((Ipv4Addr::LOCALHOST, 0).into()))?;
    match talk(&folder).await {
        Err(error) if is_at_rest(&error) => {}
        outcome => return outcome,
    }
    let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), folder.shop());
    let stop = CancellationToken::new();
    let mut running = Running::start(&[service], &folder, &config, &mesh, stop).await?;
    let outcome = talk(&folder).await;
    running.end().await?;
    outcome
}

/// Nobody serves the socket: the shop is not running.
fn is_at_rest(error: &anyhow::Error) -> bool {
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

/// Asks users something and returns the JSON answer, whatever its status.
pub(crate) async fn ask_users(
    folder: &Folder,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Answer> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let kind = "application/json";
    send(&socket(folder, "users"), method, path, kind, body.into()).await
}

/// Posts a body and returns the JSON answer, whatever its status.
pub(crate) async fn post(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    send(socket, Method::POST, path, content_type, body.into()).await
}

/// Asks for something that may take its time, such as a check of everything.
pub(crate) async fn ask(socket: &Path, method: Method, path: &str) -> anyhow::Result<Answer> {
    let nothing = Full::new(Bytes::new());
    let exchange = exchange(socket, method, path, "application/json", nothing);
    Ok(answer(exchange.await?))
}

/// Posts a body as it comes. What is streamed may take as long as it moves; the
/// service ends it when it does not.
pub(crate) async fn stream<B>(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: B,
) -> anyhow::Result<Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A stream may hold itself in place only on the heap.
    let body = Box::pin(body);
    let exchange = exchange(socket, Method::POST, path, content_type, body);
    Ok(answer(exchange.await?))
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    content_type: &str,
    body: Bytes,
) -> anyhow::Result<Answer> {
    let exchange = exchange(socket, method, path, content_type, Full::new(body));
    let exchanged = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .with_context(|| format!("{}: no answer", socket.display()))?;
    Ok(answer(exchanged?))
}

fn answer((status, body): (StatusCode, Bytes)) -> Answer {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status, body }
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
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| socket.display().to_string())?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "control")
        .header("content-type", content_type)
        .body(body)?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    Ok((status, answer))
}
