//! System tests: the real binary, used over HTTP like customers and staff do, and killed
//! during requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api_keys;
mod backup;
mod cache;
mod checkout;
mod choreography;
mod cli;
mod contract;
mod damage;
mod edges;
mod full;
mod kill;
mod mail_sink;
mod monitoring;
mod nginx;
mod operating;
mod operator;
mod packaging;
mod payments;
mod people;
mod responses;
mod restart;
mod rollback;
mod settings;
mod setup;
mod signals;
mod supervision;
mod takeover;
mod tidy;
mod trimmed;
mod unread;
mod upgrade;
mod walk;
mod world;

/// Reads a parameter of a run, such as its seed or its size, from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file"
)]
fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number_from_env(name: &str) -> Option<u64> {
    from_env(name)?.parse().ok()
}
