//! Endpoints of sessions: log in, refresh, list, log out.

use axum::Extension;
use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::request_id::RequestId;
use chassis::{Caller, Json, Problem};
use model::{Id, RevocationReason, SessionId, Time, kinds};
use store::Read;

use super::Shared;
use crate::domain::{LogIn, Session, User};
use crate::tables::{self, Refreshed, SESSIONS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::tokens::{Generation, Tokens};
use crate::wire::{RefreshBody, SessionResponse, TokenPairResponse};
use crate::{Error, Users};

/// `POST /v1/sessions`
pub(super) async fn log_in(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(credentials): ParsedBody<LogIn>,
) -> Result<Response, Problem> {
    let LogIn { email, password } = credentials;
    let user_id = users.account(email.as_ref())?.map(|user| user.id);
    let target = ThrottleTarget { email: email.as_ref(), user_id };
    let attempt = users
        .throttle
        .counters(&users.store, LoginAttempt::Password, target, address)?;
    let verified = users.verify(&attempt, password, user_id).await?;
    let user_id = user_id.ok_or(Error::WrongCredentials)?;
    let cause = users.cause(Some(user_id), request);
    let user_agent = headers.get(USER_AGENT).and_then(|text| text.to_str().ok());
    let language = super::language(&headers);
    let now = cause.at();
    let (id, session) = (Id::new(), Session::start(user_agent, address.0, now));
    let begun = users.store.write(move |tx| {
        let user = tables::log_in(tx, user_id, &verified, (id, &session), &cause)?;
        tables::set_language(tx, user_id, language.as_ref())?;
        attempt.clear(tx)?;
        attempt.remember(tx, user_id, now)?;
        Ok::<_, Error>((user, session))
    });
    let (user, session) = begun.await?;
    Ok(pair(&users, StatusCode::CREATED, &user, id, &session, now))
}

/// `POST /v1/sessions/refresh`
pub(super) async fn refresh(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    ParsedBody(RefreshBody { refresh_token }): ParsedBody<RefreshBody>,
) -> Result<Response, Problem> {
    let presented = users
        .tokens
        .read(&refresh_token)
        .ok_or(Error::WrongRefreshToken)?;
    // The holder of a spent token may not be the owner, so no actor is recorded.
    let cause = users.cause(None, request);
    let now = cause.at();
    // A refusal may end the session, so it is a value here and not an error.
    let refreshed = users
        .store
        .write(move |tx| tables::refresh(tx, presented, address.0, &cause));
    match refreshed.await? {
        Refreshed::Pair(user, session) => {
            let id = presented.session_id;
            Ok(pair(&users, StatusCode::OK, &user, id, &session, now))
        }
        Refreshed::Refused => Err(Error::WrongRefreshToken.into()),
    }
}

fn pair(
    users: &Users,
    status: StatusCode,
    user: &User,
    session_id: SessionId,
    session: &Session,
    now: Time,
) -> Response {
    let generation = Generation { user_id: user.id, session_id, number: session.generation };
    let body = TokenPairResponse {
        access_token: users.tokens.access(user, session_id, session, now),
        token_type: "Bearer",
        expires_in: Tokens::access_ends(session).since(now).as_secs(),
        refresh_token: users.tokens.refresh(generation),
        user,
    };
    (status, Json(body)).into_response()
}

/// `DELETE /v1/sessions/current`
pub(super) async fn log_out(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let ended = users.store.write(move |tx| {
        let Caller { user_id, session_id, .. } = caller;
        tables::end_session(tx, user_id, session_id, RevocationReason::Ended, &cause)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/sessions`, newest first
pub(super) async fn list(
    State(users): State<Shared>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<Page<SessionResponse>>, Problem> {
    let span = SESSIONS.prefix(&caller.user_id).newest_first();
    let span = match paging.after()? {
        Some(last) => span.before(&(caller.user_id, last)),
        None => span,
    };
    let now = model::now();
    let live = users.store.scan(span)?.filter_map(|row| match row {
        Ok((_, session)) if !session.is_live(now) => None,
        row => Some(row.map(|((_, id), session)| {
            let response = SessionResponse::of((id, session), caller.session_id);
            (id, response)
        })),
    });
    Ok(Json(paging.collect(live)?))
}

/// `DELETE /v1/sessions/{id}`
pub(super) async fn end(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    PathId(id): PathId<kinds::Session>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let ended = users.store.write(move |tx| {
        tables::caller(tx, &caller)?;
        if !tx.contains(SESSIONS, &(caller.user_id, id))? {
            return Err(Error::NotFound);
        }
        let reason = RevocationReason::Ended;
        Ok(tables::end_session(tx, caller.user_id, id, reason, &cause)?)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}
