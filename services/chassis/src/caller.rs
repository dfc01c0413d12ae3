//! Authorisation by extractors: [`Caller`], [`Staff`], [`Admin`] and [`AnyCaller`].
//!
//! A token without roles is one of an account that must enrol a second factor first. Only
//! [`AnyCaller`] accepts it, so every handler that does not name that type refuses it.
//!
//! A handler without one of them is visibly public, and a handler with one cannot forget
//! the check. The owner of a resource is checked by its service, which responds with 404
//! to other accounts.
//!
//! A token that was given for an API key has scopes, and is refused unless the row of the
//! request's route names one of them. The roles of its account limit it as well.

use api::{Found, KeyScope, Route};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{ApiKeyId, Id, kinds};

use crate::token::API_KEY_PREFIX;
use crate::{Problem, Role, Trust};

use axum::http;

/// The account of a valid access token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account.
    pub user_id: Id<kinds::User>,
    /// The login session.
    pub session_id: Id<kinds::Session>,
    /// The roles at the time of issue.
    pub roles: Vec<Role>,
    /// The scopes of the API key that was used; `None` for a login.
    pub scopes: Option<Vec<KeyScope>>,
    /// That API key.
    pub api_key: Option<ApiKeyId>,
}

impl Caller {
    /// Whether the account has the rights of staff.
    pub fn is_staff(&self) -> bool {
        self.roles.contains(&Role::Staff) || self.is_admin()
    }

    /// Whether the request may do what a scope allows: it was not made with an API key, or the
    /// key has that scope. For what a route shows beyond its own scope.
    pub fn has_scope(&self, scope: KeyScope) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.contains(&scope))
    }

    /// Whether the account has the rights of an admin.
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }
}

/// A caller with the rights of staff.
#[derive(Debug, Clone)]
pub struct Staff(pub Caller);

impl From<Staff> for Caller {
    fn from(Staff(caller): Staff) -> Self {
        caller
    }
}

/// A caller with the rights of an admin.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

/// A caller whose token may have no roles: for what an account needs to enrol a second factor,
/// or to log out.
#[derive(Debug, Clone)]
pub struct AnyCaller(pub Caller);

/// The token of the `Authorization: Bearer` header (RFC 6750 §2.1). Two such headers are
/// refused, since a proxy on the way may have used the other one.
pub fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let header = given.next()?.to_str().ok()?;
    if given.next().is_some() {
        return None;
    }
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The API key in the place of an access token. No service accepts it: the gateway exchanges it
/// for a token.
pub fn api_key(headers: &http::HeaderMap) -> Option<&str> {
    bearer(headers).filter(|token| token.starts_with(API_KEY_PREFIX))
}

/// The caller of a request with these headers for a route; `None` without credentials.
///
/// # Errors
/// 401 for invalid credentials, 403 for a token of an API key whose scopes are not the route's.
pub async fn identify(
    trust: &Trust,
    headers: &http::HeaderMap,
    route: impl FnOnce() -> Option<&'static Route>,
) -> Result<Option<Caller>, Problem> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let token = bearer(headers).ok_or_else(Problem::invalid_token)?;
    holder(trust, token, route).await.map(Some)
}

/// The holder of an access token, which requests the route.
///
/// # Errors
/// As [`identify`].
pub async fn holder(
    trust: &Trust,
    token: &str,
    route: impl FnOnce() -> Option<&'static Route>,
) -> Result<Caller, Problem> {
    match trust.verify(token, model::now()).await {
        Ok(claims) => {
            if let Some(scopes) = &claims.scopes {
                require_scope(scopes, route())?;
            }
            Ok(Caller {
                user_id: claims.sub,
                session_id: claims.sid,
                roles: claims.roles.clone(),
                scopes: claims.scopes.clone(),
                api_key: claims.key,
            })
        }
        Err(why) => {
            tracing::debug!(%why, "a token was refused");
            Err(Problem::invalid_token())
        }
    }
}

/// Requires that a route takes API keys, and one of these scopes.
fn require_scope(scopes: &[KeyScope], route: Option<&Route>) -> Result<(), Problem> {
    match route.and_then(|route| route.scope) {
        Some(scope) if scopes.contains(&scope) => Ok(()),
        Some(scope) => Err(Problem::insufficient_scope(scope)),
        None => Err(Problem::no_api_keys()),
    }
}

/// Requires the rights of an admin.
///
/// # Errors
/// 401 without a caller, 403 for other accounts.
pub fn admin(caller: Option<Caller>) -> Result<Admin, Problem> {
    let caller = with_roles(caller.ok_or_else(Problem::unauthenticated)?)?;
    if caller.is_admin() {
        Ok(Admin(caller))
    } else {
        Err(Problem::forbidden("admin"))
    }
}

async fn caller(parts: &mut Parts) -> Result<Option<Caller>, Problem> {
    any_caller(parts).await?.map(with_roles).transpose()
}

/// Refuses the token of an account that must enrol a second factor first.
fn with_roles(caller: Caller) -> Result<Caller, Problem> {
    match caller.roles.is_empty() {
        true => Err(Problem::second_factor_required()),
        false => Ok(caller),
    }
}

async fn any_caller(parts: &mut Parts) -> Result<Option<Caller>, Problem> {
    let trust = parts
        .extensions
        .get::<Trust>()
        .cloned()
        .ok_or_else(|| Problem::internal("the trust layer is not installed"))?;
    let route = || match api::find(&parts.method, parts.uri.path()) {
        Found::Route(route) => Some(route),
        Found::OtherMethod(_) | Found::Nothing => None,
    };
    identify(&trust, &parts.headers, route).await
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller(parts).await?.ok_or_else(Problem::unauthenticated)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        caller(parts).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = caller(parts).await?.ok_or_else(Problem::unauthenticated)?;
        if caller.is_staff() {
            Ok(Self(caller))
        } else {
            Err(Problem::forbidden("staff"))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        admin(caller(parts).await?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AnyCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = any_caller(parts).await?;
        caller.map(Self).ok_or_else(Problem::unauthenticated)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for AnyCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(any_caller(parts).await?.map(Self))
    }
}
