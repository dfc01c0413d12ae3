//! The whole system: the real binary, used over HTTP as customers and staff would,
//! and killed in the middle.

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
mod tidy;
mod walk;
mod world;
