//! Endpoints of sessions: log in, refresh, list, log out, for the caller's own and, by admins,
//! for those of others.

use axum::Extension;
use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::{PathId, PathIds};
use chassis::page::{Page, Paging};
use chassis::request_id::RequestId;
use chassis::{Admin, AnyCaller, Caller, Json, Problem, accept_language, is_clock_set};
use model::{Id, RevocationReason, SessionId, Time, UserId, kinds};
use store::{Read, Tx};

use super::Shared;
use crate::challenges::Challenge;
use crate::domain::{Email, LogIn, PlaintextPassword, Session, User};
use crate::tables::{self, AccountCause, Refreshed, SESSIONS, USERS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::tokens::{Generation, Tokens};
use crate::wire::{LogOutBody, RefreshBody, SessionResponse, TokenPairResponse};
use crate::{Error, Users};

/// Where a login comes from.
struct LoginOrigin {
    request: RequestId,
    address: ClientAddress,
    user_agent: Option<String>,
    language: Option<String>,
}

/// `POST /v1/sessions`
pub(super) async fn log_in(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(login): ParsedBody<LogIn>,
) -> Result<Response, Problem> {
    require_clock()?;
    let user_agent = headers.get(USER_AGENT).and_then(|text| text.to_str().ok());
    let user_agent = user_agent.map(ToOwned::to_owned);
    let language = accept_language::preferred(&headers);
    let origin = LoginOrigin { request, address, user_agent, language };
    let begun = match login {
        LogIn::Password { email, password } => {
            by_password(&users, email.as_ref(), password, origin).await
        }
        LogIn::SecondFactor { challenge, code } => by_code(&users, &challenge, code, origin).await,
    };
    Ok(begun?)
}

/// A token of a clock that is not set would have ended, or would never end, once it is.
fn require_clock() -> Result<(), Error> {
    if is_clock_set(model::now()) {
        Ok(())
    } else {
        Err(Error::ClockNotSet)
    }
}

/// The first step of a login, and the only one without a second factor.
async fn by_password(
    users: &Users,
    email: Option<&Email>,
    password: PlaintextPassword,
    origin: LoginOrigin,
) -> Result<Response, Error> {
    let user_id = users.account(email)?.map(|user| user.id);
    let target = ThrottleTarget { email, user_id };
    let attempt =
        users
            .throttle
            .counters(&users.store, LoginAttempt::Password, target, origin.address)?;
    let verified = users.verify(&attempt, password, user_id).await?;
    let user_id = user_id.ok_or(Error::WrongCredentials)?;
    let cause = users.cause(Some(user_id), origin.request.clone());
    let (now, generation) = (cause.at(), verified.generation);
    let begun = users.store.write(move |tx| {
        let user = tables::confirm_login(tx, user_id, &verified)?;
        attempt.clear(tx)?;
        // The address stays unknown: a password alone exempts from no limit.
        if user.second_factor_since.is_some() {
            return Ok(None);
        }
        attempt.remember(tx, user_id, now)?;
        begin(tx, user, origin, &cause).map(Some)
    });
    match begun.await? {
        Some((user, id, session)) => {
            let pair = pair(users, StatusCode::CREATED, &user, id, &session, now);
            Ok(pair)
        }
        None => Err(Error::SecondFactor(
            users.challenge(user_id, generation, now),
        )),
    }
}

/// The second step of a login: the challenge of the first, and a code.
async fn by_code(
    users: &Users,
    challenge: &str,
    code: String,
    origin: LoginOrigin,
) -> Result<Response, Error> {
    let now = model::now();
    let challenge = Challenge::read(challenge, &users.challenge_key, now);
    let challenge = challenge.ok_or(Error::WrongChallenge)?;
    let user_id = challenge.user_id;
    let user = users.store.get(USERS, &user_id)?;
    let user = user.ok_or(Error::WrongChallenge)?;
    let target = ThrottleTarget { email: Some(&user.email), user_id: Some(user_id) };
    let attempt =
        users
            .throttle
            .counters(&users.store, LoginAttempt::Factor, target, origin.address)?;
    let tries = users.throttle.challenge_tries(challenge.number);
    let cause = users.cause(Some(user_id), origin.request.clone());
    let (factors, now) = (users.factors.clone(), cause.at());
    // A refusal writes its counters, so it is a value here and not an error.
    let begun = users.store.write(move |tx| {
        let user = tables::challenged(tx, challenge)?;
        attempt.check(tx, now)?;
        match tries.check(tx, now) {
            Err(Error::Throttled(_)) => return Err(Error::WrongChallenge),
            checked => checked?,
        }
        if !factors.redeem(tx, &user, &code, now)? {
            attempt.count(tx, now)?;
            tries.count(tx, now)?;
            return Ok(None);
        }
        attempt.clear(tx)?;
        attempt.remember(tx, user_id, now)?;
        begin(tx, user, origin, &cause).map(Some)
    });
    let (user, id, session) = begun.await?.ok_or(Error::WrongFactorCode)?;
    Ok(pair(users, StatusCode::CREATED, &user, id, &session, now))
}

/// Starts the session of a login.
fn begin(
    tx: &mut Tx<'_>,
    user: User,
    origin: LoginOrigin,
    cause: &AccountCause,
) -> Result<(User, SessionId, Session), Error> {
    let LoginOrigin { address, user_agent, language, .. } = origin;
    let (id, session) = (
        Id::new(),
        Session::start(user_agent.as_deref(), address.0, cause.at()),
    );
    tables::begin_session(tx, user.id, id, &session, cause)?;
    tables::set_language(tx, user.id, language.as_ref())?;
    Ok((user, id, session))
}

/// `POST /v1/sessions/refresh`
pub(super) async fn refresh(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    ParsedBody(RefreshBody { refresh_token }): ParsedBody<RefreshBody>,
) -> Result<Response, Problem> {
    require_clock()?;
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
    let account = (user.id, users.token_roles(user));
    let body = TokenPairResponse {
        access_token: users.tokens.access(account, session_id, session, now),
        token_type: "Bearer",
        expires_in: Tokens::access_ends(session).since(now).as_secs(),
        refresh_token: users.tokens.refresh(generation),
        user,
    };
    (status, Json(body)).into_response()
}

/// `DELETE /v1/sessions/current`: by the access token, or by a refresh token once that has
/// expired. Any refresh token of the session ends it, a spent one too.
pub(super) async fn log_out(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Option<AnyCaller>,
    ParsedBody(LogOutBody { refresh_token }): ParsedBody<LogOutBody>,
) -> Result<StatusCode, Problem> {
    let (user_id, session_id) = match (caller, refresh_token) {
        (Some(AnyCaller(Caller { user_id, session_id, .. })), _) => (user_id, session_id),
        (None, Some(token)) => {
            let presented = users.tokens.read(&token);
            let Generation { user_id, session_id, .. } =
                presented.ok_or(Error::WrongRefreshToken)?;
            // A token repeated after the end writes nothing.
            if !users.store.contains(SESSIONS, &(user_id, session_id))? {
                return Ok(StatusCode::NO_CONTENT);
            }
            (user_id, session_id)
        }
        (None, None) => return Err(Error::Unauthenticated.into()),
    };
    let cause = users.cause(Some(user_id), request);
    let ended = users.store.write(move |tx| {
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
    page(&users, &paging, caller.user_id, caller.session_id)
}

/// `GET /v1/users/{id}/sessions`, newest first
pub(super) async fn list_of(
    State(users): State<Shared>,
    Admin(admin): Admin,
    PathId(id): PathId<kinds::User>,
    paging: Paging,
) -> Result<Json<Page<SessionResponse>>, Problem> {
    if !users.store.contains(USERS, &id)? {
        return Err(Error::NotFound.into());
    }
    page(&users, &paging, id, admin.session_id)
}

/// One page of an account's live sessions; `current` is the one of this request.
fn page(
    users: &Users,
    paging: &Paging,
    user_id: UserId,
    current: SessionId,
) -> Result<Json<Page<SessionResponse>>, Problem> {
    let span = SESSIONS.prefix(&user_id).newest_first();
    let span = match paging.after()? {
        Some(last) => span.before(&(user_id, last)),
        None => span,
    };
    let now = model::now();
    let live = users.store.scan(span)?.filter_map(|row| match row {
        Ok((_, session)) if !session.is_live(now) => None,
        row => Some(row.map(|((_, id), session)| {
            let response = SessionResponse::of((id, session), current);
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
    let owner = caller.user_id;
    end_one(&users, request, caller, (owner, id)).await
}

/// `DELETE /v1/users/{id}/sessions/{sid}`
pub(super) async fn end_of(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Admin(admin): Admin,
    PathIds(owner, id): PathIds<kinds::User, kinds::Session>,
) -> Result<StatusCode, Problem> {
    end_one(&users, request, admin, (owner, id)).await
}

async fn end_one(
    users: &Users,
    request: RequestId,
    caller: Caller,
    (owner, id): (UserId, SessionId),
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let ended = users.store.write(move |tx| {
        tables::caller(tx, &caller)?;
        if !tx.contains(SESSIONS, &(owner, id))? {
            return Err(Error::NotFound);
        }
        let reason = RevocationReason::Ended;
        Ok(tables::end_session(tx, owner, id, reason, &cause)?)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/sessions`
pub(super) async fn end_all(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    AnyCaller(caller): AnyCaller,
) -> Result<StatusCode, Problem> {
    let owner = caller.user_id;
    end_every(&users, request, caller, owner).await
}

/// `DELETE /v1/users/{id}/sessions`
pub(super) async fn end_all_of(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Admin(admin): Admin,
    PathId(owner): PathId<kinds::User>,
) -> Result<StatusCode, Problem> {
    end_every(&users, request, admin, owner).await
}

async fn end_every(
    users: &Users,
    request: RequestId,
    caller: Caller,
    owner: UserId,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let ended = users.store.write(move |tx| {
        tables::caller(tx, &caller)?;
        if !tx.contains(USERS, &owner)? {
            return Err(Error::NotFound);
        }
        tables::end_every_session(tx, owner, None, RevocationReason::Ended, &cause)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}
