//! The interface of transports, and [`Mesh`], one shop's use of one.
//!
//! Two implementations pass one test suite: Zenoh, and an in-process one that loses,
//! duplicates, delays and reorders messages by a seed.
//!
//! **Invariant:** a transport does not promise delivery, and no layer above relies on it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

/// Carries messages between the services of one shop.
pub trait Transport: Send + Sync + 'static {
    /// Sends a message to the present subscribers of `topic`. It may be lost, and never
    /// waits for a slow receiver.
    fn publish<'a>(
        &'a self,
        topic: &'a str,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Receives the messages of `topic` from now on. A message that does not fit into the
    /// subscription's queue is dropped.
    fn subscribe<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Vec<u8>>, TransportError>>;

    /// Queries the server of `topic`; `None` without a reply within `timeout`.
    fn ask<'a>(
        &'a self,
        topic: &'a str,
        question: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// Receives the queries of `topic`.
    fn serve<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Question>, TransportError>>;

    /// Makes `key` visible for as long as the returned guard and this process live.
    fn declare_alive<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Guard, TransportError>>;

    /// Reports every key below `prefix` that is alive now or later, and when it is gone.
    /// `seen` is called on a transport thread and must not block.
    fn watch_alive<'a>(
        &'a self,
        prefix: &'a str,
        seen: Box<dyn Fn(Sighting) + Send + Sync>,
    ) -> BoxFuture<'a, Result<Guard, TransportError>>;

    /// How long a key may stay visible after its guard was dropped.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// Ends a declaration when it is dropped.
pub type Guard = Box<dyn Any + Send + Sync>;

/// The most messages queued in a subscription; further ones are dropped and recovered from
/// the log.
pub(crate) const SUBSCRIPTION_MESSAGES_MAX: usize = 256;

/// A queue of messages that ends with its guard.
pub struct Subscription<T> {
    /// The messages, in order of arrival.
    pub messages: flume::Receiver<T>,
    /// Ends the subscription when dropped.
    pub guard: Guard,
}

/// A query, and the channel of its reply.
pub struct Question {
    /// The query's bytes.
    pub body: Vec<u8>,
    /// Sends the reply.
    pub reply: Box<dyn FnOnce(Vec<u8>) -> BoxFuture<'static, ()> + Send>,
}

/// A key that became visible or is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The key, whole.
    pub key: String,
    /// Its present state.
    pub state: Liveliness,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveliness {
    /// Its guard and process live.
    Alive,
    /// Its guard was dropped or its process is gone.
    Gone,
}

/// The transport refused or failed, with its own message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("mesh: {0}")]
pub struct TransportError(pub String);

/// One shop's mesh: a transport, with the shop's name in every topic, so that two shops on
/// one network stay apart.
#[derive(Clone)]
pub struct Mesh {
    transport: Arc<dyn Transport>,
    shop: Arc<str>,
}

impl Mesh {
    /// The mesh of `shop` over `transport`.
    pub fn new(transport: Arc<dyn Transport>, shop: &str) -> Self {
        Self { transport, shop: shop.into() }
    }

    /// The transport.
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// `konbini/<shop>/<kind>/<owner>`.
    pub(crate) fn topic(&self, kind: &str, owner: &str) -> String {
        format!("konbini/{}/{kind}/{owner}", self.shop)
    }

    pub(crate) fn live_prefix(&self) -> String {
        format!("konbini/{}/live", self.shop)
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({})", self.shop)
    }
}
