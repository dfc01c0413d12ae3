//! Upstreams: the live instances of each service, and how a request is sent to one. A
//! service of this process is called without a connection.
//!
//! | module | holds |
//! | --- | --- |
//! | `choice` | load balancing |
//! | `instance` | one instance: sending, and which requests may be repeated |
//! | `pool`, `link`, `body` | its connection pool, one connection, a response's body |
//! | `health`, `budget` | outlier ejection, and the retry budget |
//! | `wait` | the timeout of a response |
//!
//! Service discovery is by liveliness tokens alone: no health checks, no configuration.
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
pub(crate) use instance::ServiceProcess;
pub(crate) use wait::Wait;

use budget::Budget;
use instance::{Connect, SendFailure, UpstreamInstance};

/// How long after a start a request waits for an undiscovered service: the mesh announces
/// running instances within a moment, and a restarted gateway has requests waiting.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(1);

/// The services behind the gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstreams(Arc<[Service]>);

struct Service {
    name: &'static str,
    /// The newest first.
    instances: watch::Sender<Vec<Arc<UpstreamInstance>>>,
    /// Until then a request waits for a first instance.
    discovery_deadline: Instant,
    /// The in-process services, which are called without a connection.
    local: LocalServices,
    /// The number of choices so far, which rotates them.
    turn: AtomicUsize,
    budget: Budget,
    meter: Arc<Meter>,
}

impl Upstreams {
    /// Watches the live instances until the service ends.
    ///
    /// # Errors
    /// When the mesh refuses the subscription.
    pub(crate) async fn watch(ctx: &Context) -> Result<Self, chassis::Error> {
        let directory = Directory::watch(&ctx.mesh).await?;
        let mut changes = directory.changes();
        let upstreams = Self::new(&SERVICES, &ctx.local);
        upstreams.update(changes.borrow_and_update().values());
        let (seen, stop) = (upstreams.clone(), ctx.stop.clone());
        ctx.tasks.spawn(async move {
            let mut interval = tokio::time::interval(pool::IDLE_TIMEOUT);
            loop {
                tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => seen.update(changes.borrow_and_update().values()),
                        Err(_) => break,
                    },
                    _ = interval.tick() => seen.close_idle(),
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

    /// Replaces the live instances. Known ones keep their connections; those that are gone
    /// finish their requests in flight.
    fn update<'a>(&self, alive: impl Iterator<Item = &'a mesh::Instance> + Clone) {
        for service in &*self.0 {
            let alive = alive.clone().filter(|one| one.service == service.name);
            service.update(alive.collect());
        }
    }

    fn close_idle(&self) {
        for service in &*self.0 {
            for instance in &service.known() {
                instance.pool.close_idle();
            }
        }
    }

    /// Where a service runs, if it is there.
    pub(crate) fn process_of(&self, service: &str) -> Option<ServiceProcess> {
        let known = self.0.iter().find(|known| known.name == service)?;
        let instance = known.choose(Instances::Newest, None)?;
        Some(instance.process())
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
        let result = service.send(which, wait, request).await;
        let outcome = result.as_ref().map_or_else(Error::outcome, |_| "answered");
        service.meter.record(outcome, wait.elapsed());
        result
    }
}

impl Service {
    fn new(name: &'static str, local: LocalServices) -> Self {
        Self {
            name,
            local,
            instances: watch::Sender::default(),
            discovery_deadline: Instant::now() + DISCOVERY_TIMEOUT,
            turn: AtomicUsize::new(0),
            budget: Budget::new(),
            meter: Arc::new(Meter::new(name)),
        }
    }

    fn update(&self, mut alive: Vec<&mesh::Instance>) {
        // Ids are UUIDv7, which sort by time.
        alive.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        let known = self.known();
        let same = |seen| known.iter().find(|one| one.is(seen)).cloned();
        let fresh = |seen: &mesh::Instance| {
            let local = self.local.find(&seen.id);
            Arc::new(UpstreamInstance::new(
                self.name,
                seen,
                local,
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
    async fn discovered(&self, which: Instances) -> Option<Arc<UpstreamInstance>> {
        let mut known = self.instances.subscribe();
        let first = known.wait_for(|known| !known.is_empty());
        timeout_at(self.discovery_deadline, first)
            .await
            .ok()?
            .ok()?;
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
            None => self
                .discovered(which)
                .await
                .ok_or(Error::Absent(self.name))?,
        };
        let SendFailure { error, again } = match first.send(request, wait, Connect::Pooled).await {
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
        let repeated = second.send(*again, wait, Connect::New).await;
        repeated.map_err(|failure| failure.error)
    }
}
