//! What this service could not handle: listed, tried again, or given up.
//!
//! **Invariant:** nothing leaves here by itself. An event is handled or given up
//! in one transaction, and only because somebody said so.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mesh::{Following, Refusal};
use model::Time;
use serde::Serialize;

use super::events::EventView;
use super::{ServiceStatus, lock};
use crate::page::{Page, Paging};
use crate::{Admin, Json, Problem};

/// An event that waits for somebody to decide.
#[derive(Debug, Serialize)]
struct ParkedView {
    /// `service.follower.source.seq`
    id: String,
    service: &'static str,
    reason: String,
    parked_at: Time,
    event: EventView,
}

/// `GET /v1/events/dead-letters`: the oldest of each follower. More come up as these are
/// dealt with, so there is one page.
pub(super) async fn list(
    State(status): State<ServiceStatus>,
    _: Admin,
    paging: Paging,
) -> Result<Response, Problem> {
    let page = crate::check::blocking(move || {
        let mut items = Vec::new();
        for following in lock(&status.0.followings).iter() {
            for parked in following.dead_letters(paging.limit)? {
                items.push(ParkedView {
                    id: format!("{}{}", prefix(&status, following), parked.recorded.seq),
                    service: status.0.service,
                    event: EventView::new(&parked.recorded)?,
                    reason: parked.reason,
                    parked_at: parked.at,
                });
            }
        }
        items.truncate(paging.limit);
        Ok(Page { items, next_cursor: None })
    });
    Ok(Json(page.await?).into_response())
}

/// `POST /v1/events/dead-letters/{id}/retry`
pub(super) async fn retry(
    State(status): State<ServiceStatus>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (following, seq) = find(&status, &id)?;
    following.retry(seq).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/events/dead-letters/{id}`
pub(super) async fn discard(
    State(status): State<ServiceStatus>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (following, seq) = find(&status, &id)?;
    following.discard(seq).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn find(status: &ServiceStatus, id: &str) -> Result<(Following, u64), Problem> {
    let followings = lock(&status.0.followings).clone();
    for following in followings {
        let seq = id.strip_prefix(&prefix(status, &following));
        if let Some(seq) = seq.and_then(|seq| seq.parse().ok())
            && following.is_dead_letter(seq)?
        {
            return Ok((following, seq));
        }
    }
    Err(Problem::not_found())
}

fn prefix(status: &ServiceStatus, following: &Following) -> String {
    let (service, name, source) = (status.0.service, following.name(), following.source());
    format!("{service}.{name}.{source}.")
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Never(why) => Problem::conflict("refused-again", why),
        Refusal::Later(error) => error.into(),
    }
}
