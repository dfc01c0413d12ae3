//! The endpoints: an inbox as a list, its read marks, and its stream of
//! server-sent events (WHATWG HTML §9.2).

use std::convert::Infallible;
use std::time::Duration;

use ::store::Store;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use chassis::caller::identify;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Caller, Context, Json, Problem, Trust};
use futures::Stream;
use futures::stream::unfold;
use mesh::{Time, kinds};
use serde::{Deserialize, Serialize};

use tokio_util::sync::CancellationToken;

use crate::domain::{Notification, NotificationId, Topic};
use crate::live::{Bells, Feed};
use crate::store;
use crate::text;

/// How often a silent stream shows that it lives: below the idle time after
/// which proxies usually cut a connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Inbox {
    store: Store,
    bells: Bells,
    trust: Trust,
    draining: CancellationToken,
}

pub(crate) fn router(ctx: &Context, bells: Bells) -> Router {
    let inbox = Inbox {
        store: ctx.store.clone(),
        bells,
        trust: ctx.trust.clone(),
        draining: ctx.draining.clone(),
    };
    Router::new()
        .route("/v1/notifications", get(list))
        .route("/v1/notifications/read", post(read_all))
        .route("/v1/notifications/{id}/read", post(read_one))
        .route("/v1/notifications/stream", get(stream))
        .with_state(inbox)
}

/// A notification as clients see it.
#[derive(Serialize)]
struct Shown {
    id: NotificationId,
    #[serde(flatten)]
    topic: Topic,
    title: &'static str,
    body: &'static str,
    read_at: Option<Time>,
    created_at: Time,
}

impl From<(NotificationId, Notification)> for Shown {
    fn from((id, entry): (NotificationId, Notification)) -> Self {
        let Notification { topic, read_at, created_at } = entry;
        let text::Text { title, body } = text::of(&topic);
        Self { id, topic, title, body, read_at, created_at }
    }
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    unread: bool,
}

async fn list(
    State(inbox): State<Inbox>,
    caller: Caller,
    paging: Paging,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Page<Shown>>, Problem> {
    let Query(filter) = filter.map_err(|_| Problem::bad_request("unread must be true or false"))?;
    let before = paging.after()?;
    let rows = store::newest_first(&inbox.store, caller.user_id, before)?;
    let wanted = rows.filter(|row| match row {
        Ok((_, entry)) => !filter.unread || entry.read_at.is_none(),
        Err(_) => true,
    });
    let shown = wanted.map(|row| row.map(|(id, entry)| (id, Shown::from((id, entry)))));
    Ok(Json(paging.collect(shown)?))
}

async fn read_one(
    State(inbox): State<Inbox>,
    caller: Caller,
    PathId(id): PathId<kinds::Notification>,
) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, mesh::now());
    let marked = inbox
        .store
        .write(move |tx| store::mark_read(tx, user, id, now));
    marked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks what was there when the request came: stretches go from the newest
/// backwards, so what is told meanwhile stays unread.
async fn read_all(State(inbox): State<Inbox>, caller: Caller) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, mesh::now());
    let mut before = None;
    loop {
        let marked = inbox
            .store
            .write(move |tx| store::mark_stretch_read(tx, user, before, now));
        match marked.await? {
            None => return Ok(StatusCode::NO_CONTENT),
            stretch_end => before = stretch_end,
        }
    }
}

async fn stream(
    State(inbox): State<Inbox>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = last_event_id(&headers)?;
    let listener = inbox.bells.listen(caller.user_id)?;
    let feed = Feed::open(inbox.store, listener, inbox.draining, after)?;
    Ok(Sse::new(events(feed, inbox.trust, headers)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<NotificationId>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some)
        .ok_or_else(|| Problem::bad_request("Last-Event-ID is not one that this stream gave out"))
}

/// A feed as events, with a comment when it has been silent for a while. It ends
/// when the token it was asked for with is no longer believed: the client comes
/// back with a fresh one and loses nothing.
fn events(
    feed: Feed,
    trust: Trust,
    headers: HeaderMap,
) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(
        (feed, trust, headers),
        |(mut feed, trust, headers)| async move {
            let next = tokio::time::timeout(HEARTBEAT, feed.next()).await;
            identify(&trust, &headers).await.ok()?;
            let event = match next {
                Ok(entry) => event(entry?.into()),
                Err(_) => Event::default().comment("still here"),
            };
            Some((Ok(event), (feed, trust, headers)))
        },
    )
}

fn event(shown: Shown) -> Event {
    Event::default()
        .id(shown.id.to_string())
        .event(shown.topic.kind())
        .json_data(&shown)
        .expect("plain structs of strings and numbers encode")
}
