//! Redirects plain HTTP to HTTPS.
//!
//! A host that the certificate does not name is refused: a redirect to any `Host` that a
//! client sends would let a cache in between lead its visitors elsewhere.
//!
//! **Invariant:** every response is a redirect to a name of the certificate or a refusal, one
//! per connection, and no connection lives longer than [`TIMEOUT`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::Problem;
use chassis::request_id::request_id;
use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Certificates;
use crate::body::{Body, page};
use crate::target::is_authority;

/// Timeout of a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Concurrent connections; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;

const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const HTTPS_PORT: u16 = 443;

/// Where requests are redirected to.
#[derive(Clone)]
pub(crate) struct RedirectTarget {
    /// Their names are the hosts.
    pub(crate) certificates: Arc<Certificates>,
    /// The port of HTTPS.
    pub(crate) port: u16,
}

/// Redirects every request to HTTPS on the same host, until `stop`.
pub(crate) async fn serve(listener: TcpListener, to: RedirectTarget, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let to = to.clone();
                    let service = service_fn(move |request| {
                        let response = respond(&request, &to);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let connection = http.serve_connection(TokioIo::new(stream), service);
                    connections.spawn(tokio::time::timeout(TIMEOUT, connection));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection to redirect could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn respond(request: &Request<Incoming>, to: &RedirectTarget) -> Response<Body> {
    let id = request_id(request.headers());
    let refused = match target(request, to.port) {
        Some((host, target)) if to.certificates.is_for(&host) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, target);
            return response;
        }
        Some((host, _)) => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "Another host's request",
            format!("this shop's certificate does not name `{host}`"),
        ),
        None => Problem::bad_request(
            "the request needs a path that starts with / and exactly one Host header",
        ),
    };
    page(refused.render(&id.0))
}

/// The host, and the same target over HTTPS, with the port unless it is the default.
fn target<B>(request: &Request<B>, port: u16) -> Option<(String, HeaderValue)> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, None) = (hosts.next()?, hosts.next()) else {
        return None;
    };
    let host = host.to_str().ok().filter(|host| is_authority(host))?;
    let authority = Authority::try_from(host).ok()?;
    let path = request.uri().path_and_query()?.as_str();
    if !path.starts_with('/') {
        return None;
    }
    let host = authority.host();
    let target = match port {
        HTTPS_PORT => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    Some((host.to_owned(), target.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_host_path_and_query() {
        let to = |host: &str, path: &str, port| {
            let request = Request::get(path).header(HOST, host).body(()).unwrap();
            let (_, target) = target(&request, port)?;
            Some(target.to_str().unwrap().to_owned())
        };
        let place = Some("https://shop.test/v1/products?q=a%20b".to_owned());
        assert_eq!(to("shop.test:80", "/v1/products?q=a%20b", 443), place);
        let place = Some("https://[::1]:8443/".to_owned());
        assert_eq!(to("[::1]", "/", 8443), place);
        assert_eq!(to("shop.test/@evil.test", "/", 443), None);
        assert_eq!(to("user@evil.test", "/", 443), None);
        assert_eq!(to("shop.test", "*", 443), None);
    }
}
