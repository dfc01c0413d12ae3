//! The gateway's own pages. A page is a row of the route table and a handler here, or a file
//! of [`files`].

mod files;
mod home;

use std::net::IpAddr;

use api::{Access, Route, routes};
use chassis::Health;
use chassis::caller::{admin, identify};
use chassis::context::Context;
use chassis::status::ServiceStatus;
use chassis::{Collectors, Problem, Trust};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Response};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, json_page};
use crate::readiness::Readiness;
use crate::scrape::scrape;
use crate::target::bare_host;
use crate::upstream::Upstreams;
use crate::{aggregate, event_streams};

/// A request for a page.
struct PageRequest<'a> {
    pages: &'a Pages,
    parts: &'a Parts,
}

/// The handler of a page.
enum Handler {
    /// The same for every request.
    Fixed(fn() -> Response<Body>),
    /// Made for each request, which may send requests to services.
    Made(for<'a> fn(PageRequest<'a>) -> BoxFuture<'a, Result<Response<Body>, Problem>>),
}

/// The handler of each row that is a page of the gateway and no file.
static HANDLERS: [(&Route, Handler); 8] = [
    (
        &routes::GET_HOME,
        Handler::Made(|request| async move { Ok(home::home(request.parts)) }.boxed()),
    ),
    (&routes::GET_LIVEZ, Handler::Fixed(livez)),
    (
        &routes::GET_READYZ,
        Handler::Made(|PageRequest { pages, .. }| {
            let survey = Readiness::survey(&pages.health, &pages.upstreams);
            async move { survey.await.into_response() }.boxed()
        }),
    ),
    (
        &routes::GET_METRICS,
        Handler::Made(|PageRequest { pages, .. }| {
            scrape(&pages.collectors, &pages.upstreams).boxed()
        }),
    ),
    (
        &routes::GET_STATUS,
        Handler::Made(|PageRequest { pages, parts, .. }| {
            aggregate::status(&pages.status, &pages.upstreams, parts).boxed()
        }),
    ),
    (
        &routes::LIST_EVENTS,
        Handler::Made(|PageRequest { pages, parts, .. }| {
            aggregate::events(&pages.upstreams, parts).boxed()
        }),
    ),
    (
        &routes::STREAM_EVENTS,
        Handler::Made(|PageRequest { pages, parts, .. }| {
            event_streams::stream(&pages.upstreams, parts, &pages.draining).boxed()
        }),
    ),
    (
        &routes::LIST_DEAD_LETTERS,
        Handler::Made(|PageRequest { pages, parts, .. }| {
            aggregate::dead_letters(&pages.upstreams, parts).boxed()
        }),
    ),
];

/// The gateway's own pages, and the state that they show.
pub(crate) struct Pages {
    trust: Trust,
    health: Health,
    status: ServiceStatus,
    upstreams: Upstreams,
    collectors: Collectors,
    draining: CancellationToken,
}

impl Pages {
    pub(crate) fn new(ctx: &Context, upstreams: Upstreams) -> Self {
        Self {
            trust: ctx.trust.clone(),
            health: ctx.health.clone(),
            status: ctx.status.clone(),
            upstreams,
            collectors: ctx.collectors.clone(),
            draining: ctx.draining.clone(),
        }
    }

    /// Responds with the page of a row.
    ///
    /// # Errors
    /// 401 and 403 where the row is for admins, and what the page itself refuses.
    pub(crate) async fn respond(
        &self,
        route: &'static Route,
        is_local: bool,
        parts: &Parts,
    ) -> Result<Response<Body>, Problem> {
        let is_exempt = match route.access {
            Access::HostOrAdmin => is_local && is_by_program(parts),
            access => access != Access::Admin,
        };
        if !is_exempt {
            admin(identify(&self.trust, &parts.headers, || Some(route)).await?)?;
        }
        if let Some(file) = files::of(route) {
            return Ok(file.response());
        }
        let handler = HANDLERS.iter().find(|(row, _)| std::ptr::eq(*row, route));
        match handler {
            Some((_, Handler::Fixed(page))) => Ok(page()),
            Some((_, Handler::Made(page))) => page(PageRequest { pages: self, parts }).await,
            None => Err(Problem::internal(format!(
                "{} has no handler",
                route.name()
            ))),
        }
    }
}

/// 200 as long as the gateway serves.
fn livez() -> Response<Body> {
    json_page(&json!({ "status": "ok" }))
}

/// Whether a program sends a request from this host, and not a proxy, or a web site by a
/// browser here: its script sends `Origin`, or is of a site whose name was made to lead here
/// (DNS rebinding).
fn is_by_program(parts: &Parts) -> bool {
    let host = parts.headers.get(HOST).map(HeaderValue::to_str);
    let is_here = match host {
        None => true,
        Some(Ok(host)) => is_this_host(host),
        Some(Err(_)) => false,
    };
    is_here
        && !SIGNS_OF_OTHERS
            .iter()
            .any(|name| parts.headers.contains_key(*name))
}

/// Header fields of browsers and of proxies, which a program on this host does not send. A
/// proxy that sends one of `client` is recognized before.
const SIGNS_OF_OTHERS: [&str; 6] = [
    "origin",
    "sec-fetch-site",
    "via",
    "x-real-ip",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Whether an authority is `localhost` or a loopback address, with or without a port.
fn is_this_host(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let ip = bare_host(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Service;
    use serde_json::Value;

    #[test]
    fn every_page_has_a_handler() {
        let is_page = |route: &&&Route| match route.service {
            Service::Gateway => true,
            Service::Each => !route.path.contains('{'),
            _ => false,
        };
        for route in api::ROUTES.iter().filter(is_page) {
            let has = HANDLERS.iter().any(|(row, _)| std::ptr::eq(*row, *route));
            assert!(
                has || files::of(route).is_some(),
                "no handler for {}",
                route.name()
            );
        }
    }

    /// The names of query parameters, sorted.
    fn query_names(document: &Value, parameters: [&Value; 2]) -> String {
        let all = parameters.into_iter().filter_map(Value::as_array).flatten();
        let resolved = all.map(|parameter| match parameter["$ref"].as_str() {
            Some(place) => document.pointer(&place[1..]).unwrap(),
            None => parameter,
        });
        let of_query = resolved.filter(|parameter| parameter["in"] == "query");
        let mut names: Vec<_> = of_query.filter_map(|one| one["name"].as_str()).collect();
        names.retain(|name| !name.contains('{'));
        names.sort_unstable();
        names.join(" ")
    }

    #[test]
    fn the_document_and_the_rows_agree() {
        let document: Value = serde_json::from_slice(files::OPENAPI).unwrap();
        let is_public = |operation: &Value| {
            operation["security"].as_array().is_some_and(|all| {
                all.is_empty() || all.iter().any(|one| one.as_object().unwrap().is_empty())
            })
        };
        let takes_key = |operation: &Value| {
            let key = "#/components/parameters/IdempotencyKey";
            let parameters = operation["parameters"].as_array();
            parameters.is_some_and(|all| all.iter().any(|one| one["$ref"] == key))
        };
        // Name, whether anyone may call, whether `Idempotency-Key` is honoured, query names.
        type Described = (String, bool, bool, String);
        let mut documented: Vec<Described> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                if method != "parameters" {
                    let name = format!("{} {path}", method.to_uppercase());
                    let parameters = [&operations["parameters"], &operation["parameters"]];
                    let query = query_names(&document, parameters);
                    documented.push((name, is_public(operation), takes_key(operation), query));
                }
            }
        }
        // A file is for people, or the document itself.
        let rows = api::ROUTES.iter().filter(|row| files::of(row).is_none());
        let mut rows: Vec<Described> = rows
            .map(|row| {
                let is_public =
                    !matches!(row.access, Access::Customer | Access::Staff | Access::Admin);
                let mut names: Vec<_> = row.query.unwrap_or_default().to_vec();
                names.retain(|name| !name.ends_with('*'));
                names.sort_unstable();
                (row.name(), is_public, row.idempotent, names.join(" "))
            })
            .collect();
        documented.sort();
        rows.sort();
        let differing = |one: &[Described], other: &[Described]| {
            let differing = one.iter().filter(|row| !other.contains(row));
            differing.cloned().collect::<Vec<_>>()
        };
        let only_rows = differing(&rows, &documented);
        let only_documented = differing(&documented, &rows);
        assert!(
            only_rows.is_empty() && only_documented.is_empty() && rows.len() == documented.len(),
            "(name, anyone may call, `Idempotency-Key`, query): rows {only_rows:?}, document {only_documented:?}"
        );
    }

    #[test]
    fn web_sites_and_proxies_are_no_programs_of_this_host() {
        for (headers, is_program) in [
            (&[][..], true),
            (&[("host", "127.0.0.1:8080")], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "LocalHost")], true),
            (
                &[("host", "localhost"), ("x-real-ip", "203.0.113.9")],
                false,
            ),
            (&[("host", "localhost"), ("via", "1.1 proxy")], false),
            (&[("host", "shop.example")], false),
            (&[("host", "localhost.evil.example")], false),
            (
                &[("host", "localhost"), ("origin", "https://evil.example")],
                false,
            ),
            (&[("host", "localhost"), ("origin", "null")], false),
        ] {
            let request = headers
                .iter()
                .fold(http::Request::get("/metrics"), |request, one| {
                    request.header(one.0, one.1)
                });
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_by_program(&parts), is_program, "{headers:?}");
        }
    }
}
