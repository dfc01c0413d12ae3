//! `GET /v1/events/stream` without a `source`: the streams of all services' logs as one.
//!
//! The logs have no order among each other, so an event is passed on as it arrives. The `id` of
//! each is the last place in every log, so that a client which goes on after it misses none of
//! any log. A service's stream begins with its place, so places are complete from the start.
//!
//! **Invariants:** events are passed on whole. The stream ends with the first of its parts: the
//! client reconnects, and no log is left out silently.

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use api::Timeout;
use bytes::Bytes;
use chassis::Problem;
use futures::future::join_all;
use futures::stream::{once, select_all, unfold};
use futures::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::body::Body;
use crate::headers;
use crate::request_body::RequestBody;
use crate::routing::SERVICES;
use crate::upstream::{Instances, Upstreams, Wait};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Timeout of the head of a service's stream.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest event, in bytes: one is at most a record of the store, with its envelope.
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// The streams of all logs.
///
/// # Errors
/// When a service does not respond, or the query names a log that there is not.
pub(crate) async fn stream(
    upstreams: &Upstreams,
    parts: &Parts,
    draining: &CancellationToken,
) -> Result<Response<Body>, Problem> {
    let query = parts.uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair.starts_with("source=")) {
        let detail = "`source` must be users, products, orders or notifications";
        return Err(Problem::bad_request(detail));
    }
    let opened = SERVICES.map(|service| open(upstreams, service, parts));
    let mut blocks = Vec::new();
    let mut head = None;
    for (service, opened) in SERVICES.into_iter().zip(join_all(opened).await) {
        let (mut parts, body) = opened?.into_parts();
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.extensions.clear();
        let is_open = parts.status == StatusCode::OK;
        let body = Body::streamed(service, body, is_open.then_some(draining));
        if !is_open {
            // A refusal, such as that the events after a place were trimmed.
            return Ok(Response::from_parts(parts, body));
        }
        let of_service = events(body).map(move |event| Some((service, event)));
        blocks.push(of_service.chain(once(ready(None))).boxed());
        head.get_or_insert(parts.headers);
    }
    let merged = select_all(blocks)
        .take_while(|block| ready(block.is_some()))
        .scan(Places::default(), |places, block| {
            ready(block.map(|(service, event)| places.pass(service, &event)))
        })
        .map(|event| Ok::<_, BoxError>(Frame::data(event)));
    let mut response = Response::new(Body::page(StreamBody::new(merged)));
    // What a service says of its stream holds for all of them, but for its length.
    *response.headers_mut() = head.unwrap_or_default();
    response.headers_mut().remove(CONTENT_LENGTH);
    Ok(response)
}

async fn open(
    upstreams: &Upstreams,
    service: &'static str,
    parts: &Parts,
) -> Result<Response<crate::upstream::ServiceBody>, Problem> {
    let mut request = Request::new(RequestBody::empty());
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    *request.uri_mut() = Uri::try_from(target).map_err(Problem::internal)?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("konbini"));
    for name in [AUTHORIZATION, LAST_EVENT_ID] {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let wait = Wait::begin(Timeout::Total(TIMEOUT));
    let sent = upstreams.send(service, Instances::Newest, &wait, request);
    sent.await.map_err(|error| {
        let detail = format!("the service `{service}` did not respond; choose another one with `source`, or try again");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service-unavailable",
            "A service is unavailable",
            detail,
        )
        .member("service", service)
        .header(RETRY_AFTER, "1")
        .because(error)
    })
}

/// The events and comments of a stream, each with the empty line that ends it. A stream that is
/// cut in the middle of one, or has too large a one, ends before it.
fn events(body: Body) -> impl Stream<Item = Vec<u8>> {
    unfold((body, Vec::new()), |(mut body, mut buffer)| async move {
        loop {
            let end = buffer.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let rest = buffer.split_off(end + 2);
                return Some((buffer, (body, rest)));
            }
            if buffer.len() > EVENT_BYTES_MAX {
                return None;
            }
            let frame = body.frame().await?.ok()?;
            buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    })
}

/// The last place in each log.
#[derive(Default)]
struct Places(BTreeMap<&'static str, String>);

impl Places {
    /// An event of a service with all places as its id.
    fn pass(&mut self, service: &'static str, event: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(event);
        let lines = text.trim_end_matches('\n').lines().map(|line| {
            let Some(id) = line.strip_prefix("id:") else {
                return line.to_owned();
            };
            self.0.insert(service, id.trim().to_owned());
            let places = self.0.values().map(String::as_str);
            format!("id: {}", places.collect::<Vec<_>>().join(","))
        });
        let lines: Vec<_> = lines.collect();
        Bytes::from(lines.join("\n") + "\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_the_last_place_of_every_log() {
        let mut places = Places::default();
        let mut pass = |service, event: &str| {
            let passed = places.pass(service, event.as_bytes());
            String::from_utf8(passed.to_vec()).unwrap()
        };
        assert_eq!(pass("users", ": still here\n\n"), ": still here\n\n");
        assert_eq!(pass("users", "id: users/1/7\n\n"), "id: users/1/7\n\n");
        assert_eq!(
            pass("orders", "id: orders/2/1\nevent: order.paid\ndata: {}\n\n"),
            "id: orders/2/1,users/1/7\nevent: order.paid\ndata: {}\n\n"
        );
        assert_eq!(
            pass("orders", "data: id: x\nid: orders/2/2\n\n"),
            "data: id: x\nid: orders/2/2,users/1/7\n\n"
        );
    }

    #[tokio::test]
    async fn events_are_found_wherever_a_body_is_cut() {
        let whole = "id: 1\ndata: \u{e9}\n\n: still here\n\nid: 2\n\nid: 3\n";
        for size in [1, 2, 3, 7, 100] {
            let frames = whole.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let frames = frames.map(|data| Ok::<_, BoxError>(Frame::data(data)));
            let body = Body::page(StreamBody::new(futures::stream::iter(frames)));
            let found: Vec<_> = events(body).collect().await;
            let found: Vec<_> = found
                .iter()
                .map(|event| std::str::from_utf8(event).unwrap())
                .collect();
            assert_eq!(
                found,
                ["id: 1\ndata: \u{e9}\n\n", ": still here\n\n", "id: 2\n\n"],
                "{size}"
            );
        }
    }
}
