//! Response compression, negotiated with the client (RFC 9110 §8.4, §12.5.3).
//!
//! | module | holds |
//! | --- | --- |
//! | `accept` | negotiation: which coding the client prefers |
//! | `tags` | entity tags: a tag per coding, mapped back to the service's in conditions |
//! | `encoded` | the streaming encoder |
//!
//! Text of [`BYTES_MIN`] or more is encoded. Event streams are not, because a reader
//! waits for each event, nor are responses marked `no-store` or `no-transform`.
//! Responses with tokens or personal data are `no-store`: the length of an encoded
//! secret beside text that a client chooses reveals the secret (BREACH).
//!
//! **Invariants:** a response has `Vary: Accept-Encoding` exactly if it depends on it;
//! a strong tag names one sequence of bytes and works in every condition; at most
//! [`ENCODERS_MAX`] responses are encoded at a time, further ones are sent plain.

mod accept;
mod encoded;
mod tags;

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    ETAG, IF_MATCH, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::Semaphore;

use crate::body::Body;
use accept::Coding;

/// Smallest response that is encoded, in bytes: a smaller one fits a packet anyway.
const BYTES_MIN: u64 = 1024;

/// Most responses encoded at a time: some 300 KiB each, 20 MiB in all.
const ENCODERS_MAX: usize = 64;

/// Media types that are encoded. Images and archives are compressed already.
const KINDS: [&str; 5] = [
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "text/html",
    "text/plain",
];

/// Encodes responses, unless `[gateway] compression` is off.
pub(crate) struct Compressor {
    is_on: bool,
    encoders: Arc<Semaphore>,
}

/// Codings that a request accepts for its response.
#[derive(Debug)]
pub(crate) struct AcceptedCodings {
    coding: Option<Coding>,
    /// `If-None-Match` as sent: the client's tags of responses in this coding.
    held: Option<HeaderValue>,
}

impl Compressor {
    /// Creates a compressor; one that is off passes every response on.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, encoders: Arc::new(Semaphore::new(ENCODERS_MAX)) }
    }

    /// Negotiates the coding, and maps the tags in the request's conditions back to
    /// those of the service.
    pub(crate) fn wanted(&self, headers: &mut HeaderMap) -> AcceptedCodings {
        let coding = accept::choose(headers).filter(|_| self.is_on);
        tags::strip(headers, IF_MATCH, &Coding::ALL);
        let held = coding.and_then(|coding| {
            let held = headers.get(IF_NONE_MATCH).cloned();
            tags::strip(headers, IF_NONE_MATCH, &[coding]).then_some(held)?
        });
        AcceptedCodings { coding, held }
    }

    /// Encodes a response in the negotiated coding, if it can be encoded.
    pub(crate) fn encode(
        &self,
        wanted: &AcceptedCodings,
        mut response: Response<Body>,
    ) -> Response<Body> {
        if !self.is_on {
            return response;
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            // The tag that the full response would have (RFC 9110 §15.4.5).
            if let Some((coding, held)) = wanted.coding.zip(wanted.held.as_ref()) {
                tags::restore(response.headers_mut(), held, coding);
            }
            vary(response.headers_mut());
            return response;
        }
        if !may_be_encoded(&response) {
            return response;
        }
        vary(response.headers_mut());
        let Some(coding) = wanted.coding else {
            return response;
        };
        let Ok(permit) = self.encoders.clone().try_acquire_owned() else {
            return response;
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, coding.name());
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        if let Some(tag) = headers.get(ETAG).and_then(|tag| tags::of(tag, coding)) {
            headers.insert(ETAG, tag);
        }
        response.map(|body| encoded::encode(coding, body, permit))
    }
}

fn may_be_encoded(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let has_whole_body = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
    );
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        // Without a length, a response to HEAD has no body and any other is a stream.
        .or_else(|| {
            response
                .body()
                .size_hint()
                .exact()
                .filter(|bytes| *bytes > 0)
        });
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let is_text = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or(kind).trim();
        KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind))
    });
    let rules = headers.get_all(CACHE_CONTROL).iter();
    let forbids = |rule: &str| {
        let rule = rule.trim();
        ["no-store", "no-transform"]
            .iter()
            .any(|rules| rules.eq_ignore_ascii_case(rule))
    };
    let mut rules = rules
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(','));
    has_whole_body
        && is_text
        && length.is_none_or(|bytes| bytes >= BYTES_MIN)
        && !headers.contains_key(CONTENT_ENCODING)
        && !rules.any(forbids)
}

/// Adds `Accept-Encoding` to `Vary`.
fn vary(headers: &mut HeaderMap) {
    let mut named = headers
        .get_all(VARY)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let is_named = |value: &str| {
        let mut names = value.split(',').map(str::trim);
        names.any(|name| name == "*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
    };
    if !named.any(is_named) {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}
