//! Upstreams: the live instances of each service, and how a request is sent to one. A
//! service of this process is called without a connection.
//!
//! | module | holds |
//! | --- | --- |
//! | `choice` | the choice of an instance |
//! | `instance` | one instance: sending, and what may be repeated |
//! | `pool`, `link`, `body` | its connection pool, one connection, a response's body |
//! | `health`, `budget` | passing over failing instances, and the budget of repetitions |
//! | `wait` | the timeout of a response |
//!
//! Liveliness tokens alone say which instances there are: no health checks, no
//! configuration.
//!
//! **Invariant:** a request is repeated at most once, within its service's budget, and only
//! when that cannot do anything twice (`instance`): at another instance if there is one,
//! else at the same one over a new connection, where a pooled one broke.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use chassis::Context;
use chassis::in_process::LocalServices;
use http::{Request, Response};
use mesh::Directory;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::Error;
use crate::metrics::Upstream as Meter;
use crate::request_body::RequestBody;
use crate::routing::SERVICES;

mod body;
mod budget;
mod choice;
mod health;
mod instance;
mod link;
mod pool;
#[cfg(test)]
mod tests;
mod wait;

pub(crate) use body::ServiceBody;
pub(crate) use choice::Instances;
pub(crate) use wait::Wait;

use budget::Budget;
use instance::{Connect, SendFailure, UpstreamInstance};

/// How long after a start a service that was not heard of yet is waited for: the mesh
/// tells of those who were there before within a moment, and a gateway that is
/// restarted has requests waiting for it.
const HEARING: Duration = Duration::from_secs(1);

/// The services behind the gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstreams(Arc<[Service]>);

struct Service {
    name: &'static str,
    /// The newest first.
    instances: watch::Sender<Vec<Arc<UpstreamInstance>>>,
    /// Until then one that is not seen is waited for.
    heard_by: Instant,
    /// The services of this process, which are called without a connection.
    local: LocalServices,
    turn: AtomicUsize,
    budget: Budget,
    meter: Arc<Meter>,
}

impl Upstreams {
    /// Watches who is alive until the service ends.
    ///
    /// # Errors
    /// When the mesh refuses.
    pub(crate) async fn watch(ctx: &Context) -> Result<Self, chassis::Error> {
        let directory = Directory::watch(&ctx.mesh).await?;
        let mut changes = directory.changes();
        let upstreams = Self::new(&SERVICES, &ctx.local);
        upstreams.learn(changes.borrow_and_update().values());
        let (seen, stop) = (upstreams.clone(), ctx.stop.clone());
        ctx.tasks.spawn(async move {
            let mut tidying = tokio::time::interval(pool::IDLE_TIMEOUT);
            loop {
                tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => seen.learn(changes.borrow_and_update().values()),
                        Err(_) => break,
                    },
                    _ = tidying.tick() => seen.tidy(),
                    () = stop.cancelled() => break,
                }
            }
            drop(directory);
        });
        Ok(upstreams)
    }

    fn new(names: &[&'static str], local: &LocalServices) -> Self {
        let service = |name: &&'static str| Service::new(name, local.clone());
        Self(names.iter().map(service).collect())
    }

    /// Learns the live instances. Known ones keep their connections; those that are gone
    /// finish their requests in flight.
    fn learn<'a>(&self, alive: impl Iterator<Item = &'a mesh::Instance> + Clone) {
        for service in &*self.0 {
            let alive = alive.clone().filter(|one| one.service == service.name);
            service.learn(alive.collect());
        }
    }

    fn tidy(&self) {
        for service in &*self.0 {
            for instance in &service.known() {
                instance.pool.tidy();
            }
        }
    }

    /// Sends a request and waits for the response's head.
    ///
    /// # Errors
    /// Every [`Error`].
    pub(crate) async fn send(
        &self,
        service: &'static str,
        which: Instances,
        wait: &Wait,
        request: Request<RequestBody>,
    ) -> Result<Response<ServiceBody>, Error> {
        let known = self.0.iter().find(|known| known.name == service);
        let service = known.ok_or(Error::Absent(service))?;
        let answered = service.send(which, wait, request).await;
        let outcome = answered
            .as_ref()
            .map_or_else(Error::outcome, |_| "answered");
        service.meter.record(outcome, wait.elapsed());
        answered
    }
}

impl Service {
    fn new(name: &'static str, local: LocalServices) -> Self {
        Self {
            name,
            local,
            instances: watch::Sender::default(),
            heard_by: Instant::now() + HEARING,
            turn: AtomicUsize::new(0),
            budget: Budget::new(),
            meter: Arc::new(Meter::new(name)),
        }
    }

    fn learn(&self, mut alive: Vec<&mesh::Instance>) {
        // Ids are UUIDv7, which sort by time.
        alive.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        let known = self.known();
        let same = |seen| known.iter().find(|one| one.is(seen)).cloned();
        let fresh = |seen: &mesh::Instance| {
            let near = self.local.find(&seen.id);
            Arc::new(UpstreamInstance::new(
                self.name,
                seen,
                near,
                self.meter.clone(),
            ))
        };
        let now = alive
            .into_iter()
            .map(|seen| same(seen).unwrap_or_else(|| fresh(seen)))
            .collect();
        self.instances.send_replace(now);
    }

    fn known(&self) -> Vec<Arc<UpstreamInstance>> {
        self.instances.borrow().clone()
    }

    fn choose(
        &self,
        which: Instances,
        failed: Option<&Arc<UpstreamInstance>>,
    ) -> Option<Arc<UpstreamInstance>> {
        let known = self.instances.borrow();
        choice::choose(&known, which, &self.turn, failed).cloned()
    }

    /// An instance that becomes visible in the first moments after a start.
    async fn heard(&self, which: Instances) -> Option<Arc<UpstreamInstance>> {
        let mut known = self.instances.subscribe();
        let somebody = known.wait_for(|known| !known.is_empty());
        timeout_at(self.heard_by, somebody).await.ok()?.ok()?;
        self.choose(which, None)
    }

    async fn send(
        &self,
        which: Instances,
        wait: &Wait,
        request: Request<RequestBody>,
    ) -> Result<Response<ServiceBody>, Error> {
        self.budget.earn();
        let first = match self.choose(which, None) {
            Some(first) => first,
            None => self.heard(which).await.ok_or(Error::Absent(self.name))?,
        };
        let SendFailure { error, again } = match first.ask(request, wait, Connect::Pooled).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let Some(again) = again else {
            return Err(error);
        };
        let Some(second) = self.choose(which, Some(&first)) else {
            return Err(error);
        };
        let is_same = Arc::ptr_eq(&first, &second);
        if is_same && matches!(error, Error::Unreachable { .. }) {
            return Err(error);
        }
        if !self.budget.spend() {
            self.meter.repetition_refused();
            return Err(error);
        }
        self.meter.repeated();
        let repeated = second.ask(*again, wait, Connect::New).await;
        repeated.map_err(|failure| failure.error)
    }
}
