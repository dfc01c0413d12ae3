//! The in-process transport, for a shop in one process and for tests.
//!
//! It can inject faults by a seed: it then loses, duplicates, delays and so reorders
//! messages, and loses queries and replies, so that the mesh's guarantees are tested against
//! a bad network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;

use crate::transport::{
    Guard, Liveliness, Question, SUBSCRIPTION_MESSAGES_MAX, Sighting, Subscription, Transport,
    TransportError,
};

/// The faults of a network's links.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkFaults {
    /// The chance that a message, a query or a reply is lost, 0..1.
    pub drop: f64,
    /// The chance that a message arrives twice, 0..1.
    pub double: f64,
    /// Each delivery waits up to this long, so later ones overtake it.
    pub delay_max: Duration,
}

type Watcher = Arc<dyn Fn(Sighting) + Send + Sync>;

struct Inner {
    rng: StdRng,
    faults: LinkFaults,
    next: u64,
    subscribers: BTreeMap<u64, (String, flume::Sender<Vec<u8>>)>,
    servers: BTreeMap<u64, (String, flume::Sender<Question>)>,
    alive: BTreeMap<u64, String>,
    watchers: BTreeMap<u64, (String, Watcher)>,
}

/// A network all of whose nodes are in this process. Cheap to clone.
#[derive(Clone)]
pub struct InProcessNetwork(Arc<Mutex<Inner>>);

impl InProcessNetwork {
    /// A network without faults.
    pub fn reliable() -> Self {
        Self::seeded(0, LinkFaults::default())
    }

    /// A network whose faults are drawn from `seed`.
    pub fn seeded(seed: u64, faults: LinkFaults) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rng: StdRng::seed_from_u64(seed),
            faults,
            next: 0,
            subscribers: BTreeMap::new(),
            servers: BTreeMap::new(),
            alive: BTreeMap::new(),
            watchers: BTreeMap::new(),
        })))
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.lock().faults = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// A guard that changes the network when it is dropped.
    fn on_drop(&self, undo: impl Fn(&mut Inner) + Send + Sync + 'static) -> Guard {
        let network = self.clone();
        Box::new(OnDrop(move || undo(&mut network.lock())))
    }

    fn add<T>(&self, value: T, table: impl Fn(&mut Inner) -> &mut BTreeMap<u64, T>) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        table(&mut inner).insert(number, value);
        number
    }
}

/// Sleeps for `delay`; a sleep of zero would still wait for the timer.
async fn pass(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Runs its closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Inner {
    fn chance(&mut self, of: f64) -> bool {
        of > 0.0 && self.rng.random_bool(of)
    }

    fn delay(&mut self) -> Duration {
        let most = u64::try_from(self.faults.delay_max.as_micros()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(self.rng.random_range(0..=most))
    }

    /// The delays of the copies of one message to one receiver: none if it is lost.
    fn copies(&mut self) -> Vec<Duration> {
        if self.chance(self.faults.drop) {
            return Vec::new();
        }
        let count = if self.chance(self.faults.double) { 2 } else { 1 };
        (0..count).map(|_| self.delay()).collect()
    }
}

impl Transport for InProcessNetwork {
    fn publish<'a>(
        &'a self,
        topic: &'a str,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        let mut inner = self.lock();
        let receivers: Vec<_> = inner
            .subscribers
            .values()
            .filter(|(wanted, _)| wanted == topic)
            .map(|(_, receiver)| receiver.clone())
            .collect();
        for receiver in receivers {
            for delay in inner.copies() {
                let (receiver, message) = (receiver.clone(), message.clone());
                let deliver = move || {
                    // A full or ended subscription loses the message, as a network would.
                    let _ = receiver.try_send(message);
                };
                if delay.is_zero() {
                    deliver();
                } else {
                    tokio::spawn(tokio::time::sleep(delay).map(|()| deliver()));
                }
            }
        }
        std::future::ready(Ok(())).boxed()
    }

    fn subscribe<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Vec<u8>>, TransportError>> {
        let (sender, messages) = flume::bounded(SUBSCRIPTION_MESSAGES_MAX);
        let number = self.add((topic.to_owned(), sender), |inner| &mut inner.subscribers);
        let guard = self.on_drop(move |inner| drop(inner.subscribers.remove(&number)));
        std::future::ready(Ok(Subscription { messages, guard })).boxed()
    }

    fn ask<'a>(
        &'a self,
        topic: &'a str,
        question: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        async move {
            let (server, lost, there, back) = {
                let mut inner = self.lock();
                let server = inner
                    .servers
                    .values()
                    .find(|(served, _)| served == topic)
                    .map(|(_, server)| server.clone())?;
                let of = inner.faults.drop;
                let lost = inner.chance(of);
                (server, lost, inner.delay(), inner.delay())
            };
            if lost {
                return None;
            }
            pass(there).await;
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |bytes| {
                let _ = sender.send(bytes);
                std::future::ready(()).boxed()
            });
            server.try_send(Question { body: question, reply }).ok()?;
            let answer = tokio::time::timeout(timeout, answer).await.ok()?.ok()?;
            pass(back).await;
            Some(answer)
        }
        .boxed()
    }

    fn serve<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Question>, TransportError>> {
        let (sender, messages) = flume::bounded(SUBSCRIPTION_MESSAGES_MAX);
        let number = self.add((topic.to_owned(), sender), |inner| &mut inner.servers);
        let guard = self.on_drop(move |inner| drop(inner.servers.remove(&number)));
        std::future::ready(Ok(Subscription { messages, guard })).boxed()
    }

    fn declare_alive<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Guard, TransportError>> {
        let number = self.add(key.to_owned(), |inner| &mut inner.alive);
        self.report(key, Liveliness::Alive);
        let (network, key) = (self.clone(), key.to_owned());
        let guard: Guard = Box::new(OnDrop(move || {
            network.lock().alive.remove(&number);
            network.report(&key, Liveliness::Gone);
        }));
        std::future::ready(Ok(guard)).boxed()
    }

    fn watch_alive<'a>(
        &'a self,
        prefix: &'a str,
        seen: Box<dyn Fn(Sighting) + Send + Sync>,
    ) -> BoxFuture<'a, Result<Guard, TransportError>> {
        let seen: Watcher = seen.into();
        let number = self.add((prefix.to_owned(), seen.clone()), |inner| {
            &mut inner.watchers
        });
        let present: Vec<_> = self.lock().alive.values().cloned().collect();
        for key in present.into_iter().filter(|key| is_below(key, prefix)) {
            seen(Sighting { key, state: Liveliness::Alive });
        }
        let guard = self.on_drop(move |inner| drop(inner.watchers.remove(&number)));
        std::future::ready(Ok(guard)).boxed()
    }
}

impl InProcessNetwork {
    fn report(&self, key: &str, state: Liveliness) {
        let watchers: Vec<_> = self.lock().watchers.values().cloned().collect();
        for (_, seen) in watchers.iter().filter(|(prefix, _)| is_below(key, prefix)) {
            seen(Sighting { key: key.to_owned(), state });
        }
    }
}

/// Whether `key` is `prefix` or something below it, as `prefix/**` has it.
fn is_below(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
