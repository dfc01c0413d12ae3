//! Payments: the methods that the shop offers, attempts to pay, and what providers say.
//!
//! | module | holds |
//! | --- | --- |
//! | `methods` | the methods that the settings offer |
//! | `attempts` | choosing a method for an order, and what was tried and refunded |
//! | `providers` | payment providers: their calls and webhooks |
//! | `refunds` | refunds that a provider is asked for |
//! | `webhook` | the signed webhook: verification, the transaction of a message |
//! | `revival` | orders that expired and were paid after that |
//! | `unmatched` | money that pays no order |
//! | `tables`, `wire`, `http` | as in the whole service |
//!
//! **Invariant:** money that was received pays an order or is listed as unmatched, with its
//! provider's reference, and staff are told; no message that is signed is refused.

pub(crate) mod attempts;
pub(crate) mod http;
pub(crate) mod methods;
pub(crate) mod parts;
pub(crate) mod providers;
pub(crate) mod refunds;
pub(crate) mod revival;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod unmatched;
pub(crate) mod webhook;
mod wire;
