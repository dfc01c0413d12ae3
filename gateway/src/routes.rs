//! Which path belongs to which service, and the bounds of a request there.
//!
//! One static table, the more specific prefix first. A prefix matches whole
//! segments of the path as it was sent: nothing is decoded or normalised, so what
//! is routed is what the service sees.

use std::time::Duration;

use chassis::limits::{IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, REQUEST_PATIENCE};

/// The services behind the door.
pub(crate) const SERVICES: [&str; 4] = ["users", "products", "orders", "notifications"];

/// A little longer than a service gives itself, so that its own refusal, which
/// knows more, comes first.
const ANSWER_PATIENCE: Duration = REQUEST_PATIENCE.saturating_add(Duration::from_secs(5));

/// How long an import may make no progress: a slow disk behind a full queue.
const IMPORT_PATIENCE: Duration = Duration::from_secs(120);

/// How long an answer may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// From the moment the request is sent, its body included.
    Total(Duration),
    /// From the last piece of the request's body that was passed on.
    Idle(Duration),
}

/// A prefix and what is known about the requests below it.
#[derive(Debug)]
pub(crate) struct Route {
    /// Whole segments the path starts with.
    pub(crate) prefix: &'static str,
    /// Who answers.
    pub(crate) service: &'static str,
    /// Whether it may be asked without a token; a service may still want one.
    pub(crate) public: bool,
    /// The largest request body.
    pub(crate) body_bytes_max: u64,
    /// How long until the answer's head.
    pub(crate) patience: Patience,
    /// Whether its answer only ends because somebody ends it.
    pub(crate) endless: bool,
}

static ROUTES: [Route; 10] = [
    public("/v1/users", "users"),
    public("/v1/sessions", "users"),
    public("/.well-known/paserk.json", "users"),
    bulk("/v1/products/import", "products"),
    bulk("/v1/products/export", "products"),
    public("/v1/products", "products"),
    public("/v1/categories", "products"),
    private("/v1/orders", "orders"),
    Route {
        endless: true,
        ..private("/v1/notifications/stream", "notifications")
    },
    private("/v1/notifications", "notifications"),
];

const fn public(prefix: &'static str, service: &'static str) -> Route {
    Route {
        prefix,
        service,
        public: true,
        body_bytes_max: JSON_BODY_BYTES_MAX as u64,
        patience: Patience::Total(ANSWER_PATIENCE),
        endless: false,
    }
}

const fn private(prefix: &'static str, service: &'static str) -> Route {
    Route { public: false, ..public(prefix, service) }
}

const fn bulk(prefix: &'static str, service: &'static str) -> Route {
    Route {
        body_bytes_max: IMPORT_BODY_BYTES_MAX,
        patience: Patience::Idle(IMPORT_PATIENCE),
        ..private(prefix, service)
    }
}

/// The route of a path, if it has one.
pub(crate) fn find(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| {
        path.strip_prefix(route.prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_and_the_specific_first() {
        let prefix = |path: &str| find(path).map(|route| route.prefix);
        assert_eq!(prefix("/v1/orders"), Some("/v1/orders"));
        assert_eq!(prefix("/v1/orders/x/pay"), Some("/v1/orders"));
        assert_eq!(prefix("/v1/products/import"), Some("/v1/products/import"));
        assert_eq!(prefix("/v1/products/imports"), Some("/v1/products"));
        for unknown in ["/", "/v1", "/v1/ordersx", "/v1%2forders", "//v1/orders"] {
            assert_eq!(prefix(unknown), None, "{unknown}");
        }
        for route in &ROUTES {
            assert_eq!(
                prefix(route.prefix),
                Some(route.prefix),
                "hidden by another"
            );
            assert!(SERVICES.contains(&route.service), "{}", route.service);
        }
    }
}
