//! Problems of credentials: none, invalid ones, too few rights, too many attempts.

use std::time::Duration;

use api::KeyScope;
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};

use super::Problem;

impl Problem {
    /// 401, the same for every reason.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "A valid access token is required",
            "send `Authorization: Bearer` with an access token from POST /v1/sessions",
        )
        .header(WWW_AUTHENTICATE, "Bearer")
    }

    /// 401 for a token that is malformed, expired or revoked (RFC 6750 §3.1).
    pub fn invalid_token() -> Self {
        Self::unauthenticated().header(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
    }

    /// 403: the account lacks the role.
    pub fn forbidden(role: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Not permitted for this account",
            format!("the role `{role}` is required"),
        )
    }

    /// 403: the account's role needs a second factor, and it has none.
    pub fn second_factor_required() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "second-factor-required",
            "A second factor is required",
            "the shop asks accounts with your role for a second factor; enrol one with POST /v1/users/me/totp and its confirm, then POST /v1/sessions/refresh",
        )
    }

    /// 403: the API key lacks the scope of the route (RFC 6750 §3.1).
    pub fn insufficient_scope(scope: KeyScope) -> Self {
        let name = scope.name();
        Self::new(
            StatusCode::FORBIDDEN,
            "insufficient-scope",
            "Not permitted for this API key",
            format!("the scope `{name}` is required; make an API key that has it"),
        )
        .header(
            WWW_AUTHENTICATE,
            &format!("Bearer error=\"insufficient_scope\", scope=\"{name}\""),
        )
    }

    /// 403: the route takes no API keys.
    pub fn no_api_keys() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "no-api-keys",
            "API keys are not accepted here",
            "no scope of an API key allows this; use an access token from POST /v1/sessions",
        )
    }

    /// 429: too many attempts failed, for `what`; the next one counts after `wait`.
    pub fn too_many_attempts(what: &str, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts",
            format!("{what}; wait {seconds} s, then try again"),
        )
        .header(RETRY_AFTER, &seconds.to_string())
    }
}
