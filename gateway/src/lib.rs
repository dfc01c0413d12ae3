//! The shop's one door: bare hyper in front of all services.
//!
//! A request is checked for its framing, routed by its path's prefix, its token
//! is checked, and it is streamed to whoever is alive; the answer is streamed
//! back. Services check tokens again and believe no header of the gateway's.
//!
//! | module | holds |
//! | --- | --- |
//! | `routes` | which prefix belongs to which service, and its bounds |
//! | `listen` | where it listens: at its own sockets, or at some handed over |
//! | `workers` | the threads that connections live on |
//! | `server` | connections: their number, their timeout, their end |
//! | `door` | what a connection speaks: HTTP/1.1 or HTTP/2, in the clear or not |
//! | `tls` | certificates, and how they stay fresh |
//! | `proxy` | a request's way from the door to a service and back |
//! | `client` | who a request comes from, as far as an address tells |
//! | `limits` | how much of everything one client and all of them may have |
//! | `pace`, `alarm` | how slow a client may be, and when that is looked at |
//! | `shed` | what is refused when there is more to do than can be done |
//! | `access` | the access log |
//! | `wire` | what hyper does not tell of a connection's bytes |
//! | `headers`, `target`, `methods` | what passes between two connections, in which form, and what does not |
//! | `compress` | answers in fewer bytes |
//! | `cors` | what a browser's script may do |
//! | `cache` | public answers, kept for as long as they are so |
//! | `body` | bodies in both directions, bounded and never collected |
//! | `upstream` | who is where, and the warm connections to them |
//! | `pages`, `operating` | what it answers itself: health, the contract, the console, the shop as a whole |
//! | `metrics`, `error` | what was counted, and what went wrong |
//!
//! It answers its pages itself and everything in
//! `routes` by asking. It writes no events, keeps no state of its own beyond the
//! keys and revocations that every service follows.
//!
//! **Invariants:** nothing reaches a service under credentials that are not
//! believed; a client's request becomes one request to one service, repeated only
//! when that cannot do anything twice; routing, the token rule and the service see
//! one and the same target; every refusal is a problem document.

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
