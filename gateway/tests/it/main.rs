//! The real gateway before services that are played.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acme;
mod authority;
mod cache;
mod compression;
mod limits;
mod protocol;
mod proxying;
mod smuggling;
mod stopping;
mod stub;
mod timeouts;
mod tls;
