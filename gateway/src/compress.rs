//! Answers in fewer bytes, for clients that understand them (RFC 9110 §8.4, §12.5.3).
//!
//! | module | holds |
//! | --- | --- |
//! | `accept` | which coding the client would rather have |
//! | `tags` | one version under one tag for each coding, and back again |
//! | `encoded` | a body, encoded piece by piece |
//!
//! Text of [`BYTES_MIN`] or more is encoded; events are not, whose reader waits for
//! each, nor what says `no-store` or `no-transform`. Answers with tokens and people
//! are `no-store`: the length of an encoded secret beside what a client can choose
//! tells about the secret (BREACH). The other answers hold no secret.
//!
//! **Invariants:** an answer says `Vary: Accept-Encoding` exactly if it depends on it;
//! a strong tag names one sequence of bytes and still works in every condition; at most
//! [`ENCODERS_MAX`] answers are being encoded, further ones go as they are.

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
use encoded::Encoded;

/// A smaller answer fits a packet as it is, in bytes.
const BYTES_MIN: u64 = 1024;

/// How many answers are encoded at once: some 300 KiB each, 20 MiB in all.
const ENCODERS_MAX: usize = 64;

/// What is text. Pictures and archives are small already.
const KINDS: [&str; 5] = [
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "text/html",
    "text/plain",
];

/// Encodes answers, where that is set.
pub(crate) struct Compressor {
    is_on: bool,
    encoders: Arc<Semaphore>,
}

/// What a request says about the coding of its answer.
#[derive(Debug)]
pub(crate) struct AcceptedCodings {
    coding: Option<Coding>,
    /// The tags that the client holds of answers in this coding.
    held: Option<HeaderValue>,
}

impl Compressor {
    /// One that encodes, or one that does nothing.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, encoders: Arc::new(Semaphore::new(ENCODERS_MAX)) }
    }

    /// Reads what is wanted, and gives a request's conditions the tags that services
    /// know.
    pub(crate) fn wanted(&self, headers: &mut HeaderMap) -> AcceptedCodings {
        let coding = accept::choose(headers).filter(|_| self.is_on);
        tags::strip(headers, IF_MATCH, &Coding::ALL);
        let held = coding.and_then(|coding| {
            let held = headers.get(IF_NONE_MATCH).cloned();
            tags::strip(headers, IF_NONE_MATCH, &[coding]).then_some(held)?
        });
        AcceptedCodings { coding, held }
    }

    /// Encodes an answer as it is wanted, if it is worth it.
    pub(crate) fn encode(
        &self,
        wanted: &AcceptedCodings,
        mut response: Response<Body>,
    ) -> Response<Body> {
        if !self.is_on {
            return response;
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            // The tag that the whole answer would have (RFC 9110 §15.4.5).
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
        response.map(|body| Body::page(Encoded::new(coding, body, permit)))
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
        // Without a length an answer to HEAD has no body and another one has no end yet.
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

/// Adds `Accept-Encoding` to what the answer depends on.
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
