//! Pages that aggregate a response of each service: status, events and dead letters of the
//! whole shop. They are for admins, which the services check again.
//!
//! **Invariant:** a service that does not respond is named and never left out: a list
//! without its part would look as if nothing had happened there.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Timeout;
use bytes::Bytes;
use chassis::Problem;
use chassis::page::cursor;
use chassis::status::ServiceStatus;
use data_encoding::BASE64URL_NOPAD;
use futures::future::join_all;
use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use crate::body::{Body, json_page};
use crate::request_body::RequestBody;
use crate::routing::SERVICES;
use crate::upstream::{Instances, Upstreams, Wait};

/// Timeout of a service's response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response of a service, in bytes: a hundred of the largest events.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The cursor of each service's part of a list; `None` at its end.
type Places = BTreeMap<String, Option<String>>;

/// `GET /v1/status`: each service's status, or the reason why there is none.
pub(crate) async fn status(
    own: &ServiceStatus,
    upstreams: &Upstreams,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let said = SERVICES.map(|service| async move {
        let said = ask(
            upstreams,
            service,
            "/v1/status",
            parts.headers.get(AUTHORIZATION),
            TIMEOUT,
        )
        .await;
        let absent = |why: String| json!({ "service": service, "state": "absent", "why": why });
        let said = said.map_err(Unanswered::into_reason);
        (service.to_owned(), said.unwrap_or_else(absent))
    });
    let mut services: BTreeMap<String, Value> = join_all(said).await.into_iter().collect();
    let own = own.clone();
    let own = tokio::task::spawn_blocking(move || own.now()).await;
    let own = own.map_err(Problem::internal)??;
    services.insert(
        "gateway".into(),
        serde_json::to_value(own).map_err(Problem::internal)?,
    );
    Ok(json_page(&json!({ "services": services })))
}

/// `GET /v1/events/dead-letters`: the dead letters of each service in turn.
pub(crate) async fn dead_letters(
    upstreams: &Upstreams,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let query = parts
        .uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let target = format!("/v1/events/dead-letters{query}");
    let asked = SERVICES.map(|service| (service, target.clone()));
    let mut items = Vec::new();
    for (_, mut page) in all(upstreams, asked, parts).await? {
        if let Value::Array(parked) = page["items"].take() {
            items.extend(parked);
        }
    }
    Ok(json_page(&json!({ "items": items, "next_cursor": null })))
}

/// `GET /v1/events` of all services, newest first.
pub(crate) async fn events(
    upstreams: &Upstreams,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let EventQuery { limit, kind, mut places } = EventQuery::read(parts)?;
    let asked = places.iter().filter_map(|(service, place)| {
        let service = SERVICES.into_iter().find(|known| known == service)?;
        let place = place.as_ref()?;
        let mut target = format!("/v1/events?limit={limit}");
        for (name, value) in [("cursor", place), ("kind", &kind)] {
            if !value.is_empty() {
                target.push_str(&format!("&{name}={value}"));
            }
        }
        Some((service, target))
    });
    let pages = all(upstreams, asked.collect::<Vec<_>>(), parts).await?;
    let mut found: Vec<Value> = Vec::new();
    for (service, mut page) in pages {
        if let Value::Array(items) = page["items"].take() {
            found.extend(items);
        }
        let place = page["next_cursor"].as_str().map(str::to_owned);
        places.insert(service.to_owned(), place);
    }
    // RFC 3339 in UTC sorts by text as by time.
    found.sort_by(|a, b| b["at"].as_str().cmp(&a["at"].as_str()));
    let mut left = found.split_off(limit.min(found.len()));
    // Events beyond the page belong to the next one, which starts with the newest.
    left.reverse();
    for event in &left {
        let (source, seq) = (event["source"].as_str(), event["seq"].as_u64());
        if let (Some(source), Some(seq)) = (source, seq) {
            places.insert(source.to_owned(), Some(cursor(&(seq + 1))));
        }
    }
    let is_over = places.values().all(Option::is_none);
    let next = (!is_over).then(|| BASE64URL_NOPAD.encode(json!(places).to_string().as_bytes()));
    Ok(json_page(&json!({ "items": found, "next_cursor": next })))
}

/// The query of `GET /v1/events`.
struct EventQuery {
    limit: usize,
    /// The kind of event; empty for any.
    kind: String,
    /// The cursor of each service; empty for the beginning.
    places: Places,
}

impl EventQuery {
    fn read(parts: &Parts) -> Result<Self, Problem> {
        let refuse = |detail: &str| Err(Problem::bad_request(detail));
        let start = SERVICES.map(|service| (service.to_owned(), Some(String::new())));
        let mut query = Self { limit: 20, kind: String::new(), places: start.into() };
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("limit", text) => match text.parse() {
                    Ok(limit) if (1..=100).contains(&limit) => query.limit = limit,
                    _ => return refuse("`limit` must be a number from 1 to 100"),
                },
                ("kind", kind) if is_kind(kind) => query.kind = kind.to_owned(),
                ("kind", _) => {
                    return refuse("`kind` must be a kind of event, such as `order.placed`");
                }
                ("cursor", text) => match places(text) {
                    Some(places) => query.places = places,
                    None => return refuse("`cursor` must be the `next_cursor` of an earlier page"),
                },
                ("source", _) => {
                    return refuse("`source` must be users, products, orders or notifications");
                }
                ("after", _) => return refuse("`after` needs a `source`, or the id of an event"),
                // `query` has refused every other name.
                _ => {}
            }
        }
        Ok(query)
    }
}

fn is_kind(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
}

fn places(text: &str) -> Option<Places> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let places: Places = serde_json::from_slice(&bytes).ok()?;
    let is_cursor = |place: &String| {
        place
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    places.values().flatten().all(is_cursor).then_some(places)
}

/// Sends one request to several services concurrently.
async fn all(
    upstreams: &Upstreams,
    asked: impl IntoIterator<Item = (&'static str, String)>,
    parts: &Parts,
) -> Result<Vec<(&'static str, Value)>, Problem> {
    let asked = asked.into_iter().map(|(service, target)| async move {
        let said = ask(
            upstreams,
            service,
            &target,
            parts.headers.get(AUTHORIZATION),
            TIMEOUT,
        )
        .await;
        match said {
            Ok(said) => Ok((service, said)),
            Err(Unanswered::Refused(StatusCode::BAD_REQUEST, why)) => {
                Err(Problem::bad_request(why))
            }
            Err(unanswered) => Err(unavailable(service, unanswered)),
        }
    });
    join_all(asked).await.into_iter().collect()
}

fn unavailable(service: &str, unanswered: Unanswered) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "service-unavailable",
        "A service is unavailable",
        format!(
            "the service `{service}` did not respond; choose another one with `source`, or try again"
        ),
    )
    .member("service", service)
    .header(RETRY_AFTER, "1")
    .because(unanswered.into_reason())
}

/// Why a service did not respond with what it was asked for.
pub(crate) enum Unanswered {
    /// It refused with this status, for this reason.
    Refused(StatusCode, String),
    /// It did not respond.
    Absent(String),
}

impl Unanswered {
    /// The reason in words.
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Refused(_, why) | Self::Absent(why) => why,
        }
    }
}

/// A service's JSON response to a request of the gateway's with the caller's credentials,
/// or the reason why there is none.
pub(crate) async fn ask(
    upstreams: &Upstreams,
    service: &'static str,
    target: &str,
    credentials: Option<&HeaderValue>,
    timeout: Duration,
) -> Result<Value, Unanswered> {
    let body = fetch(upstreams, service, target, credentials, timeout).await?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

/// The body of such a response, whatever its form.
pub(crate) async fn fetch(
    upstreams: &Upstreams,
    service: &'static str,
    target: &str,
    credentials: Option<&HeaderValue>,
    timeout: Duration,
) -> Result<Bytes, Unanswered> {
    let absent = |why: String| Unanswered::Absent(why);
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = Uri::try_from(target).map_err(|error| absent(error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("konbini"));
    if let Some(credentials) = credentials {
        headers.insert(AUTHORIZATION, credentials.clone());
    }
    let wait = Wait::begin(Timeout::Total(timeout));
    let response = upstreams
        .send(service, Instances::Newest, &wait, request)
        .await
        .map_err(|error| absent(error.to_string()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect();
    let late = |_| absent(format!("no response within {} s", timeout.as_secs()));
    let body = tokio::time::timeout(timeout, body).await.map_err(late)?;
    let body = body.map_err(|error| absent(error.to_string()))?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = said["detail"].as_str().map(str::to_owned);
    let why = detail.unwrap_or_else(|| format!("it responded with {status}"));
    Err(Unanswered::Refused(status, why))
}
