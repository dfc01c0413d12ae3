//! Carts: what somebody is about to order, for guests as for accounts.
//!
//! A cart is opened by its token, which `POST /v1/carts` shows once, or by the account that it
//! belongs to. Claiming gives a guest's cart to an account and ends its token; an account has one
//! cart at most, so an earlier one is merged into it.
//!
//! A cart stores products and quantities and no price: it is priced at every read, by the
//! listings and the shop's terms of then. What cannot be sold stays in it with the reason.
//!
//! | bound | value | reason |
//! | --- | --- | --- |
//! | lines, units of one | as an order | it becomes one |
//! | codes | 10 | pricing tries their combinations |
//! | a cart | 16 KiB | follows from the others; half of the largest stored value |
//! | made from one network | 100 an hour | an office, and no flood |
//! | kept of a shop | 100,000 | some 100 MiB if all are large; beyond, the longest idle goes |
//! | idle | 30 days | people come back within a month |
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | the cart: its items and details, merging, its limits |
//! | `holder` | tokens, and who may open a cart |
//! | `tables` | rows, indexes, expiry |
//! | `changes` | making, changing and claiming a cart |
//! | `completing` | ordering what is in a cart |
//! | `quote` | the price of a cart now, and what keeps it from being ordered |
//! | `wire`, `responses` | request and response bodies |
//! | `http` | the handlers |
//! | `check` | the consistency check |
//!
//! **Invariants:** a cart is in no event and no log line; a token is stored as its MAC only; to
//! who does not hold it a cart is a 404, whether it exists or not.

mod changes;
pub(crate) mod check;
mod completing;
mod domain;
mod holder;
pub(crate) mod http;
mod quote;
mod responses;
pub(crate) mod tables;
mod wire;

use std::sync::Arc;

use chassis::mac::MacKey;

/// What the handlers of carts share.
pub(crate) struct Carts {
    key: Arc<MacKey>,
}

impl Carts {
    pub(crate) fn new(key: Arc<MacKey>) -> Self {
        Self { key }
    }
}
