//! Speaks to a running service through its control socket.
//!
//! Whoever can open the socket owns the data folder; that is all the permission
//! there is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, client};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// The longest a command waits: an import of a small catalogue on a slow card.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Posts a body and returns the JSON answer, whatever its status.
pub(crate) async fn post(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    let exchange = exchange(socket, path, content_type, body.into());
    let (status, answer) = tokio::time::timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("{}: no answer", socket.display()))??;
    let body = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    Ok(Answer { status, body })
}

async fn exchange(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| socket.display().to_string())?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header("host", "control")
        .header("content-type", content_type)
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    Ok((status, answer))
}
