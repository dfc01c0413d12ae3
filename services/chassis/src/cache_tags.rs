//! What a service tells the gateway beside its answer, and nobody else hears.
//!
//! Answers say in `Cache-Control` how anyone may keep them. The gateway hears of
//! every change, so it may keep more than that: a targeted field (RFC 9213) for it
//! alone says for how long, and another what would have to change.
//!
//! **Invariant:** fields with [`PREFIX`] end at the gateway, in both directions.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use mesh::Following;

/// What the names of all fields between services and the gateway begin with.
pub const PREFIX: &str = "konbini-";

/// `Konbini-Cache-Control`: how long the gateway may keep an answer, at most, if it
/// hears of no change; in the syntax of `Cache-Control` (RFC 9213 §2.1).
pub const CACHE_CONTROL: HeaderName = HeaderName::from_static("konbini-cache-control");

/// `Konbini-Cache-Tags`: what a kept answer depends on, separated by spaces: the ids
/// of the things it shows, or the service's name for all that it has.
pub const CACHE_TAGS: HeaderName = HeaderName::from_static("konbini-cache-tags");

/// `Konbini-Applied`: up to which place of which service's log an answer to a write
/// rests, `products=17`. Who has read it may rely on all that happened up to there.
pub const APPLIED: HeaderName = HeaderName::from_static("konbini-applied");

/// A minute: what bounds the harm if a change were ever told to nobody.
const RULE: HeaderValue = HeaderValue::from_static("max-age=60");

/// Lets the gateway keep an answer for as long as nothing changes that `tags` names.
pub fn keep(headers: &mut HeaderMap, tags: &str) {
    let Ok(tags) = HeaderValue::from_str(tags) else {
        return;
    };
    headers.insert(CACHE_CONTROL, RULE);
    headers.insert(CACHE_TAGS, tags);
}

/// Has the answers to all requests that may change something say what they rest on
/// of the service that `following` follows.
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
