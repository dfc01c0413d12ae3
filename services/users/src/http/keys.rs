//! The keys that tokens are checked with, for everyone; rotating them, for the
//! operator.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chassis::{Json, Problem, etag};
use model::Time;
use serde::{Deserialize, Serialize};

use super::Shared;
use crate::Error;
use crate::keys::{Held, LEAD, Rotation};

/// A list of keys, newest first.
#[derive(Serialize)]
pub(super) struct List<T> {
    keys: Vec<T>,
}

/// A key as anyone sees it.
#[derive(Serialize)]
struct Shown {
    kid: String,
    key: String,
    status: Status,
}

/// A key as the operator sees it.
#[derive(Serialize)]
pub(super) struct Told {
    kid: String,
    status: Status,
    published_at: Time,
    signs_from: Time,
    /// From then on its tokens are refused.
    until: Option<Time>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// The newest: it signs, or is about to.
    Active,
    /// Its successor is published; it counts for a while.
    Retiring,
}

impl Status {
    fn of(held: &Held) -> Self {
        match held.row.until {
            None => Self::Active,
            Some(_) => Self::Retiring,
        }
    }
}

/// `GET /.well-known/paserk.json`
pub(super) async fn document(State(users): State<Shared>, headers: HeaderMap) -> Response {
    let keys = users.tokens.keys().listed(model::now());
    let shown = keys.into_iter().map(|held| Shown {
        status: Status::of(&held),
        kid: held.kid,
        key: held.row.key,
    });
    etag::respond(&headers, &List { keys: shown.collect() })
}

/// `GET /control/keys`
pub(super) async fn list(State(users): State<Shared>) -> Json<List<Told>> {
    let keys = users.tokens.keys().listed(model::now());
    let told = keys.into_iter().map(|held| Told {
        status: Status::of(&held),
        kid: held.kid,
        published_at: held.row.published_at,
        signs_from: held.row.signs_from,
        until: held.row.until,
    });
    Json(List { keys: told.collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationRequest {
    /// Whether the old keys end at once, and with them all access tokens.
    #[serde(default)]
    at_once: bool,
}

/// `POST /control/keys/rotate`: answers when the new key signs.
pub(super) async fn rotate(
    users: State<Shared>,
    Json(body): Json<RotationRequest>,
) -> Result<Json<List<Told>>, Problem> {
    let rotation = if body.at_once {
        Rotation::AtOnce
    } else {
        Rotation::Asked
    };
    let rotated = users.tokens.keys().rotate(rotation, model::now()).await;
    rotated.map_err(Error::Keys)?;
    if rotation == Rotation::Asked {
        tokio::time::sleep(LEAD).await;
    }
    Ok(list(users).await)
}
