//! Which path belongs to which service, and the bounds of a request there.
//!
//! One static table, the more specific prefix first. A prefix matches whole
//! segments of the path as it was sent: nothing is decoded or normalised, so what
//! is routed is what the service sees.
//!
//! **Invariant:** a service sees a token only if it is believed; where none is
//! needed because the body proves who asks, it never sees one.

use std::time::Duration;

use http::Method;

use api::{IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, REQUEST_TIMEOUT};

use crate::upstream::Instances;

/// The services behind the door.
pub(crate) const SERVICES: [&str; 4] = ["users", "products", "orders", "notifications"];

/// A little longer than a service gives itself, so that its own refusal, which
/// knows more, comes first.
const ANSWER_TIMEOUT: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(5));

/// How long an import may make no progress: a slow disk behind a full queue.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long an answer may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// From the moment the request is sent, its body included.
    Total(Duration),
    /// From the last piece of the request's body that was passed on.
    Idle(Duration),
}

/// What a request's bearer token is to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// Nothing is forwarded without one.
    Required,
    /// It may be left out, but not be wrong; a service may still want one.
    Optional,
    /// Neither looked at nor passed on: the body proves who asks, and whoever
    /// renews an expired token may well send that along.
    Ignored,
}

/// A prefix and what is known about the requests below it.
#[derive(Debug)]
pub(crate) struct Route {
    /// Whole segments the path starts with.
    pub(crate) prefix: &'static str,
    /// The only method it is for, where methods differ.
    pub(crate) method: Option<&'static str>,
    /// Who answers.
    pub(crate) service: &'static str,
    /// What its token means.
    pub(crate) token: Token,
    /// The largest request body.
    pub(crate) body_bytes_max: u64,
    /// How long until the answer's head.
    pub(crate) timeout: Timeout,
    /// Which instances of the service can answer.
    pub(crate) instances: Instances,
    /// Whether its answer only ends because somebody ends it.
    pub(crate) endless: bool,
}

static ROUTES: [Route; 15] = [
    public("/v1/users/me", "users"),
    proven_by_body("/v1/users", "users"),
    public("/v1/users", "users"),
    proven_by_body("/v1/sessions", "users"),
    public("/v1/sessions", "users"),
    public("/.well-known/paserk.json", "users"),
    bulk("/v1/products/import", "products"),
    bulk("/v1/products/export", "products"),
    public("/v1/products", "products"),
    public("/v1/categories", "products"),
    private("/v1/orders", "orders"),
    proven_by_body("/v1/payments/webhook", "orders"),
    Route {
        endless: true,
        ..private("/v1/notifications/stream", "notifications")
    },
    private("/v1/notifications", "notifications"),
    private("/v1/webhooks", "notifications"),
];

const fn public(prefix: &'static str, service: &'static str) -> Route {
    Route {
        prefix,
        method: None,
        service,
        token: Token::Optional,
        body_bytes_max: JSON_BODY_BYTES_MAX as u64,
        timeout: Timeout::Total(ANSWER_TIMEOUT),
        instances: Instances::Newest,
        endless: false,
    }
}

const fn private(prefix: &'static str, service: &'static str) -> Route {
    Route { token: Token::Required, ..public(prefix, service) }
}

/// Registration, login, renewal, a code, a signature.
const fn proven_by_body(prefix: &'static str, service: &'static str) -> Route {
    Route {
        method: Some("POST"),
        token: Token::Ignored,
        ..public(prefix, service)
    }
}

const fn bulk(prefix: &'static str, service: &'static str) -> Route {
    Route {
        body_bytes_max: IMPORT_BODY_BYTES_MAX,
        timeout: Timeout::Idle(IMPORT_TIMEOUT),
        ..private(prefix, service)
    }
}

/// One service's own events: routed by what the query or a parked event's id names.
static EVENTS: [Route; 4] = [
    private("/v1/events", SERVICES[0]),
    private("/v1/events", SERVICES[1]),
    private("/v1/events", SERVICES[2]),
    private("/v1/events", SERVICES[3]),
];

/// The route of a request for the events of one service, if it is one.
pub(crate) fn find_events(path: &str, query: Option<&str>) -> Option<&'static Route> {
    let below = path.strip_prefix("/v1/events")?;
    let service = match below.strip_prefix("/dead-letters/") {
        Some(id) => id.split('.').next()?,
        None if below.is_empty() => source(query?)?,
        None => return None,
    };
    EVENTS.iter().find(|route| route.service == service)
}

/// The service that a query asks for: its `source`, or that of the event it goes on
/// `after`, `orders/1/7`.
fn source(query: &str) -> Option<&str> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(given, _)| *given == name)
            .map(|(_, value)| value)
    };
    value("source").or_else(|| value("after")?.split(['/', '%']).next())
}

/// The prefixes of all routes.
pub(crate) fn prefixes() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.prefix)
}

/// The route of a request, if it has one.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| {
        let asked = path.strip_prefix(route.prefix);
        asked.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && route.method.is_none_or(|only| method == only)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_and_the_specific_first() {
        let prefix = |path: &str| find(&Method::GET, path).map(|route| route.prefix);
        assert_eq!(prefix("/v1/orders"), Some("/v1/orders"));
        assert_eq!(prefix("/v1/orders/x/pay"), Some("/v1/orders"));
        assert_eq!(prefix("/v1/products/import"), Some("/v1/products/import"));
        assert_eq!(prefix("/v1/products/imports"), Some("/v1/products"));
        for unknown in ["/", "/v1", "/v1/ordersx", "/v1%2forders", "//v1/orders"] {
            assert_eq!(prefix(unknown), None, "{unknown}");
        }
        let token = |path: &str| find(&Method::POST, path).map(|route| route.token);
        assert_eq!(token("/v1/sessions/refresh"), Some(Token::Ignored));
        assert_eq!(token("/v1/users/password-reset"), Some(Token::Ignored));
        assert_eq!(token("/v1/users/me/password"), Some(Token::Optional));
        for route in &ROUTES {
            let method: Method = route.method.unwrap_or("GET").parse().unwrap();
            let found = find(&method, route.prefix).unwrap();
            assert!(std::ptr::eq(found, route), "hidden: {route:?}");
            assert!(SERVICES.contains(&route.service), "{}", route.service);
        }
    }
}
