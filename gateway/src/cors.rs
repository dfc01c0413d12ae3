//! Cross-origin resource sharing (Fetch standard, "CORS protocol").
//!
//! Tokens are in a header that a script sets itself, and browsers add no credentials, so any
//! origin is allowed by default, on every response: a cache may have stored it for a request
//! without `Origin`. With exact origins every response has `Vary: Origin`, so that no cache
//! serves one site the permission of another.

use crate::config::CorsConfig;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::body::Body;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Cart-Token, Content-Type, Idempotency-Key, If-Match, If-None-Match, Order-Token, X-Request-Id, Last-Event-ID, \
     Cache-Control, X-Requested-With, traceparent, tracestate, baggage, sentry-trace",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Request-Id",
);
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The origins whose scripts may read responses.
pub(crate) struct CorsPolicy {
    /// `None` for any origin.
    origins: Option<Vec<HeaderValue>>,
    with_credentials: bool,
    max_age: HeaderValue,
}

/// Whether a browser asks before it sends the actual request.
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl CorsPolicy {
    /// Creates the policy from the settings.
    pub(crate) fn new(settings: &CorsConfig) -> Self {
        let exact = settings.origins.iter();
        // The settings were checked: every origin is visible ASCII.
        let exact = exact.filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self {
            origins: (!settings.is_for_anybody()).then(|| exact.collect()),
            with_credentials: settings.credentials,
            max_age: settings.max_age_seconds.into(),
        }
    }

    /// The header lines of a refusal whose request was not read, and so its origin neither.
    pub(crate) fn of_unread(&self) -> &'static str {
        match self.origins {
            None => "access-control-allow-origin: *\r\n",
            Some(_) => "vary: Origin\r\n",
        }
    }

    /// The response to a preflight request; [`allow`](Self::allow) adds the origin.
    pub(crate) fn preflight(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// Allows a script of `origin` to read this response, if the policy does. Resources that
    /// browsers embed without CORS, such as images, have the same policy.
    pub(crate) fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(exact) = &self.origins else {
            headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            return;
        };
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|origin| exact.contains(origin)) else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if self.with_credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_origin_is_allowed_on_every_response() {
        let cors = CorsPolicy::new(&CorsConfig::default());
        for origin in [None, Some(HeaderValue::from_static("https://shop.test"))] {
            let mut headers = HeaderMap::new();
            cors.allow(origin.as_ref(), &mut headers);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
        }
        for name in ["traceparent", "baggage", "sentry-trace", "Cache-Control"] {
            let preflight = cors.preflight();
            let allowed = preflight.headers()[ACCESS_CONTROL_ALLOW_HEADERS]
                .to_str()
                .unwrap();
            assert!(allowed.split(", ").any(|one| one == name), "{name}");
        }
    }

    #[test]
    fn only_the_configured_origins_are_allowed() {
        let cors = CorsPolicy::new(&CorsConfig {
            origins: vec!["https://shop.test".into()],
            credentials: true,
            ..CorsConfig::default()
        });
        let told = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let origin = origin.map(HeaderValue::from_static);
            cors.allow(origin.as_ref(), &mut headers);
            assert_eq!(headers[VARY], "Origin");
            assert_eq!(headers[RESOURCE_POLICY], "same-origin");
            let allowed = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
            let credentials = headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS);
            assert_eq!(credentials, allowed.is_some());
            allowed
        };
        assert_eq!(
            told(Some("https://shop.test")).unwrap(),
            "https://shop.test"
        );
        assert_eq!(told(Some("https://shop.test.evil")), None);
        assert_eq!(told(Some("null")), None);
        assert_eq!(told(None), None);
    }
}
