//! A stub service: a liveliness token on the mesh, and HTTP on a port.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh::{Instance, Mesh, Presence};
use testkit::{TestService, eventually};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A complete request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type StubBody = UnsyncBoxBody<Bytes, Infallible>;

/// A function that responds instead of the stub.
type Script = Arc<dyn Fn(Seen) -> BoxFuture<'static, Response<StubBody>> + Send + Sync>;

/// The body of `…/large`, in bytes.
pub(crate) const LARGE_BYTES: usize = 200_000;

/// A stub service. It responds with 200, unless a segment of the path or the header `stub`
/// selects another behaviour: `…/broken` closes the connection, `…/hang` never responds, `…/drip`
/// sends a body that the test writes, `…/piecewise` reports the request's body chunk by
/// chunk, `…/early` responds after the first chunk of it, `…/large`, `…/secret` and
/// `…/events` have long bodies, `…/denied` and `OPTIONS` are 405.
pub(crate) struct Stub {
    inner: Arc<Inner>,
    _presence: Presence,
}

struct Inner {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Option<Script>>,
    broken: Mutex<usize>,
    hanging: Mutex<usize>,
    drip: Mutex<Option<mpsc::Receiver<Bytes>>>,
    pieces: mpsc::Sender<Bytes>,
    arrived: Mutex<mpsc::Receiver<Bytes>>,
}

impl Stub {
    /// Starts as `service` and waits until the gateway has discovered it.
    pub(crate) async fn start(test: &TestService, service: &'static str) -> Self {
        let stub = Self::declare(&test.mesh, service).await;
        let anyone = test.customer();
        let path = format!("/v1/{service}");
        eventually("the gateway has discovered the service", || async {
            anyone.get(&path).await.status == 200
        })
        .await;
        stub.inner.seen.lock().unwrap().clear();
        stub
    }

    /// Starts as `service`.
    pub(crate) async fn declare(mesh: &Mesh, service: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pieces, arrived) = mpsc::channel(16);
        let inner = Arc::new(Inner {
            seen: Mutex::default(),
            script: Mutex::default(),
            broken: Mutex::default(),
            hanging: Mutex::default(),
            drip: Mutex::default(),
            pieces,
            arrived: Mutex::new(arrived),
        });
        tokio::spawn(serve(listener, inner.clone()));
        let presence = Presence::declare(mesh, &Instance::new(service, address))
            .await
            .unwrap();
        Self { inner, _presence: presence }
    }

    /// Responds to every request by `script` from now on.
    pub(crate) fn respond_with<A>(&self, script: impl Fn(Seen) -> A + Send + Sync + 'static)
    where
        A: Future<Output = Response<StubBody>> + Send + 'static,
    {
        let script: Script = Arc::new(move |seen| Box::pin(script(seen)));
        *self.inner.script.lock().unwrap() = Some(script);
    }

    /// The complete requests received.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// The number of requests whose connection it closed.
    pub(crate) fn broken(&self) -> usize {
        *self.inner.broken.lock().unwrap()
    }

    /// The number of requests that it left hanging.
    pub(crate) fn hanging(&self) -> usize {
        *self.inner.hanging.lock().unwrap()
    }

    /// The sender of the body for the next `…/drip`.
    pub(crate) fn drip(&self) -> mpsc::Sender<Bytes> {
        let (sender, receiver) = mpsc::channel(1);
        *self.inner.drip.lock().unwrap() = Some(receiver);
        sender
    }

    /// The next chunk of a `…/piecewise` body.
    pub(crate) async fn piece(&self) -> Bytes {
        let mut arrived =
            std::mem::replace(&mut *self.inner.arrived.lock().unwrap(), mpsc::channel(1).1);
        let piece = arrived.recv().await.unwrap();
        *self.inner.arrived.lock().unwrap() = arrived;
        piece
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let inner = inner.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(inner.clone(), request));
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<StubBody>, String> {
    let (parts, mut body) = request.into_parts();
    let (path, header) = (parts.uri.path(), parts.headers.get("stub"));
    let asks = |name: &str| {
        let is_named = header.is_some_and(|header| header == name);
        is_named || path.split('/').any(|segment| segment == name)
    };
    if asks("broken") {
        *inner.broken.lock().unwrap() += 1;
        return Err("broken".into());
    }
    if asks("hang") {
        *inner.hanging.lock().unwrap() += 1;
        std::future::pending::<()>().await;
    }
    if asks("early") {
        body.frame().await;
        return Ok(Response::new(Full::default().boxed_unsync()));
    }
    if asks("drip") {
        let drops = inner.drip.lock().unwrap().take().ok_or("no drip")?;
        let frames = stream::unfold(drops, |mut drops| async move {
            let drop = drops.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(drop)), drops))
        });
        return Ok(Response::new(StreamBody::new(frames).boxed_unsync()));
    }
    if asks("piecewise") {
        while let Some(frame) = body.frame().await {
            let piece = frame
                .map_err(|error| error.to_string())?
                .into_data()
                .map_err(|_| "trailers")?;
            inner.pieces.send(piece).await.unwrap();
        }
    }
    if parts.method == Method::OPTIONS || asks("denied") {
        let problem = r#"{"type":"/problems/method-not-allowed","status":405,"instance":"1"}"#;
        let denied = Response::builder()
            .status(405)
            .header("allow", "GET,HEAD")
            .header("content-type", "application/problem+json");
        return Ok(denied.body(Full::from(problem).boxed_unsync()).unwrap());
    }
    usual(&inner, parts, body).await
}

/// Records the request and responds by its script, or with a page and its tag.
async fn usual(inner: &Inner, parts: Parts, body: Incoming) -> Result<Response<StubBody>, String> {
    let path = parts.uri.path();
    let (kind, rule, large) = match path.rsplit('/').next() {
        Some("large") => ("application/json", "public", true),
        Some("secret") => ("application/json", "private, no-store", true),
        Some("events") => ("text/event-stream", "public", true),
        _ => ("application/json", "public", false),
    };
    let is_known = parts.headers.get("if-none-match").is_some_and(|tags| {
        let tags = tags.to_str().unwrap();
        tags.split(',').any(|tag| tag.trim() == "\"1\"")
    });
    let answered = if large {
        vec![b'x'; LARGE_BYTES]
    } else {
        b"{\"ok\":true}".to_vec()
    };
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let seen = Seen {
        method: parts.method,
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: body.to_bytes(),
    };
    inner.seen.lock().unwrap().push(seen.clone());
    let script = inner.script.lock().unwrap().clone();
    if let Some(script) = script {
        return Ok(script(seen).await);
    }
    let status = if is_known { 304 } else { 200 };
    let answered = if is_known { Vec::new() } else { answered };
    let answer = Response::builder()
        .status(status)
        .header("etag", "\"1\"")
        .header("content-type", kind)
        .header("cache-control", rule)
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(Full::new(Bytes::from(answered)).boxed_unsync());
    Ok(answer.unwrap())
}
