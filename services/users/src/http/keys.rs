//! Endpoints of the signing keys: the public list, and rotation on the control socket.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chassis::{Json, Problem, etag};
use model::Time;
use serde::{Deserialize, Serialize};

use super::Shared;
use crate::Error;
use crate::keys::{HeldKey, LEAD, Rotation};

/// A list of keys, newest first.
#[derive(Serialize)]
pub(super) struct KeysResponse<T> {
    keys: Vec<T>,
}

/// A key in the public list.
#[derive(Serialize)]
struct PublicKeyResponse {
    kid: String,
    key: String,
    status: KeyStatus,
}

/// A key in the operator's list.
#[derive(Serialize)]
pub(super) struct SigningKeyResponse {
    kid: String,
    status: KeyStatus,
    published_at: Time,
    signs_from: Time,
    /// When its tokens stop being accepted.
    until: Option<Time>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum KeyStatus {
    /// The newest: it signs, or is about to.
    Active,
    /// Its successor is published; it stays valid for a while.
    Retiring,
}

impl KeyStatus {
    fn of(held: &HeldKey) -> Self {
        match held.row.until {
            None => Self::Active,
            Some(_) => Self::Retiring,
        }
    }
}

/// `GET /.well-known/paserk.json`
pub(super) async fn document(State(users): State<Shared>, headers: HeaderMap) -> Response {
    let keys = users.tokens.keys().valid(model::now());
    let keys = keys.into_iter().map(|held| PublicKeyResponse {
        status: KeyStatus::of(&held),
        kid: held.kid,
        key: held.row.key,
    });
    etag::respond(&headers, &KeysResponse { keys: keys.collect() })
}

/// `GET /control/keys`
pub(super) async fn list(State(users): State<Shared>) -> Json<KeysResponse<SigningKeyResponse>> {
    let keys = users.tokens.keys().valid(model::now());
    let keys = keys.into_iter().map(|held| SigningKeyResponse {
        status: KeyStatus::of(&held),
        kid: held.kid,
        published_at: held.row.published_at,
        signs_from: held.row.signs_from,
        until: held.row.until,
    });
    Json(KeysResponse { keys: keys.collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationRequest {
    /// Whether the old keys end at once, and every access token with them.
    #[serde(default)]
    at_once: bool,
}

/// `POST /control/keys/rotate`: responds once the new key signs.
pub(super) async fn rotate(
    users: State<Shared>,
    Json(body): Json<RotationRequest>,
) -> Result<Json<KeysResponse<SigningKeyResponse>>, Problem> {
    let rotation = if body.at_once {
        Rotation::Immediate
    } else {
        Rotation::Requested
    };
    let rotated = users.tokens.keys().rotate(rotation, model::now()).await;
    rotated.map_err(Error::Keys)?;
    if rotation == Rotation::Requested {
        tokio::time::sleep(LEAD).await;
    }
    Ok(list(users).await)
}
