//! An answer that is kept: whether it may be, for whom it is, and how it is told.
//!
//! **Invariant:** only what its service lets the gateway keep is kept, and nothing
//! that calls itself private, has an error's status or sets a cookie.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::{cache_tags, etag};
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, SET_COOKIE, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::versions::{Stripe, Version};
use crate::body::Body;

/// What an answer may depend on, and what may select it. More is not kept.
const TAGS_MAX: usize = 8;
const SELECTING_MAX: usize = 8;

/// What a header takes beside its text, in bytes, and what an entry does.
const HEADER_BYTES: usize = 96;
const ENTRY_BYTES: usize = 512;

/// A request's header that selected an answer (RFC 9111 §4.1), and what it said.
type Selecting = (HeaderName, Vec<HeaderValue>);

/// How an answer may be kept.
pub(super) struct Permit {
    max_age: Duration,
    depends_on: Box<[Stripe]>,
    selected_by: Box<[Selecting]>,
}

impl Permit {
    /// What the service allows for its answer to these headers, if anything.
    pub(super) fn read(answer: &Response<Body>, asked: &HeaderMap) -> Option<Self> {
        let headers = answer.headers();
        let is_everyones = answer.status() == StatusCode::OK
            && !headers.contains_key(SET_COOKIE)
            && !["private", "no-store"]
                .iter()
                .any(|word| says(headers, &CACHE_CONTROL, word));
        let rule = headers
            .get(cache_tags::CACHE_CONTROL)
            .filter(|_| is_everyones)?;
        let max_age = rule.to_str().ok()?.split(',').find_map(|directive| {
            let seconds = directive.trim().strip_prefix("max-age=")?;
            seconds.parse().ok().map(Duration::from_secs)
        })?;
        let tags = headers.get(cache_tags::CACHE_TAGS)?.to_str().ok()?;
        let depends_on: Box<[_]> = tags.split_ascii_whitespace().map(Stripe::of).collect();
        if max_age.is_zero() || !(1..=TAGS_MAX).contains(&depends_on.len()) {
            return None;
        }
        let selected_by = selecting(headers, asked)?;
        Some(Self { max_age, depends_on, selected_by })
    }
}

/// Whether one of a header's comma-separated words is this one.
pub(super) fn says(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// What `Vary` names, as it was asked; `None` for `*` and for what is no name.
fn selecting(answer: &HeaderMap, asked: &HeaderMap) -> Option<Box<[Selecting]>> {
    let mut selecting = Vec::new();
    for value in answer.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim) {
            if name == "*" || selecting.len() == SELECTING_MAX {
                return None;
            }
            let name: HeaderName = name.parse().ok()?;
            let said = asked.get_all(&name).iter().cloned().collect();
            selecting.push((name, said));
        }
    }
    Some(selecting.into())
}

/// A kept answer, its body as the service made it.
pub(super) struct CacheEntry {
    permit: Permit,
    head: HeaderMap,
    body: Bytes,
    tag: Option<Box<str>>,
    since: Version,
    received: Instant,
}

impl CacheEntry {
    /// Of an answer that was asked for at `since`.
    pub(super) fn new(permit: Permit, answer: Parts, body: Bytes, since: Version) -> Self {
        let mut head = answer.headers;
        for name in &super::INTERNAL {
            head.remove(name);
        }
        let tag = head.get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map(Box::from);
        head.insert(CONTENT_LENGTH, body.len().into());
        // Its place: filled in whenever the answer is told again.
        head.insert(AGE, HeaderValue::from_static("0"));
        Self { permit, head, body, tag, since, received: Instant::now() }
    }

    /// When it was asked for.
    pub(super) fn since(&self) -> Version {
        self.since
    }

    /// What it depends on.
    pub(super) fn depends_on(&self) -> &[Stripe] {
        &self.permit.depends_on
    }

    /// Whether it may still be told.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.received) < self.permit.max_age
    }

    /// Whether a request with these headers would have selected it.
    pub(super) fn is_for(&self, asked: &HeaderMap) -> bool {
        let mut selected_by = self.permit.selected_by.iter();
        selected_by.all(|(name, said)| asked.get_all(name).iter().eq(said))
    }

    /// What it takes in memory, in bytes, more or less.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.head.iter();
        let head: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
            .sum();
        ENTRY_BYTES + head + self.body.len()
    }

    /// It, or 304 when the client has this version, or its head alone; with its age,
    /// as RFC 9111 §4 demands of what is told again.
    pub(super) fn tell(&self, method: &Method, asked: &HeaderMap, now: Instant) -> Response<Body> {
        let tag = self.tag.as_deref();
        let is_known = tag.is_some_and(|tag| etag::is_known(asked, tag));
        let is_whole = *method == Method::GET && !is_known;
        let body = if is_whole {
            Body::page(Full::new(self.body.clone()))
        } else {
            Body::empty()
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        *headers = self.head.clone();
        headers.insert(AGE, now.duration_since(self.received).as_secs().into());
        if is_known {
            headers.remove(CONTENT_LENGTH);
            headers.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }
}
