//! Streams of server-sent events (WHATWG HTML §9.2) that pass proxies and suit browsers.
//!
//! A stream begins with a comment, so that its head leaves at once, and has one after each
//! silent interval, so that no proxy takes it for dead. Its head says that no proxy may buffer
//! it (nginx) or change it (RFC 9111 §5.2.2.6). A client goes on after the id of the last event
//! it got, in the header `Last-Event-ID` or, for those that cannot send one, in the query. An id
//! that does not read is treated as an absent one: a browser would give up at a refusal.
//!
//! **Invariant:** a stream ends when the token it was opened with expires or is revoked.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use futures::Stream;
use futures::stream::unfold;

use crate::Trust;

/// The header with which nginx does not wait for a full buffer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");

/// The `Cache-Control` of a stream.
const NO_STORE_OR_TRANSFORM: HeaderValue =
    HeaderValue::from_static("private, no-store, no-transform");

/// Interval of comments on a silent stream: below the usual idle timeout of proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The source of a stream's events.
pub trait StreamSource: Send + 'static {
    /// Waits for the next event; `None` at the end. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// Streams the events of a source, for as long as `token` is valid: the client reconnects with
/// a fresh one and goes on without loss.
pub fn respond<S: StreamSource>(source: S, trust: Trust, token: &str) -> Response {
    let open = OpenStream { source, trust, token: token.into(), has_begun: false };
    let headers = [
        (CACHE_CONTROL, NO_STORE_OR_TRANSFORM),
        (ACCEL_BUFFERING, NO),
    ];
    (headers, Sse::new(open.events())).into_response()
}

/// The id after which a client wants to go on: that of its header, else that of its query.
pub fn resume_after<T: FromStr>(headers: &HeaderMap, query: Option<&str>) -> Option<T> {
    let header = headers.get("last-event-id");
    let header = header.and_then(|value| value.to_str().ok());
    header
        .and_then(|id| id.trim().parse().ok())
        .or_else(|| query?.trim().parse().ok())
}

/// The state of an open stream: kept small, since there are thousands. The token is copied,
/// since the request's headers would retain the whole buffer they were read into.
struct OpenStream<S> {
    source: S,
    trust: Trust,
    token: Box<str>,
    has_begun: bool,
}

impl<S: StreamSource> OpenStream<S> {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut open| async move {
            if !open.has_begun {
                open.has_begun = true;
                return Some((Ok(Event::default().comment("listening")), open));
            }
            let next = tokio::time::timeout(HEARTBEAT, open.source.next()).await;
            open.trust.verify(&open.token, model::now()).await.ok()?;
            let event = match next {
                Ok(event) => event?,
                Err(_) => Event::default().comment("still here"),
            };
            Some((Ok(event), open))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_before_the_query_and_an_unusable_id_not_at_all() {
        for (header, query, after) in [
            (None, None, None),
            (Some("7"), None, Some(7)),
            (None, Some("8"), Some(8)),
            (Some("7"), Some("8"), Some(7)),
            (Some("x"), Some(" 8 "), Some(8)),
            (Some(""), Some(""), None),
            (None, Some("x"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("last-event-id", header.parse().unwrap());
            }
            assert_eq!(
                resume_after::<u64>(&headers, query),
                after,
                "{header:?} {query:?}"
            );
        }
    }
}
