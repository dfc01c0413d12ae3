//! Cache tags: response headers from a service to the gateway's cache.
//!
//! `Cache-Control` is for all caches. The gateway follows every change, so it may keep
//! more: a targeted field (RFC 9213) has its lifetime, and the tags name the changes that
//! invalidate it.
//!
//! **Invariant:** the gateway removes fields with [`PREFIX`], in both directions.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use mesh::Following;

/// The prefix of all fields between services and the gateway.
pub const PREFIX: &str = "konbini-";

/// `Konbini-Cache-Control`: the lifetime of a cached response that no change invalidates,
/// in the syntax of `Cache-Control` (RFC 9213 §2.1).
pub const CACHE_CONTROL: HeaderName = HeaderName::from_static("konbini-cache-control");

/// `Konbini-Cache-Tags`: the dependencies of a response, separated by spaces: ids of
/// resources, or a service's name for all of its resources.
pub const CACHE_TAGS: HeaderName = HeaderName::from_static("konbini-cache-tags");

/// `Konbini-Applied`: the position in another service's log that the response to a write
/// includes, such as `products=17`.
pub const APPLIED: HeaderName = HeaderName::from_static("konbini-applied");

/// A minute, which bounds the age of a response whose invalidation was lost.
const RULE: HeaderValue = HeaderValue::from_static("max-age=60");

/// Lets the gateway cache a response until a resource of `tags` changes.
pub fn keep(headers: &mut HeaderMap, tags: &str) {
    let Ok(tags) = HeaderValue::from_str(tags) else {
        return;
    };
    headers.insert(CACHE_CONTROL, RULE);
    headers.insert(CACHE_TAGS, tags);
}

/// Adds [`APPLIED`] to the responses of successful writes, for the log of `following`.
pub fn with_applied(router: Router, following: Following) -> Router {
    router.layer(middleware::from_fn_with_state(following, applied))
}

async fn applied(State(following): State<Following>, request: Request, next: Next) -> Response {
    let is_safe = request.method().is_safe();
    let mut response = next.run(request).await;
    if !is_safe && response.status().is_success() {
        match following.applied() {
            Ok(place) => {
                let rests_on = format!("{}={place}", following.source());
                if let Ok(rests_on) = HeaderValue::try_from(rests_on) {
                    response.headers_mut().insert(APPLIED, rests_on);
                }
            }
            Err(error) => tracing::error!(%error, "the place of a follower cannot be read"),
        }
    }
    response
}
