//! Authorisation by extractors: [`Caller`], [`Staff`], [`Admin`] and [`AnyCaller`].
//!
//! A token without roles is one of an account that must enrol a second factor first. Only
//! [`AnyCaller`] accepts it, so every handler that does not name that type refuses it.
//!
//! A handler without one of them is visibly public, and a handler with one cannot forget
//! the check. The owner of a resource is checked by its service, which responds with 404
//! to other accounts.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{Id, kinds};

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
}

impl Caller {
    /// Whether the account has the rights of staff.
    pub fn is_staff(&self) -> bool {
        self.roles.contains(&Role::Staff) || self.is_admin()
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

/// The caller of a request with these headers; `None` without credentials.
///
/// # Errors
/// 401 for invalid credentials.
pub async fn identify(trust: &Trust, headers: &http::HeaderMap) -> Result<Option<Caller>, Problem> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let token = bearer(headers).ok_or_else(Problem::invalid_token)?;
    match trust.verify(token, model::now()).await {
        Ok(claims) => Ok(Some(Caller {
            user_id: claims.sub,
            session_id: claims.sid,
            roles: claims.roles.clone(),
        })),
        Err(why) => {
            tracing::debug!(%why, "a token was refused");
            Err(Problem::invalid_token())
        }
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
    identify(&trust, &parts.headers).await
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
