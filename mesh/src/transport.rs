//! What the mesh asks of whatever carries its messages.
//!
//! Two implementations pass one test suite: Zenoh, and an in-process one that
//! loses, doubles, delays and reorders by a seed. So nothing here promises
//! delivery, and nothing above relies on it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

/// Carries messages between the services of one shop.
pub trait Transport: Send + Sync + 'static {
    /// Sends a message to whoever subscribes to `topic` now. May be lost, never
    /// waits for a slow receiver.
    fn publish<'a>(
        &'a self,
        topic: &'a str,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Receives the messages of `topic` from now on. What does not fit into the
    /// subscription's queue is dropped.
    fn subscribe<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Vec<u8>>, TransportError>>;

    /// Asks whoever serves `topic`; `None` when nobody answered within
    /// `timeout`: not there, or not yet.
    fn ask<'a>(
        &'a self,
        topic: &'a str,
        question: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// Receives the questions asked of `topic`.
    fn serve<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Question>, TransportError>>;

    /// Lets others see `key` for as long as the returned guard and this process
    /// live.
    fn declare_alive<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Guard, TransportError>>;

    /// Reports every key below `prefix` that is alive now or later, and when it
    /// goes. `seen` is called on a transport thread: it must not wait.
    fn watch_alive<'a>(
        &'a self,
        prefix: &'a str,
        seen: Box<dyn Fn(Sighting) + Send + Sync>,
    ) -> BoxFuture<'a, Result<Guard, TransportError>>;

    /// For how long after a guard was dropped others may still see what it declared.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// Ends a declaration when it is dropped.
pub type Guard = Box<dyn Any + Send + Sync>;

/// How many messages may wait in a subscription; above it they are dropped, and
/// the log makes up for it.
pub(crate) const SUBSCRIPTION_MESSAGES_MAX: usize = 256;

/// A queue of messages that ends with its guard.
pub struct Subscription<T> {
    /// The messages, in order of arrival.
    pub messages: flume::Receiver<T>,
    /// Ends the subscription when dropped.
    pub guard: Guard,
}

/// A question and how to answer it.
pub struct Question {
    /// What was asked.
    pub body: Vec<u8>,
    /// Sends the one answer.
    pub reply: Box<dyn FnOnce(Vec<u8>) -> BoxFuture<'static, ()> + Send>,
}

/// A key that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The key, whole.
    pub key: String,
    /// Whether it is there now.
    pub alive: bool,
}

/// The transport could not do what was asked, in its own words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("mesh: {0}")]
pub struct TransportError(pub String);

/// One shop's mesh: a transport and the shop's name in every topic, so two shops
/// never hear each other.
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

    /// What carries its messages.
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// `konbini/<shop>/<what>/<whose>`.
    pub(crate) fn topic(&self, what: &str, whose: &str) -> String {
        format!("konbini/{}/{what}/{whose}", self.shop)
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
