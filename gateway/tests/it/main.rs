//! Tests of the real gateway in front of stub services.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acme;
mod api_keys;
mod authority;
mod cache;
mod compression;
mod conformance;
mod event_streams;
mod limits;
mod protocol;
mod proxying;
mod smuggling;
mod stopping;
mod stub;
mod timeouts;
mod tls;

use testkit::TestService;

/// Starts the gateway on a free port.
async fn start(mut config: gateway::Config) -> TestService {
    config.listen.set_port(0);
    TestService::start_with(config, "gateway", gateway::open, &[]).await
}
