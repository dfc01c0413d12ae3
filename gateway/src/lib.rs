//! The gateway: the one public address of a shop, bare hyper in front of the services.
//!
//! A request's framing is checked, its row of the route table found, its token and its
//! limits checked; then it is streamed to an instance of the service, and the response is
//! streamed back. The services check tokens again and trust no header of the gateway's.
//!
//! | module | holds |
//! | --- | --- |
//! | `config` | the section `[gateway]` |
//! | `listen` | the listening sockets: its own, or systemd's |
//! | `workers` | the threads that connections live on |
//! | `server` | connections: their number, their timeouts, their end |
//! | `connection` | HTTP/1.1 and HTTP/2 over one connection, in the clear or over TLS |
//! | `tls` | certificates, and ACME |
//! | `proxy` | a request's way to a service and back |
//! | `routing` | the row and the service of a request |
//! | `client` | the address of a client, also behind trusted proxies |
//! | `limits` | rates, connections and streams of a client and of all |
//! | `progress_timeout`, `timer` | slow clients, and the timer of a connection |
//! | `shed` | load shedding |
//! | `access` | the access log |
//! | `wire` | the framing of a head, which hyper hides |
//! | `headers`, `target`, `methods` | header fields, request targets and methods that pass |
//! | `compress` | compression of responses |
//! | `cors` | cross-origin requests |
//! | `cache` | the cache of public responses |
//! | `request_body`, `body` | bodies in both directions, bounded and never collected |
//! | `upstream` | instances of services, and the connection pools to them |
//! | `pages`, `aggregate` | its own pages: health, API, console, and the shop as a whole |
//! | `metrics`, `error` | metrics, and errors as problem documents |
//!
//! The gateway writes no events and stores nothing but the keys and revocations that every
//! service follows.
//!
//! **Invariants:** nothing reaches a service under invalid credentials; a client's request
//! becomes one request to one service, repeated only when that cannot do anything twice;
//! routing, the token rule and the service see the same target; every refusal is a problem
//! document.

use std::sync::Arc;

use chassis::Opening;
use chassis::context::{Context, OpenedService, Server};

mod access;
mod aggregate;
mod body;
mod cache;
mod client;
mod compress;
pub mod config;
mod connection;
mod cors;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod limits;
mod listen;
mod methods;
mod metrics;
mod pages;
mod progress_timeout;
mod proxy;
mod request_body;
mod routing;
mod server;
mod shed;
mod target;
mod timer;
mod tls;
mod upstream;
mod wire;
mod workers;

pub use config::Config;

pub use error::Error;

/// Any error, where only its text matters.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

use cache::ResponseCache;
use proxy::Proxy;
use upstream::Upstreams;
use workers::Workers;

/// Opens the gateway at the configured address, or at the socket it was handed.
///
/// # Errors
/// When it cannot listen there, there is no certificate where one is wanted, or the
/// mesh refuses to show who is alive.
pub fn open(ctx: Context, config: Config) -> Opening {
    Box::pin(async move {
        let sockets = listen::Sockets::open(&config).await?;
        let tls = tls::Tls::open(&ctx, &config)?;
        let upstreams = Upstreams::watch(&ctx).await?;
        let cache = ResponseCache::open(&ctx, config.cache.bytes()).await?;
        let gateway = Proxy::new(&ctx, &config, upstreams, cache);
        let workers = Workers::start()
            .map_err(|why| chassis::Error::Service(format!("no threads for connections: {why}")))?;
        let redirect = sockets.redirect;
        let server: Server = Box::new(move |listener, stop| {
            let gateway = Arc::new(gateway);
            Box::pin(server::serve(
                listener, redirect, gateway, tls, workers, stop,
            ))
        });
        Ok(OpenedService::custom(ctx, sockets.shop, server))
    })
}
