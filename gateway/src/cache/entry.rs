//! A cached response (RFC 9111): its key, whether it may be cached, which requests it
//! matches, and how it is served.
//!
//! **Invariant:** a response is cached only if its service allows the gateway to, and never
//! if it is private, has an error status or sets a cookie.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::versions::{Stripe, Version};
use chassis::{cache_tags, etag};
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, SET_COOKIE, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;

use crate::body::Body;

/// Cache tags and `Vary` fields of a response. One with more of either is not cached.
const TAGS_MAX: usize = 8;
const SELECTING_MAX: usize = 8;

/// The overhead of a header field and of an entry beside their text, in bytes.
const HEADER_BYTES: usize = 96;
const ENTRY_BYTES: usize = 512;

/// A header field of the request that selected a response (RFC 9111 §4.1), and its
/// values.
type Selecting = (HeaderName, Vec<HeaderValue>);

/// The rules that a response is cached under.
pub(super) struct Permit {
    max_age: Duration,
    depends_on: Box<[Stripe]>,
    selected_by: Box<[Selecting]>,
}

impl Permit {
    /// Reads the rules from a response; `None` if it must not be cached.
    pub(super) fn read(response: &Response<Body>, request: &HeaderMap) -> Option<Self> {
        let headers = response.headers();
        let is_public = response.status() == StatusCode::OK
            && !headers.contains_key(SET_COOKIE)
            && !["private", "no-store"]
                .iter()
                .any(|directive| has_directive(headers, &CACHE_CONTROL, directive));
        let rule = headers
            .get(cache_tags::CACHE_CONTROL)
            .filter(|_| is_public)?;
        let max_age = rule.to_str().ok()?.split(',').find_map(|directive| {
            let seconds = directive.trim().strip_prefix("max-age=")?;
            seconds.parse().ok().map(Duration::from_secs)
        })?;
        let tags = headers.get(cache_tags::CACHE_TAGS)?.to_str().ok()?;
        let depends_on: Box<[_]> = tags.split_ascii_whitespace().map(Stripe::of).collect();
        if max_age.is_zero() || !(1..=TAGS_MAX).contains(&depends_on.len()) {
            return None;
        }
        let selected_by = selecting(headers, request)?;
        Some(Self { max_age, depends_on, selected_by })
    }
}

/// Whether a header has this directive among its comma-separated ones.
pub(super) fn has_directive(headers: &HeaderMap, header: &HeaderName, directive: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(directive))
}

/// The request's fields that `Vary` names; `None` for `*` and for an invalid name.
fn selecting(response: &HeaderMap, request: &HeaderMap) -> Option<Box<[Selecting]>> {
    let mut selecting = Vec::new();
    for value in response.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim) {
            if name == "*" || selecting.len() == SELECTING_MAX {
                return None;
            }
            let name: HeaderName = name.parse().ok()?;
            let values = request.get_all(&name).iter().cloned().collect();
            selecting.push((name, values));
        }
    }
    Some(selecting.into())
}

/// A cached response, its body as the service made it.
pub(super) struct CacheEntry {
    permit: Permit,
    head: HeaderMap,
    body: Bytes,
    tag: Option<Box<str>>,
    since: Version,
    received: Instant,
}

impl CacheEntry {
    /// Makes an entry from a response that was requested at `since`.
    pub(super) fn new(permit: Permit, response: Parts, body: Bytes, since: Version) -> Self {
        let mut head = response.headers;
        for name in &super::INTERNAL {
            head.remove(name);
        }
        let tag = head.get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map(Box::from);
        head.insert(CONTENT_LENGTH, body.len().into());
        // A placeholder: filled in whenever the response is served.
        head.insert(AGE, HeaderValue::from_static("0"));
        Self { permit, head, body, tag, since, received: Instant::now() }
    }

    /// The version at which it was requested.
    pub(super) fn since(&self) -> Version {
        self.since
    }

    /// The stripes of its cache tags.
    pub(super) fn depends_on(&self) -> &[Stripe] {
        &self.permit.depends_on
    }

    /// Whether it is younger than its maximum age.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.received) < self.permit.max_age
    }

    /// Whether a request with these headers would have selected it.
    pub(super) fn is_for(&self, request: &HeaderMap) -> bool {
        let mut selected_by = self.permit.selected_by.iter();
        selected_by.all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    /// Its approximate size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.head.iter();
        let head: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
            .sum();
        ENTRY_BYTES + head + self.body.len()
    }

    /// Responds with the entry: whole, as 304 when the client has this version, or with
    /// the head alone; with its `Age`, as RFC 9111 §4 demands.
    pub(super) fn serve(
        &self,
        method: &Method,
        request: &HeaderMap,
        now: Instant,
    ) -> Response<Body> {
        let tag = self.tag.as_deref();
        let is_known = tag.is_some_and(|tag| etag::is_known(request, tag));
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

/// The key of a target: its path and query, with the parameters sorted by name.
///
/// **Invariant:** two targets have one key only if every parameter has the same values in
/// the same order in both. Parameters are therefore never sorted by value, and not at all
/// where two encoded names may mean the same.
pub(super) fn entry_key(uri: &Uri) -> Cow<'_, str> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let Some(query) = uri.query() else {
        return target.into();
    };
    let is_encoded = |pair| name(pair).contains(['%', '+']);
    if query.split('&').is_sorted_by_key(name) || query.split('&').any(is_encoded) {
        return target.into();
    }
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_by_key(|pair| name(pair));
    format!("{}?{}", uri.path(), pairs.join("&")).into()
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use url::form_urlencoded::parse;

    use super::*;

    /// The parameters as a service reads them: the values of each name, in order.
    fn meaning(uri: &Uri) -> (String, BTreeMap<String, Vec<String>>) {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in parse(uri.query().unwrap_or_default().as_bytes()) {
            let values = values.entry(name.into_owned()).or_default();
            values.push(value.into_owned());
        }
        (uri.path().to_owned(), values)
    }

    fn target(pairs: &[(&str, &str)]) -> Uri {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("/v1/products?{}", pairs.join("&")).parse().unwrap()
    }

    #[test]
    fn parameters_in_any_order_have_one_key() {
        let uri: Uri = "/v1/products?sort=title&brand=Aki".parse().unwrap();
        assert_eq!(entry_key(&uri), "/v1/products?brand=Aki&sort=title");
        let sorted: Uri = "/v1/products?brand=Aki&sort=title".parse().unwrap();
        assert!(matches!(entry_key(&sorted), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn targets_with_one_key_have_the_same_parameters(
            pairs in prop::collection::vec(
                (prop::sample::select(vec!["a", "b", "c", "%61", "a+", ""]),
                 prop::sample::select(vec!["1", "2", "%31"])), 0..6),
            swaps in prop::collection::vec((0..6usize, 0..6usize), 0..4),
        ) {
            let mut moved = pairs.clone();
            for (one, other) in swaps {
                if one < moved.len() && other < moved.len() {
                    moved.swap(one, other);
                }
            }
            let (one, other) = (target(&pairs), target(&moved));
            if entry_key(&one) == entry_key(&other) {
                prop_assert_eq!(meaning(&one), meaning(&other));
            }
            let plain = pairs.iter().all(|(name, _)| !name.contains(['%', '+']));
            if plain && meaning(&one) == meaning(&other) {
                prop_assert!(pairs.iter().any(|(_, value)| value.contains('%'))
                    || entry_key(&one) == entry_key(&other));
            }
        }
    }
}
