//! Endpoints of the signing keys: the public list, and rotation on the control socket.
//!
//! **Invariant:** a response contains public keys only.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use chassis::fields::ParsedBody;
use chassis::{Json, Problem, etag};

use super::Shared;
use crate::Error;
use crate::keys::{LEAD, Rotation};
use crate::wire::{KeysResponse, PublicKeyResponse, SigningKeyResponse};

/// `GET /.well-known/paserk.json`
pub(super) async fn document(State(users): State<Shared>, headers: HeaderMap) -> Response {
    let keys = users.tokens.keys().valid(model::now());
    let mut response = etag::respond(&headers, &KeysResponse::<PublicKeyResponse>::of(keys));
    // Public, and asked for again each time: a key that was added soon signs.
    let rule = HeaderValue::from_static("public, no-cache");
    response.headers_mut().insert(CACHE_CONTROL, rule);
    response
}

/// `GET /control/keys`
pub(super) async fn list(State(users): State<Shared>) -> Json<KeysResponse<SigningKeyResponse>> {
    Json(KeysResponse::of(users.tokens.keys().valid(model::now())))
}

/// `POST /control/keys/rotate`: responds once the new key signs.
pub(super) async fn rotate(
    users: State<Shared>,
    ParsedBody(rotation): ParsedBody<Rotation>,
) -> Result<Json<KeysResponse<SigningKeyResponse>>, Problem> {
    let rotated = users.tokens.keys().rotate(rotation, model::now()).await;
    rotated.map_err(Error::Keys)?;
    if rotation == Rotation::Requested {
        tokio::time::sleep(LEAD).await;
    }
    Ok(list(users).await)
}
