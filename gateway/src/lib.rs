//! The gateway: the one public address of a shop, bare hyper in front of the services.
//!
//! A request's framing is checked, its row of the route table found, its token and its
//! limits checked; then it is streamed to an instance of the service, and the response is
//! streamed back. The services check tokens again and trust no header of the gateway's.
//!
//! | module | holds |
//! | --- | --- |
//! | `config` | the section `[gateway]` |
//! | `listen` | the listening sockets, bound or inherited from systemd |
//! | `workers` | the worker threads, one per core |
//! | `server` | accepting connections, and the graceful shutdown |
//! | `connection` | HTTP/1.1 and HTTP/2 over one connection, in the clear or over TLS |
//! | `tls` | certificates, and ACME |
//! | `proxy` | forwarding of requests and responses |
//! | `api_keys` | the exchange of API keys for access tokens |
//! | `routing` | the row and the service of a request |
//! | `client` | the client address, also behind trusted proxies |
//! | `limits` | rate limits, limits of connections and streams, and the send budget |
//! | `progress_timeout`, `transfer` | timeouts of slow clients, and of stalled HTTP/2 streams |
//! | `shed` | load shedding |
//! | `access` | the access log |
//! | `wire` | the scanner of heads, for framing that hyper does not report |
//! | `headers`, `target`, `query`, `methods` | checks of header fields, request targets, query parameters and methods |
//! | `compress` | compression of responses |
//! | `cors` | cross-origin requests |
//! | `cache` | the response cache |
//! | `request_body`, `body` | bodies in both directions, bounded and streamed |
//! | `upstream` | instances of services, load balancing and connection pools |
//! | `pages`, `aggregate` | the gateway's pages: health, API, console, and the whole shop |
//! | `event_streams` | the events of all services as one stream |
//! | `readiness`, `scrape`, `monitoring` | readiness and metrics of the whole shop, and the dead man's switch |
//! | `metrics`, `error` | the gateway's own metrics, and errors as problem documents |
//!
//! The gateway writes no events and stores nothing but the keys and revocations that every
//! service follows.
//!
//! **Invariants:** nothing reaches a service under invalid credentials; a client's request
//! becomes one request to one service, repeated only when that cannot do anything twice;
//! routing, the token rule and the service see the same target; every refusal is a problem
//! document.

use std::sync::Arc;

use chassis::context::{Context, OpenedService, Server};
use chassis::{Opening, backup_state};

mod access;
mod aggregate;
mod api_keys;
mod body;
mod cache;
mod client;
mod compress;
pub mod config;
mod connection;
mod cors;
mod error;
mod event_streams;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod limits;
mod listen;
mod methods;
mod metrics;
mod monitoring;
mod pages;
mod progress_timeout;
mod proxy;
mod query;
mod readiness;
mod request_body;
mod routing;
mod scrape;
mod server;
mod shed;
mod target;
mod tls;
mod transfer;
mod upstream;
mod wire;
mod workers;

pub use config::Config;

pub use error::Error;
pub use tls::{CertificateSummary, certificate};

/// Any error of which only the text matters.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

use cache::ResponseCache;
use proxy::Proxy;
use serde_json::json;
use upstream::Upstreams;
use workers::Workers;

/// Shows the state of backups in the status and the metrics, and warns of a fault.
fn watch_backups(ctx: &Context) {
    let (shown, folder) = (ctx.folder.clone(), ctx.folder.clone());
    ctx.status
        .report("backup", move || json!(backup_state::read(&shown)));
    let expected = ctx.config.backup.clone();
    ctx.collectors
        .add(metrics::backup_collector(&ctx.folder, &expected));
    ctx.health.warn(move || {
        let state = backup_state::read(&folder);
        let fault = state.fault(&expected, model::now())?;
        Some(match state.error {
            Some(error) => format!("{fault}: {error}"),
            None => fault.to_string(),
        })
    });
}

/// Opens the gateway at the configured address or an inherited socket.
///
/// # Errors
/// When the address cannot be bound, the configured certificate cannot be used, or the mesh
/// refuses the discovery of services.
pub fn open(ctx: Context, config: Config) -> Opening {
    Box::pin(async move {
        let sockets = listen::Sockets::open(&config).await?;
        let tls = tls::Tls::open(&ctx, &config)?;
        let upstreams = Upstreams::watch(&ctx).await?;
        let cache = ResponseCache::open(&ctx, config.cache.bytes()).await?;
        monitoring::start(&ctx, &config.monitoring, &upstreams)?;
        let gateway = Proxy::new(&ctx, &config, upstreams, cache);
        watch_backups(&ctx);
        let workers = Workers::start().map_err(|why| {
            chassis::Error::Service(format!("the worker threads cannot be started: {why}"))
        })?;
        workers.supervise(&ctx.supervision);
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
