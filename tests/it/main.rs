//! System tests: the real binary, used over HTTP like customers and staff do, and killed
//! during requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod choreography;
mod cli;
mod contract;
mod full;
mod kill;
mod operating;
mod people;
mod responses;
mod restart;
mod rollback;
mod signals;
mod tidy;
mod walk;
mod world;
