//! Endpoints of webhooks, for admins. **Invariant:** a response contains a secret only when it
//! is created: at registration and rotation.

use crate::config::WebhooksConfig;
use std::sync::Arc;

use ::store::Store;
use api::routes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::etag;
use chassis::fields::CheckedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Admin, Context, Json, Problem, Routes, ServiceRoutes};
use model::kinds;
use tokio::sync::Notify;

use super::kinds::{self as event_kinds, EventKind};
use super::tables;
use super::{MessageId, WebhookId, new_secret};
use crate::error::Error;
use crate::wire::{DeliveryResponse, PatchWebhookBody, RegisterWebhookBody, RegisteredWebhook};

#[derive(Clone)]
struct WebhookApi {
    store: Store,
    settings: WebhooksConfig,
    wake_up: Arc<Notify>,
}

pub(crate) fn endpoints(
    ctx: &Context,
    settings: WebhooksConfig,
    wake_up: Arc<Notify>,
) -> ServiceRoutes {
    Routes::new()
        .on(&routes::LIST_WEBHOOKS, list)
        .on(&routes::CREATE_WEBHOOK, register)
        .on(&routes::LIST_EVENT_KINDS, list_kinds)
        .on(&routes::GET_WEBHOOK, one)
        .on(&routes::PATCH_WEBHOOK, change)
        .on(&routes::TEST_WEBHOOK, test)
        .on(&routes::DELETE_WEBHOOK, delete)
        .on(&routes::ROTATE_WEBHOOK, rotate)
        .on(&routes::ENABLE_WEBHOOK, enable)
        .on(&routes::LIST_DELIVERIES, deliveries)
        .on(&routes::REDELIVER, redeliver)
        .with_state(WebhookApi { store: ctx.store.clone(), settings, wake_up })
}

async fn register(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    body: CheckedBody<RegisterWebhookBody>,
) -> Result<Response, Problem> {
    let webhook = RegisterWebhookBody::webhook(body, &webhooks.settings, model::now())
        .map_err(Problem::invalid)?;
    let (id, kept) = (WebhookId::new(), webhook.clone());
    let added = webhooks.store.write(move |tx| tables::add(tx, id, &kept));
    added.await?;
    let response = RegisteredWebhook::with_secret(id, webhook);
    let location = [(LOCATION, format!("/v1/webhooks/{id}"))];
    Ok((location, etag::written(StatusCode::CREATED, &response)).into_response())
}

async fn list(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    paging: Paging,
) -> Result<Json<Page<RegisteredWebhook>>, Problem> {
    let after: Option<WebhookId> = paging.after()?;
    let rows = tables::all(&webhooks.store)?.filter(|row| match row {
        Ok((id, _)) => after.is_none_or(|after| *id > after),
        Err(_) => true,
    });
    let response =
        rows.map(|row| row.map(|(id, webhook)| (id, RegisteredWebhook::from((id, webhook)))));
    Ok(Json(paging.collect(response)?))
}

async fn one(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let webhook = tables::one(&webhooks.store, id)?;
    Ok(etag::respond(
        &headers,
        &RegisteredWebhook::from((id, webhook)),
    ))
}

/// `GET /v1/webhooks/kinds`
async fn list_kinds(_: Admin) -> Json<Page<EventKind>> {
    Json(Page { items: event_kinds::all(), next_cursor: None })
}

/// `PATCH /v1/webhooks/{id}`
async fn change(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<kinds::Webhook>,
    body: CheckedBody<PatchWebhookBody>,
) -> Result<Response, Problem> {
    let change = PatchWebhookBody::checked(body, &webhooks.settings);
    let (change, now) = (change.map_err(Problem::invalid)?, model::now());
    let changed = webhooks.store.write(move |tx| {
        let webhook = tables::one(tx, id)?;
        etag::require_match(&headers, &RegisteredWebhook::from((id, webhook)))
            .map_err(Error::Precondition)?;
        tables::change(tx, id, |webhook| change.apply(webhook, now))
    });
    let webhook = changed.await?;
    webhooks.wake_up.notify_one();
    let response = RegisteredWebhook::from((id, webhook));
    Ok(etag::written(StatusCode::OK, &response))
}

/// `POST /v1/webhooks/{id}/test`
async fn test(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let now = model::now();
    let queued = webhooks
        .store
        .write(move |tx| tables::queue_test(tx, id, now));
    let queued = queued.await?;
    webhooks.wake_up.notify_one();
    let response = Json(DeliveryResponse::from(queued));
    Ok((StatusCode::ACCEPTED, response).into_response())
}

async fn delete(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<StatusCode, Problem> {
    let deleted = webhooks.store.write(move |tx| {
        let webhook = tables::one(tx, id)?;
        etag::require_match(&headers, &RegisteredWebhook::from((id, webhook)))
            .map_err(Error::Precondition)?;
        tables::delete(tx, id)
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces the secret; the previous one stays valid for a day.
async fn rotate(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let (secret, now) = (new_secret(), model::now());
    let rotated = webhooks
        .store
        .write(move |tx| tables::change(tx, id, |webhook| webhook.rotate(secret, now)));
    let response = RegisteredWebhook::with_secret(id, rotated.await?);
    Ok(etag::written(StatusCode::OK, &response))
}

/// Enables a disabled webhook; its backlog is delivered.
async fn enable(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Response, Problem> {
    let enabled = webhooks
        .store
        .write(move |tx| tables::change(tx, id, |webhook| webhook.enable()));
    let webhook = enabled.await?;
    webhooks.wake_up.notify_one();
    Ok(etag::written(
        StatusCode::OK,
        &RegisteredWebhook::from((id, webhook)),
    ))
}

async fn deliveries(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    paging: Paging,
    PathId(id): PathId<kinds::Webhook>,
) -> Result<Json<Page<DeliveryResponse>>, Problem> {
    let is_disabled = tables::one(&webhooks.store, id)?.disabled_at.is_some();
    let rows = tables::newest_first(&webhooks.store, id, paging.after()?)?;
    let response = |(id, message)| {
        let delivery = DeliveryResponse::from((id, message));
        let shown = if is_disabled { delivery.waiting() } else { delivery };
        (id, shown)
    };
    Ok(Json(paging.collect(rows.map(|row| row.map(response)))?))
}

async fn redeliver(
    State(webhooks): State<WebhookApi>,
    _: Admin,
    Path((id, message)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let webhook: WebhookId = id.parse().map_err(|_| Problem::not_found())?;
    let id: MessageId = message.parse().map_err(|_| Problem::not_found())?;
    let now = model::now();
    let again = webhooks.store.write(move |tx| {
        if tables::one(tx, webhook)?.disabled_at.is_some() {
            return Err(Error::WebhookDisabled);
        }
        tables::change_message(tx, webhook, id, |message| message.restart(now))
    });
    let message = again.await?;
    webhooks.wake_up.notify_one();
    let response = Json(DeliveryResponse::from((id, message)));
    Ok((StatusCode::ACCEPTED, response).into_response())
}
