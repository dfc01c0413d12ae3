//! The endpoints: an inbox as a list, its read marks, and its stream of
//! server-sent events (WHATWG HTML §9.2).

use std::convert::Infallible;
use std::time::Duration;

use ::store::Store;
use api::routes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::Event;
use chassis::caller::bearer;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Caller, Context, Endpoints, Json, Problem, Routes, Trust};
use futures::Stream;
use futures::stream::unfold;
use model::{Time, kinds};
use serde::{Deserialize, Serialize};

use tokio_util::sync::CancellationToken;

use crate::contacts::Contacts;
use crate::domain::{Notification, NotificationId, Retention, Topic, UserId};
use crate::live::{Bells, Feed};
use crate::store;
use crate::text::{Text, Texts};

/// How often a silent stream shows that it lives: below the idle time after
/// which proxies usually cut a connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long users may take to say what somebody reads; without an answer it is
/// what their client says, or the shop's language.
const ASK_TIMEOUT: Duration = Duration::from_millis(250);

/// How many languages of an `Accept-Language` are tried.
const LANGUAGES_MAX: usize = 8;

#[derive(Clone)]
struct Inbox {
    store: Store,
    keep: Retention,
    bells: Bells,
    texts: Texts,
    contacts: Contacts,
    trust: Trust,
    draining: CancellationToken,
}

pub(crate) fn endpoints(
    ctx: &Context,
    keep: Retention,
    bells: Bells,
    texts: Texts,
    contacts: Contacts,
) -> Endpoints {
    let inbox = Inbox {
        store: ctx.store.clone(),
        keep,
        bells,
        texts,
        contacts,
        trust: ctx.trust.clone(),
        draining: ctx.draining.clone(),
    };
    Routes::new()
        .on(&routes::LIST_NOTIFICATIONS, list)
        .on(&routes::READ_NOTIFICATIONS, read_all)
        .on(&routes::READ_NOTIFICATION, read_one)
        .on(&routes::STREAM_NOTIFICATIONS, stream)
        .with_state(inbox)
}

impl Inbox {
    /// What somebody reads, best first: what they said, then what their client
    /// says.
    async fn languages(&self, user: UserId, headers: &HeaderMap) -> Vec<String> {
        let contact = self.contacts.of(user, ASK_TIMEOUT).await.flatten();
        let said = contact.and_then(|contact| contact.language);
        said.into_iter().chain(accepted(headers)).collect()
    }
}

/// The languages of an `Accept-Language` (RFC 9110 §12.5.4), best first.
fn accepted(headers: &HeaderMap) -> Vec<String> {
    let value = headers.get(ACCEPT_LANGUAGE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut ranges: Vec<_> = text
        .split(',')
        .take(LANGUAGES_MAX)
        .filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = weight.trim().strip_prefix("q=")?;
            let weight: f32 = weight.trim().parse().ok()?;
            let tag = tag.trim();
            (weight > 0.0 && !tag.is_empty() && tag != "*").then(|| (weight, tag.to_owned()))
        })
        .collect();
    ranges.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    ranges.into_iter().map(|(_, tag)| tag).collect()
}

/// A notification as clients see it.
#[derive(Serialize)]
struct Shown {
    id: NotificationId,
    #[serde(flatten)]
    topic: Topic,
    title: String,
    body: String,
    read_at: Option<Time>,
    created_at: Time,
}

impl Shown {
    fn new(id: NotificationId, entry: Notification, texts: &Texts, languages: &[String]) -> Self {
        let Notification { topic, read_at, created_at } = entry;
        let Text { title, body } = texts.notice(&topic, languages);
        Self { id, topic, title, body, read_at, created_at }
    }
}

/// A page of an inbox, and how much of all of it is unread.
#[derive(Serialize)]
struct InboxPage {
    #[serde(flatten)]
    page: Page<Shown>,
    unread_count: u64,
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
) -> Result<Json<InboxPage>, Problem> {
    let Query(filter) = filter.map_err(|_| Problem::bad_request("unread must be true or false"))?;
    let before = paging.after()?;
    let (user, keep, now) = (caller.user_id, inbox.keep, model::now());
    while store::is_overdue(&inbox.store, &keep, user, now)? {
        let trimmed = inbox
            .store
            .write(move |tx| store::trim(tx, &keep, user, now));
        trimmed.await?;
    }
    let languages = inbox.languages(user, &headers).await;
    let unread_count = store::tally(&inbox.store, user)?.unread;
    let rows = store::newest_first(&inbox.store, user, before)?;
    let wanted = rows.filter(|row| match row {
        Ok((_, entry)) => !filter.unread || entry.read_at.is_none(),
        Err(_) => true,
    });
    let page = paging.collect(wanted.map(|row| row.map(|(id, entry)| (id, (id, entry)))))?;
    let page = page.map(|(id, entry)| Shown::new(id, entry, &inbox.texts, &languages));
    Ok(Json(InboxPage { page, unread_count }))
}

async fn read_one(
    State(inbox): State<Inbox>,
    caller: Caller,
    PathId(id): PathId<kinds::Notification>,
) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, model::now());
    let marked = inbox
        .store
        .write(move |tx| store::mark_read(tx, user, id, now));
    marked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks what was there when the request came: stretches go from the newest
/// backwards, so what is told meanwhile stays unread.
async fn read_all(State(inbox): State<Inbox>, caller: Caller) -> Result<StatusCode, Problem> {
    let (user, now) = (caller.user_id, model::now());
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
    let token = bearer(&headers).ok_or_else(Problem::unauthenticated)?;
    let listener = inbox.bells.listen(caller.user_id, caller.session_id)?;
    let languages = inbox.languages(caller.user_id, &headers).await;
    let live = Live {
        feed: Feed::open(inbox.store, listener, inbox.draining, after)?,
        texts: inbox.texts,
        languages: languages.into(),
        trust: inbox.trust,
        token: token.into(),
    };
    Ok(Sse::new(live.events()))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<NotificationId>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some)
        .ok_or_else(|| Problem::bad_request("Last-Event-ID is not one that this stream gave out"))
}

/// What an open stream holds on to: as little as it can, for there are thousands.
/// The request's own headers are not among it, since they would keep the whole
/// buffer they were read into.
struct Live {
    feed: Feed,
    texts: Texts,
    languages: Box<[String]>,
    trust: Trust,
    token: Box<str>,
}

impl Live {
    /// The feed as events, with a comment when it has been silent for a while. It
    /// ends when the token it was asked for with is no longer believed: the client
    /// comes back with a fresh one and loses nothing.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut live| async move {
            let next = tokio::time::timeout(HEARTBEAT, live.feed.next()).await;
            live.trust.verify(&live.token, model::now()).await.ok()?;
            let event = match next {
                Ok(told) => live.event(told?),
                Err(_) => Event::default().comment("still here"),
            };
            Some((Ok(event), live))
        })
    }

    fn event(&self, (id, entry): (NotificationId, Notification)) -> Event {
        let kind = entry.topic.kind();
        let shown = Shown::new(id, entry, &self.texts, &self.languages);
        Event::default()
            .id(id.to_string())
            .event(kind)
            .json_data(&shown)
            .expect("plain structs of strings and numbers encode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_by_weight() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, text.parse().unwrap());
            accepted(&headers).join(" ")
        };
        assert_eq!(
            read("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.95, *;q=0.5"),
            "fr-CH de fr en"
        );
        assert_eq!(read("da;q=0, de;q=x, ;, en"), "en");
        assert_eq!(accepted(&HeaderMap::new()), [""; 0]);
    }
}
