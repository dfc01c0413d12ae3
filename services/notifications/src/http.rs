//! Endpoints of inboxes: the list, read marks, the stream of server-sent events (WHATWG HTML
//! §9.2), and preferences.
//!
//! **Invariant:** a stream ends when the token it was opened with expires or is revoked.

use std::convert::Infallible;
use std::iter;
use std::time::Duration;

use ::store::Store;
use api::routes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use chassis::caller::bearer;
use chassis::fields::CheckedBody;
use chassis::json::PathId;
use chassis::page::Paging;
use chassis::problem::NO_STORE;
use chassis::{
    Caller, Context, Json, Problem, Routes, ServiceRoutes, Trust, accept_language, etag,
};
use futures::stream::{self, unfold};
use futures::{Stream, StreamExt};
use model::{Time, UserId, kinds};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::domain::{Notification, NotificationId, Retention, Topic};
use crate::error::Error;
use crate::live::{Feed, WakeUps};
use crate::preferences::{self, PreferencesBody, Reader};
use crate::queries::Queries;
use crate::tables;
use crate::text::Texts;
use crate::text::order::OrderData;
use crate::wire::{InboxResponse, NotificationResponse};

/// Interval of comments on a silent stream: below the usual idle timeout of proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Timeout of the query for a user's language, and of those for the orders of a page. Without
/// an answer the client's header or the shop's language decides, and a text says less.
const QUERY_TIMEOUT: Duration = Duration::from_millis(250);

/// Orders that are asked for at the same time for one page.
const ORDERS_AT_ONCE_MAX: usize = 16;

#[derive(Clone)]
struct Inbox {
    store: Store,
    keep: Retention,
    wake_ups: WakeUps,
    texts: Texts,
    queries: Queries,
    trust: Trust,
    draining: CancellationToken,
}

pub(crate) fn endpoints(
    ctx: &Context,
    keep: Retention,
    wake_ups: WakeUps,
    texts: Texts,
    queries: Queries,
) -> ServiceRoutes {
    let inbox = Inbox {
        store: ctx.store.clone(),
        keep,
        wake_ups,
        texts,
        queries,
        trust: ctx.trust.clone(),
        draining: ctx.draining.clone(),
    };
    Routes::new()
        .on(&routes::LIST_NOTIFICATIONS, list)
        .on(&routes::READ_NOTIFICATIONS, read_all)
        .on(&routes::READ_NOTIFICATION, read_one)
        .on(&routes::STREAM_NOTIFICATIONS, stream)
        .on(&routes::GET_NOTIFICATION_PREFERENCES, preferences)
        .on(&routes::PUT_NOTIFICATION_PREFERENCES, choose)
        .with_state(inbox)
}

impl Inbox {
    /// The languages of a user, preferred first: the account's, then the client's.
    async fn languages(&self, user: UserId, headers: &HeaderMap) -> Vec<String> {
        let contact = self.queries.contact(user, QUERY_TIMEOUT).await.flatten();
        let stored = contact.and_then(|contact| contact.language);
        stored
            .into_iter()
            .chain(accept_language::languages(headers))
            .collect()
    }
}

/// The orders of some entries, where there are any: what was ordered is asked of orders when a
/// text is made.
async fn orders_of(
    queries: &Queries,
    entries: impl Iterator<Item = &Notification>,
) -> Vec<Option<OrderData>> {
    let order = async |topic: Topic, at: Time| {
        let id = topic.order_id()?;
        let order = queries.order(id, at, QUERY_TIMEOUT).await.flatten()?;
        Some(OrderData::new(id, order))
    };
    let asked = entries.map(|entry| order(entry.topic.clone(), entry.created_at));
    let answers = stream::iter(asked.collect::<Vec<_>>()).buffered(ORDERS_AT_ONCE_MAX);
    tokio::time::timeout(QUERY_TIMEOUT, answers.collect())
        .await
        .unwrap_or_default()
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
    headers: HeaderMap,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<InboxResponse>, Problem> {
    let Query(filter) =
        filter.map_err(|_| Problem::bad_request("`unread` must be true or false"))?;
    let before = paging.after()?;
    let (user, keep, now) = (caller.user_id, inbox.keep, model::now());
    while tables::is_overdue(&inbox.store, &keep, user, now)? {
        let trimmed = inbox
            .store
            .write(move |tx| tables::trim(tx, &keep, user, now));
        trimmed.await?;
    }
    let languages = inbox.languages(user, &headers).await;
    let unread_count = tables::tally(&inbox.store, user)?.unread;
    let rows = tables::newest_first(&inbox.store, user, before)?;
    let wanted = rows.filter(|row| match row {
        Ok((_, entry)) => !filter.unread || entry.read_at.is_none(),
        Err(_) => true,
    });
    let page = paging.collect(wanted.map(|row| row.map(|(id, entry)| (id, (id, entry)))))?;
    let entries = page.items.iter().map(|(_, entry)| entry);
    let mut orders = orders_of(&inbox.queries, entries).await.into_iter();
    let page = page.map(|(id, entry)| {
        let order = orders.next().flatten();
        NotificationResponse::new(id, entry, order.as_ref(), &inbox.texts, &languages)
    });
    Ok(Json(InboxResponse { page, unread_count }))
}

async fn read_one(
    State(inbox): State<Inbox>,
    caller: Caller,
    PathId(id): PathId<kinds::Notification>,
) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, model::now());
    let marked = inbox
        .store
        .write(move |tx| tables::mark_read(tx, user, id, now));
    marked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks the entries present at the time of the request: chunks go from the newest backwards,
/// so later entries stay unread.
async fn read_all(State(inbox): State<Inbox>, caller: Caller) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, model::now());
    let mut before = None;
    loop {
        let marked = inbox
            .store
            .write(move |tx| tables::mark_chunk_read(tx, user, before, now));
        match marked.await? {
            None => return Ok(StatusCode::NO_CONTENT),
            chunk_end => before = chunk_end,
        }
    }
}

async fn preferences(
    State(inbox): State<Inbox>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reader = Reader::from(&caller);
    let shown = preferences::shown(&inbox.store, caller.user_id, reader)?;
    Ok(etag::respond(&headers, &shown))
}

/// Replaces what the caller chose.
async fn choose(
    State(inbox): State<Inbox>,
    caller: Caller,
    headers: HeaderMap,
    body: CheckedBody<PreferencesBody>,
) -> Result<Response, Problem> {
    let (user, reader) = (caller.user_id, Reader::from(&caller));
    let chosen = PreferencesBody::preferences(body, reader).map_err(Problem::invalid)?;
    let replaced = inbox.store.write(move |tx| {
        let current = preferences::shown(tx, user, reader)?;
        etag::require_match(&headers, &current).map_err(Error::Precondition)?;
        preferences::replace(tx, user, &chosen)?;
        Ok::<_, Error>(preferences::shown(tx, user, reader)?)
    });
    Ok(etag::written(StatusCode::OK, &replaced.await?))
}

async fn stream(
    State(inbox): State<Inbox>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?;
    let token = bearer(&headers).ok_or_else(Problem::unauthenticated)?;
    let subscription = inbox
        .wake_ups
        .subscribe(caller.user_id, caller.session_id)?;
    let languages = inbox.languages(caller.user_id, &headers).await;
    let live = Live {
        feed: Feed::open(inbox.store, subscription, inbox.draining, after)?,
        texts: inbox.texts,
        queries: inbox.queries,
        languages: languages.into(),
        trust: inbox.trust,
        token: token.into(),
    };
    Ok(([(CACHE_CONTROL, NO_STORE)], Sse::new(live.events())).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<NotificationId>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| {
        Problem::bad_request("Last-Event-ID must be the id of an event from this stream")
    })
}

/// The state of an open stream: kept small, since there are thousands. The request's headers
/// are copied, since they would retain the whole buffer they were read into.
struct Live {
    feed: Feed,
    texts: Texts,
    queries: Queries,
    languages: Box<[String]>,
    trust: Trust,
    token: Box<str>,
}

impl Live {
    /// The feed as events, with a comment after each silent interval. It ends when the token
    /// is no longer valid: the client reconnects with a fresh one and resumes without loss.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut live| async move {
            let next = tokio::time::timeout(HEARTBEAT, live.feed.next()).await;
            live.trust.verify(&live.token, model::now()).await.ok()?;
            let event = match next {
                Ok(entry) => live.event(entry?).await,
                Err(_) => Event::default().comment("still here"),
            };
            Some((Ok(event), live))
        })
    }

    async fn event(&self, (id, entry): (NotificationId, Notification)) -> Event {
        let kind = entry.topic.kind();
        let order = orders_of(&self.queries, iter::once(&entry)).await.pop();
        let order = order.flatten();
        let (texts, languages) = (&self.texts, &self.languages);
        let response = NotificationResponse::new(id, entry, order.as_ref(), texts, languages);
        Event::default()
            .id(id.to_string())
            .event(kind)
            .json_data(&response)
            .expect("plain structs of strings and numbers encode")
    }
}
