//! API keys: each is exchanged at users for an access token, which is forwarded in its place.
//!
//! A token is used until shortly before it expires, and only while it verifies: a revoked one is
//! exchanged again, which users refuses once the key itself was revoked. So revocations need no
//! message of their own, and no service sees an API key.
//!
//! **Invariants:** a key reaches users only for a route that takes API keys. Concurrent requests
//! with one key share one exchange. Tokens are kept in memory only, a bounded number of them.

use std::net::IpAddr;
use std::time::Duration;

use api::Route;
use chassis::caller::api_key;
use chassis::limits::{CLOCK_LEEWAY, KEY_TOKEN_LIFE};
use chassis::{Context, Problem, Trust};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use mesh::{Mesh, TokenAnswer, TokenOf};
use model::Time;
use quick_cache::sync::Cache;

use crate::client::Client;

/// Most tokens kept: every key that a shop can have, and some whose keys were revoked.
const TOKENS_MAX: usize = 512;

/// How long before its expiry a token is replaced: longer than the clocks of two hosts differ.
const RENEWED_BEFORE: Duration = CLOCK_LEEWAY;
const _: () = assert!(RENEWED_BEFORE.as_secs() < KEY_TOKEN_LIFE.as_secs() / 2);

/// Timeout of an exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);

/// The response to an address over its rate limit of failed keys.
const TOO_MANY_KEYS: &str =
    "too many API keys from this address were not valid, and this one is not either";

/// The longest API key that is exchanged, in bytes; ours have 62.
const KEY_BYTES_MAX: usize = 128;

/// Exchanges API keys.
pub(crate) struct ApiKeys {
    mesh: Mesh,
    trust: Trust,
    tokens: Cache<String, ExchangedToken>,
}

/// An access token for an API key.
#[derive(Clone)]
struct ExchangedToken {
    token: Box<str>,
    until: Time,
}

impl ApiKeys {
    pub(crate) fn new(ctx: &Context) -> Self {
        Self {
            mesh: ctx.mesh.clone(),
            trust: ctx.trust.clone(),
            tokens: Cache::new(TOKENS_MAX),
        }
    }

    /// Puts an access token in the place of the API key of a request for `route`, if it has one.
    ///
    /// # Errors
    /// 401 for a key that is not valid, 403 where the route takes no keys, 429 after too many
    /// failures at this address, 503 while users does not answer.
    pub(crate) async fn exchange(
        &self,
        route: &Route,
        client: &Client,
        headers: &mut HeaderMap,
    ) -> Result<(), Problem> {
        let Some(key) = api_key(headers) else {
            return Ok(());
        };
        if route.scope.is_none() {
            return Err(Problem::no_api_keys());
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Problem::invalid_token());
        }
        // Boxed, because most requests need no space for it.
        let token = Box::pin(self.token(key, client.ip)).await?;
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        headers.insert(AUTHORIZATION, value.map_err(Problem::internal)?);
        Ok(())
    }

    async fn token(&self, key: &str, address: IpAddr) -> Result<Box<str>, Problem> {
        if let Some(known) = self.tokens.get(key) {
            let now = model::now();
            let is_valid = now < known.until.before(RENEWED_BEFORE)
                && self.trust.verify(&known.token, now).await.is_ok();
            if is_valid {
                return Ok(known.token);
            }
            // Another request may have renewed it meanwhile.
            self.tokens.remove_if(key, |kept| kept.token == known.token);
        }
        let exchanged = self.tokens.get_or_insert_async(key, self.ask(key, address));
        Ok(exchanged.await?.token)
    }

    async fn ask(&self, key: &str, address: IpAddr) -> Result<ExchangedToken, Problem> {
        let question = TokenOf { key: key.to_owned(), address };
        match self.mesh.ask(&question, EXCHANGE_TIMEOUT).await.flatten() {
            Some(TokenAnswer::Issued { token, until }) => {
                Ok(ExchangedToken { token: token.into(), until })
            }
            Some(TokenAnswer::Refused) => Err(Problem::invalid_token()),
            Some(TokenAnswer::Throttled { wait }) => Err(Problem::too_many_attempts(TOO_MANY_KEYS, wait)),
            None => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service-unavailable",
                "A service is unavailable",
                "the service `users` did not say whether the API key is valid; nothing was written, try again",
            )
            .member("service", "users")
            .header(RETRY_AFTER, "1")),
        }
    }
}
