//! The dead letters of a service: list, retry, discard.
//!
//! **Invariant:** an admin retries or discards a dead letter in one transaction; none
//! leaves the list by itself.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mesh::{Following, Refusal};
use model::Time;
use serde::Serialize;

use super::ServiceStatus;
use super::events::EventResponse;
use crate::page::{Page, Paging};
use crate::{Admin, Json, Problem};

/// A dead letter in a response.
#[derive(Debug, Serialize)]
struct DeadLetterResponse {
    /// `service.follower.source.seq`
    id: String,
    service: &'static str,
    reason: String,
    parked_at: Time,
    event: EventResponse,
}

/// `GET /v1/events/dead-letters`: the oldest of each follower, in one page; later ones
/// follow as these are retried or discarded.
pub(super) async fn list(
    State(status): State<ServiceStatus>,
    _: Admin,
    paging: Paging,
) -> Result<Response, Problem> {
    let page = crate::check::blocking(move || {
        let mut items = Vec::new();
        for following in status.0.followings.lock().iter() {
            for letter in following.dead_letters(paging.limit)? {
                items.push(DeadLetterResponse {
                    id: format!("{}{}", prefix(&status, following), letter.recorded.seq),
                    service: status.0.service,
                    event: EventResponse::new(&letter.recorded)?,
                    reason: letter.reason,
                    parked_at: letter.at,
                });
            }
        }
        items.truncate(paging.limit);
        Ok::<_, store::Error>(Page { items, next_cursor: None })
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
    let followings = status.0.followings.lock().clone();
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
