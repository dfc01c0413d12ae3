//! Orders as a client sees it, with products played by its log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod payments;
mod placing;
mod shop;
mod steps;
