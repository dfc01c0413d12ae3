//! The HTTP interface of orders, with a test double for products.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod carts;
mod commands;
mod guests;
mod payments;
mod placing;
mod providers;
mod queries;
mod settlement;
mod shop;
mod staff;
mod terms;
mod totals;
