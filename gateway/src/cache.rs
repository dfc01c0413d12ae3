//! The response cache: a shared cache (RFC 9111) of public responses of products.
//!
//! Products says which responses may be cached and what each depends on, in header fields
//! that only the gateway reads ([`chassis::cache_tags`]). Entries are invalidated by the
//! writes that pass through and by products' log. Browsers and other caches revalidate
//! every time, and are served from here.
//!
//! | module | holds |
//! | --- | --- |
//! | `entry` | a cached response, its key, and whether it may be cached |
//! | `versions` | striped versions, which invalidate entries |
//! | `coalescing` | request coalescing (single flight) |
//! | `invalidation` | changes in products' log, and writes that pass through |
//!
//! A request with a token bypasses the cache: a draft that staff may see looks like any
//! product. `no-cache` and `no-store` of a request are honoured by forwarding it.
//!
//! **Invariants:** after a write's response has left, no response from before it is served;
//! nothing is served unless every change is observed; a response that was requested before
//! a change is not cached after it.

mod coalescing;
mod entry;
mod invalidation;

use std::sync::Arc;
use std::time::Instant;

use api::Access;
use bytes::Bytes;
use chassis::status::CacheHits;
use chassis::versions::{Stripe, Versions};
use chassis::{Context, Problem, cache_tags};
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use metrics::{Counter, Gauge};
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use self::coalescing::{Coalescing, Leader, LeaderOutcome, Role};
use self::entry::{CacheEntry, Permit, has_directive};
use self::invalidation::Reach;
use crate::Error;
use crate::body::Body;
use crate::routing::Destination;

/// The service whose responses are cached.
const SOURCE: &str = "products";

/// Header fields that end at the gateway.
const INTERNAL: [HeaderName; 3] = [
    cache_tags::CACHE_CONTROL,
    cache_tags::CACHE_TAGS,
    cache_tags::APPLIED,
];

/// Header fields that make a service send less than the whole: evaluated here.
const CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE];

/// The largest cached body, in bytes, and its largest part of the cache.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
const BODY_PART: u64 = 32;

/// The usual size of an entry, in bytes; it sizes tables and bounds nothing.
const ENTRY_BYTES_USUAL: u64 = 4 * 1024;

/// Each has a lock and an equal part of the memory, which the largest body has to fit.
const SHARDS: usize = 8;

/// How often a request waits for a leader before it is forwarded itself.
const WAITS_MAX: usize = 3;

/// The cache, if one is configured.
pub(crate) struct ResponseCache(Option<Arc<CacheState>>);

/// The entries, and what invalidates them.
struct CacheState {
    entries: Entries<Box<str>, Arc<CacheEntry>, Weight>,
    body_bytes_max: u64,
    versions: Versions,
    coalescing: Coalescing,
    observed: invalidation::Observed,
    hits: CacheHits,
    coalesced: Counter,
    emptied: Counter,
    bytes: Gauge,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<CacheEntry>> for Weight {
    fn weight(&self, key: &Box<str>, entry: &Arc<CacheEntry>) -> u64 {
        (key.len() + entry.bytes()) as u64
    }
}

impl ResponseCache {
    /// Opens the cache and starts to listen to products' log; without `bytes_max` there is
    /// no cache.
    ///
    /// # Errors
    /// When the mesh refuses the subscription.
    pub(crate) async fn open(ctx: &Context, bytes_max: u64) -> Result<Self, chassis::Error> {
        if bytes_max == 0 {
            return Ok(Self(None));
        }
        let state = Arc::new(CacheState::new(bytes_max));
        invalidation::listen(ctx, state.clone()).await?;
        let reported = state.clone();
        let figure = move || reported.hits.figure(reported.entries.weight());
        ctx.status.report("cache", figure);
        Ok(Self(Some(state)))
    }

    /// Responds from the cache, or by forwarding the request, once.
    ///
    /// # Errors
    /// The error of forwarding.
    pub(crate) async fn respond<A>(
        &self,
        destination: Destination,
        parts: Parts,
        is_bodiless: bool,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let result = match &self.0 {
            Some(state) if !parts.method.is_safe() => {
                state.write(destination, parts, forward).await
            }
            Some(state) if is_bodiless && state.may_serve(destination, &parts) => {
                state.read(parts, forward).await
            }
            _ => forward(parts).await,
        };
        result.map(|mut response| {
            for name in &INTERNAL {
                response.headers_mut().remove(name);
            }
            response
        })
    }
}

impl CacheState {
    fn new(bytes_max: u64) -> Self {
        let entries_usual = usize::try_from(bytes_max / ENTRY_BYTES_USUAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(entries_usual)
            .weight_capacity(bytes_max)
            .build()
            .expect("every option without a default is set");
        let (hashing, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self {
            entries: Entries::with_options(options, Weight, hashing, lifecycle),
            body_bytes_max: BODY_BYTES_MAX.min(bytes_max / BODY_PART),
            versions: Versions::default(),
            coalescing: Coalescing::default(),
            observed: invalidation::Observed::new(None),
            hits: CacheHits::new("gateway", "konbini_gateway_cache"),
            coalesced: metrics::counter!("konbini_gateway_cache_coalesced_total", "service" => "gateway"),
            emptied: metrics::counter!("konbini_gateway_cache_emptied_total", "service" => "gateway"),
            bytes: metrics::gauge!("konbini_gateway_cache_bytes", "service" => "gateway"),
        }
    }

    /// Whether a request may be served from the cache.
    fn may_serve(&self, destination: Destination, parts: &Parts) -> bool {
        let Parts { method, headers, .. } = parts;
        destination.service == SOURCE
            && destination.route.access == Access::Anyone
            && (*method == Method::GET || *method == Method::HEAD)
            && !headers.contains_key(AUTHORIZATION)
            && !["no-cache", "no-store"]
                .iter()
                .any(|directive| has_directive(headers, &CACHE_CONTROL, directive))
            && self.is_informed()
    }

    /// Responds from an entry, else by a coalesced request.
    async fn read<A>(
        &self,
        parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let (method, headers, now) = (&parts.method, &parts.headers, Instant::now());
        let key = entry::entry_key(&parts.uri);
        if let Some(entry) = self.find(&key, headers, now) {
            self.hits.hit();
            return Ok(entry.serve(method, headers, now));
        }
        let waits = if *method == Method::GET { WAITS_MAX } else { 0 };
        for _ in 0..waits {
            let waiter = match self.coalescing.join(&key, self.versions.now()) {
                Role::Lead(leader) => {
                    drop(key);
                    return self.lead(leader, parts, forward).await;
                }
                Role::Wait(waiter) => waiter,
            };
            match waiter.outcome().await {
                LeaderOutcome::Shared(entry) if entry.is_for(headers) => {
                    self.coalesced.increment(1);
                    return Ok(entry.serve(method, headers, Instant::now()));
                }
                LeaderOutcome::Shared(_) | LeaderOutcome::Unshared => break,
                LeaderOutcome::Abandoned => {}
            }
        }
        drop(key);
        self.hits.miss();
        forward(parts).await
    }

    fn find(&self, key: &str, headers: &HeaderMap, now: Instant) -> Option<Arc<CacheEntry>> {
        let entry = self.entries.get(key)?;
        let is_valid = entry.is_for(headers)
            && entry.is_fresh(now)
            && self.versions.is_current(entry.since(), entry.depends_on());
        is_valid.then_some(entry)
    }

    /// Forwards the request, caches the response if allowed, and hands it to the waiters.
    async fn lead<A>(
        &self,
        leader: Leader<'_>,
        mut parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        // An earlier leader may have finished between the two look-ups.
        let now = Instant::now();
        if let Some(entry) = self.find(leader.key(), &parts.headers, now) {
            self.hits.hit();
            leader.finish(LeaderOutcome::Shared(entry.clone()));
            return Ok(entry.serve(&parts.method, &parts.headers, now));
        }
        self.hits.miss();
        let request = parts.headers.clone();
        for name in &CONDITIONS {
            parts.headers.remove(name);
        }
        let result = match forward(parts).await {
            Ok(response) => self.take(&leader, response, &request).await,
            Err(problem) => Err(problem),
        };
        match result {
            Ok(Taken::Cached(entry)) => {
                leader.finish(LeaderOutcome::Shared(entry.clone()));
                let mut response = entry.serve(&Method::GET, &request, Instant::now());
                // It was requested for this client just now.
                response.headers_mut().remove(AGE);
                Ok(response)
            }
            Ok(Taken::Passing(response)) => {
                leader.finish(LeaderOutcome::Unshared);
                Ok(response)
            }
            Err(problem) => {
                leader.finish(LeaderOutcome::Unshared);
                Err(problem)
            }
        }
    }

    /// Reads a response that may be cached to its end, and caches it unless it was
    /// invalidated meanwhile.
    async fn take(
        &self,
        leader: &Leader<'_>,
        response: Response<Body>,
        request: &HeaderMap,
    ) -> Result<Taken, Problem> {
        let is_small = |bytes| bytes <= self.body_bytes_max;
        let is_small = response.body().size_hint().exact().is_some_and(is_small);
        let permit = Permit::read(&response, request).filter(|_| is_small);
        let Some(permit) = permit else {
            return Ok(Taken::Passing(response));
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| {
            let own = error.downcast_ref::<Error>().cloned();
            let broken = || Error::Broken { service: SOURCE, why: error.to_string() };
            Problem::from(own.unwrap_or_else(broken))
        })?;
        // A copy, since this may be a small part of a large buffer.
        let body = Bytes::copy_from_slice(&body.to_bytes());
        let entry = Arc::new(CacheEntry::new(permit, head, body, leader.since()));
        if self.versions.is_current(entry.since(), entry.depends_on()) {
            self.entries.insert(leader.key().into(), entry.clone());
            self.bytes.set(self.entries.weight() as f64);
        }
        Ok(Taken::Cached(entry))
    }

    /// Forwards a write. Entries that it may have changed are invalidated before its
    /// outcome leaves, also when its client is gone; a response with a 4xx status changed
    /// nothing.
    async fn write<A>(
        &self,
        destination: Destination,
        parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let reach = Reach::of(destination.service, parts.uri.path());
        let mut writing = PendingWrite { state: self, reach };
        let result = forward(parts).await;
        let refused = |response: &Response<Body>| response.status().is_client_error();
        if reach != Reach::Anything && result.as_ref().is_ok_and(refused) {
            writing.reach = Reach::Nothing;
        }
        drop(writing);
        if let Ok(response) = &result
            && let Some(place) = applied_position(response.headers())
        {
            self.catch_up(place).await;
        }
        result
    }

    fn invalidate(&self, reach: Reach) {
        match reach {
            Reach::Nothing => return,
            Reach::Lists => {}
            Reach::Product(id) => self.versions.invalidate(Stripe::of(&id.to_string())),
            Reach::Anything => self.versions.invalidate_all(),
        }
        self.versions.invalidate(Stripe::of(SOURCE));
    }

    /// Drops every entry.
    fn clear(&self) {
        self.versions.invalidate_all();
        self.entries.clear();
        self.emptied.increment(1);
        self.bytes.set(0.0);
    }
}

/// The leader's response: for every waiter, or for the leader alone.
enum Taken {
    Cached(Arc<CacheEntry>),
    Passing(Response<Body>),
}

/// A write in flight: when it ends, in whatever way, its reach is invalidated.
struct PendingWrite<'a> {
    state: &'a CacheState,
    reach: Reach,
}

impl Drop for PendingWrite<'_> {
    fn drop(&mut self) {
        self.state.invalidate(self.reach);
    }
}

/// The position in products' log that a response reflects, if it names one.
fn applied_position(headers: &HeaderMap) -> Option<u64> {
    let applied = headers.get(cache_tags::APPLIED)?.to_str().ok()?;
    applied
        .split_once('=')
        .filter(|(service, _)| *service == SOURCE)?
        .1
        .parse()
        .ok()
}
