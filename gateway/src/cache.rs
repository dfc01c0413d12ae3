//! Public answers, kept for as long as they are so.
//!
//! A shared cache (RFC 9111) in front of products. What may be kept, and what would
//! have to change for it to be no longer so, products says in fields that only the
//! gateway reads ([`chassis::cache_tags`]); that something changed is known from the writes
//! that pass through and, at once, from products' log. Browsers and other caches are
//! told to ask each time, and are answered from here.
//!
//! | module | holds |
//! | --- | --- |
//! | `key` | what an answer is kept under |
//! | `entry` | an answer that is kept, and whether it may be |
//! | `versions` | what changed when |
//! | `flights` | questions on their way, asked once for all |
//! | `news` | what products tells of changes |
//! | `writes` | what a passing write may change |
//!
//! A request with a token is never answered from here and its answer never kept: a
//! draft that staff may see looks like any product. `no-cache` and `no-store` of a
//! request are honoured by asking; other wishes for freshness are met already.
//!
//! **Invariants:** after a write's answer has left, no answer from before it is told
//! again here; nothing is told again unless every change is heard of; an answer that
//! was asked for before a change is not kept after it.

mod entry;
mod flights;
mod key;
mod news;
mod versions;
mod writes;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chassis::status::CacheHits;
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

use self::entry::{Entry, Permit, says};
use self::flights::{Flights, Landing, Pilot, Turn};
use self::versions::{Stripe, Versions};
use self::writes::Reach;
use crate::Error;
use crate::body::Body;
use crate::routes::{Route, Token};

/// The one service that tells what it changes.
const SOURCE: &str = "products";

/// What ends here.
const INTERNAL: [HeaderName; 3] = [
    cache_tags::CACHE_CONTROL,
    cache_tags::CACHE_TAGS,
    cache_tags::APPLIED,
];

/// What makes a service answer with less than all: evaluated here.
const CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE];

/// The largest body that is kept, in bytes, and what part of the whole it may be.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
const BODY_PART: u64 = 32;

/// An answer, more or less: sizes the tables, bounds nothing.
const ENTRY_BYTES_USUAL: u64 = 4 * 1024;

/// Each is a lock and an equal part of the memory, which the largest body has to fit.
const SHARDS: usize = 8;

/// How often to wait for somebody who asks, before asking oneself.
const BOARDINGS_MAX: usize = 3;

/// The cache, if there is one.
pub(crate) struct Cache(Option<Arc<Kept>>);

/// What is kept.
struct Kept {
    entries: Entries<Box<str>, Arc<Entry>, Weight>,
    body_bytes_max: u64,
    versions: Versions,
    flights: Flights,
    heard: news::Heard,
    hits: CacheHits,
    coalesced: Counter,
    emptied: Counter,
    bytes: Gauge,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<str>, entry: &Arc<Entry>) -> u64 {
        (key.len() + entry.bytes()) as u64
    }
}

impl Cache {
    /// A cache as it is configured, which listens to products from now on.
    ///
    /// # Errors
    /// When the mesh refuses.
    pub(crate) async fn open(ctx: &Context) -> Result<Self, chassis::Error> {
        let bytes_max = ctx.config.gateway.cache.mib * 1024 * 1024;
        if bytes_max == 0 {
            return Ok(Self(None));
        }
        let kept = Arc::new(Kept::new(bytes_max));
        news::listen(ctx, kept.clone()).await?;
        let figures = kept.clone();
        let figure = move || figures.hits.figure(figures.entries.weight());
        ctx.status.report("cache", figure);
        Ok(Self(Some(kept)))
    }

    /// Answers a request, if need be by forwarding it, once.
    ///
    /// # Errors
    /// What forwarding it came to.
    pub(crate) async fn answer<A>(
        &self,
        route: &Route,
        parts: Parts,
        is_bodiless: bool,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let answered = match &self.0 {
            Some(kept) if !parts.method.is_safe() => kept.write(route, parts, forward).await,
            Some(kept) if is_bodiless && kept.may_answer(route, &parts) => {
                kept.read(parts, forward).await
            }
            _ => forward(parts).await,
        };
        answered.map(|mut response| {
            for name in &INTERNAL {
                response.headers_mut().remove(name);
            }
            response
        })
    }
}

impl Kept {
    fn new(bytes_max: u64) -> Self {
        let entries_usual = usize::try_from(bytes_max / ENTRY_BYTES_USUAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(entries_usual)
            .weight_capacity(bytes_max)
            .build()
            .expect("all that has no default is given");
        let (hashing, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self {
            entries: Entries::with_options(options, Weight, hashing, lifecycle),
            body_bytes_max: BODY_BYTES_MAX.min(bytes_max / BODY_PART),
            versions: Versions::new(),
            flights: Flights::default(),
            heard: news::Heard::new(None),
            hits: CacheHits::new("konbini_gateway_cache"),
            coalesced: metrics::counter!("konbini_gateway_cache_coalesced_total"),
            emptied: metrics::counter!("konbini_gateway_cache_emptied_total"),
            bytes: metrics::gauge!("konbini_gateway_cache_bytes"),
        }
    }

    /// Whether a request may be answered with what somebody else was told.
    fn may_answer(&self, route: &Route, parts: &Parts) -> bool {
        let Parts { method, headers, .. } = parts;
        route.service == SOURCE
            && route.token == Token::Optional
            && (*method == Method::GET || *method == Method::HEAD)
            && !headers.contains_key(AUTHORIZATION)
            && !["no-cache", "no-store"]
                .iter()
                .any(|word| says(headers, &CACHE_CONTROL, word))
            && self.is_informed()
    }

    /// Answers from what is kept, else asks once for all who ask the same.
    async fn read<A>(
        &self,
        parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let (method, headers, now) = (&parts.method, &parts.headers, Instant::now());
        let key = key::key(&parts.uri);
        if let Some(entry) = self.find(&key, headers, now) {
            self.hits.hit();
            return Ok(entry.tell(method, headers, now));
        }
        let boardings = if *method == Method::GET { BOARDINGS_MAX } else { 0 };
        for _ in 0..boardings {
            let passenger = match self.flights.board(&key, self.versions.now()) {
                Turn::Lead(pilot) => {
                    drop(key);
                    return self.lead(pilot, parts, forward).await;
                }
                Turn::Wait(passenger) => passenger,
            };
            match passenger.landing().await {
                Landing::Shared(entry) if entry.is_for(headers) => {
                    self.coalesced.increment(1);
                    return Ok(entry.tell(method, headers, Instant::now()));
                }
                Landing::Shared(_) | Landing::Alone => break,
                Landing::Left => {}
            }
        }
        drop(key);
        self.hits.miss();
        forward(parts).await
    }

    fn find(&self, key: &str, headers: &HeaderMap, now: Instant) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        let counts = entry.is_for(headers)
            && entry.is_fresh(now)
            && self.versions.hold(entry.since(), entry.depends_on());
        counts.then_some(entry)
    }

    /// Asks, keeps the answer if that is allowed, and tells everyone who waits.
    async fn lead<A>(
        &self,
        pilot: Pilot<'_>,
        mut parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        // Whoever asked before may have been answered between the two looks.
        let now = Instant::now();
        if let Some(entry) = self.find(pilot.key(), &parts.headers, now) {
            self.hits.hit();
            pilot.land(Landing::Shared(entry.clone()));
            return Ok(entry.tell(&parts.method, &parts.headers, now));
        }
        self.hits.miss();
        let asked = parts.headers.clone();
        for name in &CONDITIONS {
            parts.headers.remove(name);
        }
        let answered = match forward(parts).await {
            Ok(answer) => self.take(&pilot, answer, &asked).await,
            Err(problem) => Err(problem),
        };
        match answered {
            Ok(Taken::Kept(entry)) => {
                pilot.land(Landing::Shared(entry.clone()));
                let mut response = entry.tell(&Method::GET, &asked, Instant::now());
                // It was made for this very request.
                response.headers_mut().remove(AGE);
                Ok(response)
            }
            Ok(Taken::Passing(response)) => {
                pilot.land(Landing::Alone);
                Ok(response)
            }
            Err(problem) => {
                pilot.land(Landing::Alone);
                Err(problem)
            }
        }
    }

    /// Reads an answer that may be kept, and keeps it unless it is outdated by now.
    async fn take(
        &self,
        pilot: &Pilot<'_>,
        answer: Response<Body>,
        asked: &HeaderMap,
    ) -> Result<Taken, Problem> {
        let is_small = |bytes| bytes <= self.body_bytes_max;
        let is_small = answer.body().size_hint().exact().is_some_and(is_small);
        let permit = Permit::read(&answer, asked).filter(|_| is_small);
        let Some(permit) = permit else {
            return Ok(Taken::Passing(answer));
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| {
            let own = error.downcast_ref::<Error>().cloned();
            let broken = || Error::Broken { service: SOURCE, why: error.to_string() };
            Problem::from(own.unwrap_or_else(broken))
        })?;
        // A copy, since this may be a small part of a large buffer.
        let body = Bytes::copy_from_slice(&body.to_bytes());
        let entry = Arc::new(Entry::new(permit, head, body, pilot.since()));
        if self.versions.hold(entry.since(), entry.depends_on()) {
            self.entries.insert(pilot.key().into(), entry.clone());
            self.bytes.set(self.entries.weight() as f64);
        }
        Ok(Taken::Kept(entry))
    }

    /// Forwards a write. What it may have changed is given up before anyone hears of
    /// its outcome, also when nobody does; a plain refusal changed nothing.
    async fn write<A>(
        &self,
        route: &Route,
        parts: Parts,
        forward: impl FnOnce(Parts) -> A,
    ) -> Result<Response<Body>, Problem>
    where
        A: Future<Output = Result<Response<Body>, Problem>>,
    {
        let reach = Reach::of(route.service, parts.uri.path());
        let mut writing = Writing { kept: self, reach };
        let answered = forward(parts).await;
        let refused = |answer: &Response<Body>| answer.status().is_client_error();
        if reach != Reach::Anything && answered.as_ref().is_ok_and(refused) {
            writing.reach = Reach::Nothing;
        }
        drop(writing);
        if let Ok(answer) = &answered
            && let Some(place) = rests_on(answer.headers())
        {
            self.catch_up(place).await;
        }
        answered
    }

    fn give_up(&self, reach: Reach) {
        match reach {
            Reach::Nothing => return,
            Reach::Lists => {}
            Reach::Product(id) => self.versions.changed(Stripe::of(&id.to_string())),
            Reach::Anything => self.versions.all_changed(),
        }
        self.versions.changed(Stripe::of(SOURCE));
    }

    /// Gives up everything.
    fn empty(&self) {
        self.versions.all_changed();
        self.entries.clear();
        self.emptied.increment(1);
        self.bytes.set(0.0);
    }
}

/// An answer that was asked for, for all or for one.
enum Taken {
    Kept(Arc<Entry>),
    Passing(Response<Body>),
}

/// A write on its way: when it ends, however it does, what it reaches is given up.
struct Writing<'a> {
    kept: &'a Kept,
    reach: Reach,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.kept.give_up(self.reach);
    }
}

/// Up to where in products' log an answer rests, if it says so.
fn rests_on(headers: &HeaderMap) -> Option<u64> {
    let said = headers.get(cache_tags::APPLIED)?.to_str().ok()?;
    said.split_once('=')
        .filter(|(service, _)| *service == SOURCE)?
        .1
        .parse()
        .ok()
}
