//! Endpoints of inboxes: the list, read marks, the stream of server-sent events, which is
//! opened with a token or with a ticket, and preferences.

use std::iter;
use std::time::Duration;

use ::store::Store;
use api::routes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use chassis::caller::{bearer, holder};
use chassis::event_stream::{self, StreamSource, resume_after};
use chassis::fields::CheckedBody;
use chassis::json::PathId;
use chassis::page::Paging;
use chassis::{
    Caller, Context, Json, Problem, Routes, ServiceRoutes, Trust, accept_language, etag,
};
use futures::StreamExt;
use futures::stream;
use model::{Time, UserId, kinds};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::domain::{Notification, Retention, Topic};
use crate::error::Error;
use crate::live::{Feed, WakeUps};
use crate::preferences::{self, PreferencesBody, Reader};
use crate::queries::Queries;
use crate::tables;
use crate::text::Texts;
use crate::text::order::OrderData;
use crate::tickets::{StreamTickets, TICKET_LIFE};
use crate::wire::{InboxResponse, NotificationResponse, StreamTicketResponse};

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
    tickets: StreamTickets,
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
        tickets: StreamTickets::default(),
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
        .on(&routes::CREATE_STREAM_TICKET, ticket)
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

/// `POST /v1/notifications/stream-ticket`
async fn ticket(
    State(inbox): State<Inbox>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = bearer(&headers).ok_or_else(Problem::unauthenticated)?;
    let ticket = inbox.tickets.issue(caller.user_id, token, model::now())?;
    let response = StreamTicketResponse { ticket, expires_in: TICKET_LIFE.as_secs() };
    Ok((StatusCode::CREATED, Json(response)).into_response())
}

/// The query of a stream.
#[derive(Deserialize)]
struct StreamQuery {
    ticket: Option<String>,
    #[serde(rename = "lastEventId")]
    last_event_id: Option<String>,
}

async fn stream(
    State(inbox): State<Inbox>,
    caller: Option<Caller>,
    headers: HeaderMap,
    Query(StreamQuery { ticket, last_event_id }): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let (caller, token) = match (caller, ticket) {
        (Some(caller), _) => {
            let token = bearer(&headers).ok_or_else(Problem::unauthenticated)?;
            (caller, Box::from(token))
        }
        (None, Some(ticket)) => {
            let token = inbox.tickets.redeem(&ticket, model::now())?;
            let route = || Some(&routes::STREAM_NOTIFICATIONS);
            (holder(&inbox.trust, &token, route).await?, token)
        }
        (None, None) => return Err(Problem::unauthenticated()),
    };
    let after = resume_after(&headers, last_event_id.as_deref());
    let subscription = inbox
        .wake_ups
        .subscribe(caller.user_id, caller.session_id)?;
    let languages = inbox.languages(caller.user_id, &headers).await;
    let live = Live {
        feed: Feed::open(inbox.store, subscription, inbox.draining, after)?,
        texts: inbox.texts,
        queries: inbox.queries,
        languages: languages.into(),
    };
    Ok(event_stream::respond(live, inbox.trust, &token))
}

/// The stream of an inbox, in the languages of its reader.
struct Live {
    feed: Feed,
    texts: Texts,
    queries: Queries,
    languages: Box<[String]>,
}

impl StreamSource for Live {
    async fn next(&mut self) -> Option<Event> {
        let (id, entry) = self.feed.next().await?;
        let kind = entry.topic.kind();
        let order = orders_of(&self.queries, iter::once(&entry)).await.pop();
        let order = order.flatten();
        let (texts, languages) = (&self.texts, &self.languages);
        let response = NotificationResponse::new(id, entry, order.as_ref(), texts, languages);
        let event = Event::default().id(id.to_string()).event(kind);
        Some(
            event
                .json_data(&response)
                .expect("plain structs of strings and numbers encode"),
        )
    }
}
