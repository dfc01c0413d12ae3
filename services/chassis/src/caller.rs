//! Authorisation as a handler's parameter: who asks, and whether they may.
//!
//! A handler without one of these is visibly public; one with it cannot forget
//! the check. Whether a particular thing is theirs is the service's question,
//! and the answer to "not yours" is 404.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{Id, kinds};

use crate::{Problem, Role, Trust};

use axum::http;

/// Whoever carries a believed token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose account.
    pub user_id: Id<kinds::User>,
    /// Which login.
    pub session_id: Id<kinds::Session>,
    /// What it may do.
    pub roles: Vec<Role>,
}

impl Caller {
    /// Whether they run the shop.
    pub fn is_staff(&self) -> bool {
        self.roles.contains(&Role::Staff) || self.is_admin()
    }

    /// Whether they run the machine.
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }
}

/// A caller who runs the shop.
#[derive(Debug, Clone)]
pub struct Staff(pub Caller);

impl From<Staff> for Caller {
    fn from(Staff(caller): Staff) -> Self {
        caller
    }
}

/// A caller who runs the machine.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

/// The token of the `Authorization: Bearer` header (RFC 6750 §2.1). Of two such
/// headers neither counts: others on the way may have believed the other one.
pub fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let header = given.next()?.to_str().ok()?;
    if given.next().is_some() {
        return None;
    }
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who sends these headers. `None`: nobody in particular.
///
/// # Errors
/// 401 for credentials that are not believed.
pub async fn identify(trust: &Trust, headers: &http::HeaderMap) -> Result<Option<Caller>, Problem> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
    match trust.verify(token, model::now()).await {
        Ok(claims) => Ok(Some(Caller {
            user_id: claims.sub,
            session_id: claims.sid,
            roles: claims.roles.clone(),
        })),
        Err(why) => {
            tracing::debug!(%why, "a token was refused");
            Err(Problem::unauthenticated())
        }
    }
}

/// Refuses whoever does not run the machine.
///
/// # Errors
/// 401 for nobody in particular, 403 for anyone else.
pub fn admin(caller: Option<Caller>) -> Result<Admin, Problem> {
    let caller = caller.ok_or_else(Problem::unauthenticated)?;
    if caller.is_admin() {
        Ok(Admin(caller))
    } else {
        Err(Problem::forbidden("admin"))
    }
}

async fn caller(parts: &mut Parts) -> Result<Option<Caller>, Problem> {
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
