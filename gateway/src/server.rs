//! The connections: their number, their timeouts, and the graceful shutdown.
//!
//! **Invariants:** at most the configured number is open: further connections wait in the
//! kernel's queue, and those of an address at its limit are closed at once; a client that is
//! too slow to send a head or to read is disconnected; once a stop is requested, no
//! connection is accepted, open ones end gracefully (`connection`), and those that are left
//! after [`DRAIN_TIMEOUT`] are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::limits::DRAIN_TIMEOUT;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Peer;
use crate::connection::ConnectionServer;
use crate::proxy::Proxy;
use crate::tls::Tls;
use crate::tls::redirect::{self, RedirectTarget};
use crate::workers::Workers;

/// The largest head of a request, in bytes: the longest token and an ample query.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// The buffer of a connection, in bytes: a head, or a piece of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The pause after a connection could not be accepted, most likely for want of file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the listener's connections until `stop`, then drains them.
pub(crate) async fn serve(
    listener: TcpListener,
    redirect: Option<TcpListener>,
    gateway: Arc<Proxy>,
    tls: Option<Tls>,
    workers: Workers,
    stop: CancellationToken,
) {
    let limits = gateway.limits().clone();
    let connections_max = limits.settings().connections as usize;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.settings().head_timeout())
        .max_header_size(HEAD_BYTES_MAX as usize)
        .max_buf_size(BUFFER_BYTES_MAX);
    let certificates = tls.as_ref().map(Tls::certificates);
    let server = Arc::new(ConnectionServer::new(
        http,
        HEAD_BYTES_MAX,
        tls,
        limits.clone(),
        gateway.cors().of_unread(),
    ));
    let refused =
        metrics::counter!("konbini_gateway_connections_refused_total", "service" => "gateway");
    let mut connections = JoinSet::new();
    if let (Some(redirect), Some(certificates), Ok(secure)) =
        (redirect, certificates, listener.local_addr())
    {
        let target = RedirectTarget { certificates, port: secure.port() };
        connections.spawn(redirect::serve(redirect, target, stop.clone()));
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
            accepted = listener.accept(), if connections.len() < connections_max => match accepted {
                Ok((stream, address)) => match limits.connection(address.ip()) {
                    Some(place) => {
                        let (server, gateway, stop) = (server.clone(), gateway.clone(), stop.clone());
                        let spawned = workers.spawn(&mut connections, stream, move |stream| async move {
                            connection(server, stream, address, gateway, stop).await;
                            drop(place);
                        });
                        if let Err(error) = spawned {
                            tracing::warn!(%error, "a connection could not be served");
                        }
                    }
                    None => refused.increment(1),
                },
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let ended = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
    if ended.is_err() {
        // Dropping the set closes the remaining connections.
        tracing::warn!(
            connections = connections.len(),
            "the drain timed out; the remaining connections are closed"
        );
    }
}

async fn connection(
    server: Arc<ConnectionServer>,
    stream: TcpStream,
    address: SocketAddr,
    gateway: Arc<Proxy>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "nodelay");
    }
    let peer = Peer::new(address);
    let share = gateway.limits().send_budget().connection_share();
    // Boxed, because the future is large and moved several times before it runs.
    let handler = move |framing, request| {
        let source = (peer.clone(), share.clone());
        Box::pin(gateway.clone().handle(source, framing, request))
    };
    if let Err(error) = server.serve(stream, stop, handler).await {
        tracing::debug!(%error, %address, "a connection ended early");
    }
}
