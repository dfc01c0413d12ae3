//! Routing: which row of the route table a request belongs to, and which service it is
//! forwarded to.
//!
//! A path is compared as it was sent, so the gateway routes what the service sees.

use std::time::Duration;

use api::{Access, Found, Route, Service, Timeout};
use http::{Method, Uri};

/// The services behind the gateway.
pub(crate) const SERVICES: [&str; 4] = ["users", "products", "orders", "notifications"];

/// How much longer the gateway waits than a service gives itself, so that the service's
/// own refusal, which knows more, comes first.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

/// The path of dead letters before it had that name; gone in the next release.
const PARKED: &str = "/v1/events/parked";
/// The path of the console without the slash that it ends in.
const CONSOLE: &str = "/_";

/// A row, and the service that it is forwarded to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination {
    pub(crate) route: &'static Route,
    pub(crate) service: &'static str,
}

/// The target of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// A page of the gateway's own.
    Page(&'static Route),
    /// A service's response.
    Service(Destination),
    /// A path that does not take the method: see [`Route::methods`].
    OtherMethod(&'static Route),
    /// A path that is at another (308).
    Moved,
    /// No row has the path.
    Nothing,
}

impl Target {
    /// The target of a request.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        let route = match api::find(method, uri.path()) {
            Found::Route(route) => route,
            Found::OtherMethod(route) => return Self::OtherMethod(route),
            Found::Nothing if moved(uri).is_some() => return Self::Moved,
            Found::Nothing => return Self::Nothing,
        };
        match (route.service, route.service.name()) {
            (Service::Each, _) => one_of_each(route, uri),
            (Service::Gateway, _) | (_, None) => Self::Page(route),
            (_, Some(service)) => Self::Service(Destination { route, service }),
        }
    }

    /// The row that the request belongs to.
    pub(crate) fn route(self) -> Option<&'static Route> {
        match self {
            Self::Page(route) | Self::Service(Destination { route, .. }) => Some(route),
            Self::OtherMethod(_) | Self::Moved | Self::Nothing => None,
        }
    }

    /// Every label that [`label`](Self::label) returns.
    pub(crate) fn labels() -> impl Iterator<Item = &'static str> {
        api::ROUTES.iter().map(|route| route.path).chain(["none"])
    }

    /// The label in metrics and logs: one of few, whatever clients ask for.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Page(route)
            | Self::Service(Destination { route, .. })
            | Self::OtherMethod(route) => route.path,
            Self::Moved | Self::Nothing => "none",
        }
    }
}

impl Destination {
    /// The timeout of the response's head.
    pub(crate) fn timeout(&self) -> Timeout {
        match self.route.timeout {
            Timeout::Total(timeout) => Timeout::Total(timeout + TIMEOUT_MARGIN),
            idle => idle,
        }
    }

    /// Whether a token is checked and forwarded.
    pub(crate) fn reads_token(&self) -> bool {
        self.route.access != Access::ProvenByBody
    }

    /// Whether nothing is forwarded without a valid token.
    pub(crate) fn needs_token(&self) -> bool {
        !matches!(
            self.route.access,
            Access::ProvenByBody | Access::Anyone | Access::Holder
        )
    }
}

/// A row that every service implements: goes to the service that a dead letter's id or the
/// query names, else to the gateway's page, which aggregates all.
fn one_of_each(route: &'static Route, uri: &Uri) -> Target {
    let named = match uri.path().strip_prefix("/v1/events/dead-letters/") {
        Some(id) => id.split('.').next().map(str::to_owned),
        None if ["/v1/events", "/v1/events/stream"].contains(&route.path) => {
            source(uri.query().unwrap_or_default())
        }
        None => None,
    };
    let service = named.and_then(|named| SERVICES.into_iter().find(|service| *service == named));
    match service {
        Some(service) => Target::Service(Destination { route, service }),
        None if route.path.contains('{') => Target::Nothing,
        None => Target::Page(route),
    }
}

/// The service that a query names: by its `source`, or by the event it goes on after,
/// `orders/1/7`.
fn source(query: &str) -> Option<String> {
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(given, _)| given == name)?;
        let value = model::normalised(&value);
        (!value.is_empty()).then(|| value.into_owned())
    };
    value("source").or_else(|| Some(value("after")?.split('/').next()?.to_owned()))
}

/// The target that a path is found at instead, with the query.
pub(crate) fn moved(uri: &Uri) -> Option<String> {
    let path = match uri.path() {
        CONSOLE => format!("{CONSOLE}/"),
        path => {
            let rest = path.strip_prefix(PARKED)?;
            let is_whole = rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| format!("/v1/events/dead-letters{rest}"))?
        }
    };
    let query = uri.query().map(|query| format!("?{query}"));
    Some(path + &query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> (String, bool, bool) {
        let target = Target::of(&method, &uri.parse().unwrap());
        match target {
            Target::Service(to) => (to.service.into(), to.reads_token(), to.needs_token()),
            Target::Page(_) => ("page".into(), false, false),
            Target::OtherMethod(_) => ("405".into(), false, false),
            Target::Moved => ("308".into(), false, false),
            Target::Nothing => ("404".into(), false, false),
        }
    }

    #[test]
    fn a_request_is_routed_by_its_row() {
        let service = |name: &str, reads, needs| (name.to_owned(), reads, needs);
        let plain = |name: &str| (name.to_owned(), false, false);
        for (method, uri, expected) in [
            (Method::POST, "/v1/orders", service("orders", true, true)),
            (
                Method::GET,
                "/v1/products/x?limit=3",
                service("products", true, false),
            ),
            (
                Method::HEAD,
                "/v1/products",
                service("products", true, false),
            ),
            (
                Method::POST,
                "/v1/sessions/refresh",
                service("users", false, false),
            ),
            (Method::GET, "/livez", plain("page")),
            (Method::GET, "/v1/events", plain("page")),
            (
                Method::GET,
                "/v1/events?kind=a&source=orders",
                service("orders", true, true),
            ),
            (
                Method::GET,
                "/v1/events?source=+orders%20",
                service("orders", true, true),
            ),
            (
                Method::GET,
                "/v1/events?source=&after=users%2F1%2F7",
                service("users", true, true),
            ),
            (Method::GET, "/v1/events?source=nobody", plain("page")),
            (Method::GET, "/v1/events/dead-letters", plain("page")),
            (
                Method::DELETE,
                "/v1/events/dead-letters/orders.main.users.3",
                service("orders", true, true),
            ),
            (
                Method::DELETE,
                "/v1/events/dead-letters/nobody.3",
                plain("404"),
            ),
            (
                Method::POST,
                "/v1/events/parked/orders.main.users.3/retry",
                plain("308"),
            ),
            (Method::GET, "/_", plain("308")),
            (Method::PUT, "/v1/orders", plain("405")),
            (Method::GET, "/v1/ordersx", plain("404")),
        ] {
            assert_eq!(target(method.clone(), uri), expected, "{method} {uri}");
        }
        for (old, new) in [
            (
                "/v1/events/parked/a.b/retry?x=1",
                "/v1/events/dead-letters/a.b/retry?x=1",
            ),
            ("/_", "/_/"),
        ] {
            assert_eq!(moved(&old.parse().unwrap()).unwrap(), new);
        }
    }

    #[test]
    fn a_stream_of_events_is_routed_by_its_log() {
        for (query, expected) in [
            ("?source=products", "products"),
            // It goes on in all logs.
            ("?kind=order.paid&lastEventId=orders/1/7", "page"),
            ("", "page"),
            ("?source=nobody", "page"),
        ] {
            let (seen, ..) = target(Method::GET, &format!("/v1/events/stream{query}"));
            assert_eq!(seen, expected, "{query}");
        }
    }
}
