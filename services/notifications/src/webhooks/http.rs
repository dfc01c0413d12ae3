//! The endpoints of webhooks: for admins, who decide which programs hear of the
//! shop.

use std::sync::Arc;

use ::store::Store;
use api::routes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::etag;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Admin, Context, Endpoints, Json, Problem, Routes, config};
use model::{Time, kinds};
use serde::Serialize;
use tokio::sync::Notify;

use super::store;
use super::{Attempt, Message, MessageId, Registering, Standing, Webhook, WebhookId, signature};
use crate::error::Error;

#[derive(Clone)]
struct Webhooks {
    store: Store,
    settings: config::Webhooks,
    bell: Arc<Notify>,
}

pub(crate) fn endpoints(ctx: &Context, bell: Arc<Notify>) -> Endpoints {
    let settings = ctx.config.webhooks.clone();
    Routes::new()
        .on(&routes::LIST_WEBHOOKS, list)
        .on(&routes::CREATE_WEBHOOK, register)
        .on(&routes::GET_WEBHOOK, one)
        .on(&routes::DELETE_WEBHOOK, delete)
        .on(&routes::ROTATE_WEBHOOK, rotate)
        .on(&routes::ENABLE_WEBHOOK, enable)
        .on(&routes::LIST_DELIVERIES, deliveries)
        .on(&routes::REDELIVER, redeliver)
        .with_state(Webhooks { store: ctx.store.clone(), settings, bell })
}

/// A webhook as admins see it: without its secret, but for the one time.
#[derive(Serialize)]
struct Shown {
    id: WebhookId,
    url: String,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    failing_since: Option<Time>,
    disabled_at: Option<Time>,
    created_at: Time,
}

impl From<(WebhookId, Webhook)> for Shown {
    fn from((id, webhook): (WebhookId, Webhook)) -> Self {
        let Webhook { url, events, created_at, failing_since, disabled_at, .. } = webhook;
        Self {
            id,
            url,
            events,
            secret: None,
            failing_since,
            disabled_at,
            created_at,
        }
    }
}

impl Shown {
    fn once_with_secret(id: WebhookId, webhook: Webhook) -> Self {
        let secret = Some(webhook.secret.clone());
        Self { secret, ..Self::from((id, webhook)) }
    }
}

/// A message as admins see it; its id is the `webhook-id` that was sent.
#[derive(Serialize)]
struct Delivery {
    id: MessageId,
    kind: String,
    status: Standing,
    attempts: Vec<Tried>,
    next_attempt_at: Option<Time>,
    created_at: Time,
}

#[derive(Serialize)]
struct Tried {
    at: Time,
    took_ms: u64,
    status: Option<u16>,
    error: Option<String>,
}

impl From<(MessageId, Message)> for Delivery {
    fn from((id, message): (MessageId, Message)) -> Self {
        let status = message.standing();
        let Message { kind, created_at, due, attempts, .. } = message;
        let tried = |Attempt { at, took_ms, status, error }| Tried { at, took_ms, status, error };
        let attempts = attempts.into_iter().map(tried).collect();
        Self { id, kind, status, attempts, next_attempt_at: due, created_at }
    }
}

async fn register(
    State(webhooks): State<Webhooks>,
    _: Admin,
    Json(registering): Json<Registering>,
) -> Result<Response, Problem> {
    let webhook = registering
        .check(&webhooks.settings, model::now())
        .map_err(Problem::invalid)?;
    let (id, kept) = (WebhookId::new(), webhook.clone());
    let added = webhooks.store.write(move |tx| store::add(tx, id, &kept));
    added.await?;
    let shown = Shown::once_with_secret(id, webhook);
    let location = [(LOCATION, format!("/v1/webhooks/{id}"))];
    Ok((location, etag::written(StatusCode::CREATED, &shown)).into_response())
}

async fn list(
    State(webhooks): State<Webhooks>,
    _: Admin,
    paging: Paging,
) -> Result<Json<Page<Shown>>, Problem> {
    let after: Option<WebhookId> = paging.after()?;
    let rows = store::all(&webhooks.store)?.filter(|row| match row {
        Ok((id, _)) => after.is_none_or(|after| *id > after),
        Err(_) => true,
    });
    let shown = rows.map(|row| row.map(|(id, webhook)| (id, Shown::from((id, webhook)))));
    Ok(Json(paging.collect(shown)?))
}

async fn one(
    State(webhooks): State<Webhooks>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let webhook = store::one(&webhooks.store, id)?;
    Ok(etag::respond(&headers, &Shown::from((id, webhook))))
}

async fn delete(
    State(webhooks): State<Webhooks>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<StatusCode, Problem> {
    let deleted = webhooks.store.write(move |tx| {
        let webhook = store::one(tx, id)?;
        etag::require_match(&headers, &Shown::from((id, webhook))).map_err(Error::Precondition)?;
        store::delete(tx, id)
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new secret; the one before is signed with for a day yet.
async fn rotate(
    State(webhooks): State<Webhooks>,
    _: Admin,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let (secret, now) = (signature::fresh(), model::now());
    let rotated = webhooks
        .store
        .write(move |tx| store::change(tx, id, |webhook| webhook.rotate(secret, now)));
    let shown = Shown::once_with_secret(id, rotated.await?);
    Ok(etag::written(StatusCode::OK, &shown))
}

/// Tries it again, with everything that is still kept for it.
async fn enable(
    State(webhooks): State<Webhooks>,
    _: Admin,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let enabled = webhooks.store.write(move |tx| {
        store::change(tx, id, |webhook| {
            (webhook.failing_since, webhook.disabled_at) = (None, None);
        })
    });
    let webhook = enabled.await?;
    webhooks.bell.notify_one();
    Ok(etag::written(StatusCode::OK, &Shown::from((id, webhook))))
}

async fn deliveries(
    State(webhooks): State<Webhooks>,
    _: Admin,
    paging: Paging,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Json<Page<Delivery>>, Problem> {
    store::one(&webhooks.store, id)?;
    let rows = store::newest_first(&webhooks.store, id, paging.after()?)?;
    let shown = rows.map(|row| row.map(|(id, message)| (id, Delivery::from((id, message)))));
    Ok(Json(paging.collect(shown)?))
}

async fn redeliver(
    State(webhooks): State<Webhooks>,
    _: Admin,
    Path((id, message)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let webhook: WebhookId = id.parse().map_err(|_| Problem::not_found())?;
    let id: MessageId = message.parse().map_err(|_| Problem::not_found())?;
    let now = model::now();
    let again = webhooks.store.write(move |tx| {
        if store::one(tx, webhook)?.disabled_at.is_some() {
            return Err(Error::WebhookDisabled);
        }
        store::change_message(tx, webhook, id, |message| message.again(now))
    });
    let message = again.await?;
    webhooks.bell.notify_one();
    let shown = Json(Delivery::from((id, message)));
    Ok((StatusCode::ACCEPTED, shown).into_response())
}
