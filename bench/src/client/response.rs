//! A response of the shop: status, body, retry time and problem document.
//!
//! Scenarios compare responses after the connection is gone, so a response owns its body.
//! **Invariant:** only a 429 and a 503 carry a retry time, since only they promise that
//! nothing was written.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The upper bound of `Retry-After`.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// The 5xx responses that are described.
const FAULTS_SHOWN_MAX: usize = 10;

/// The number of 5xx responses, and the first of them described.
#[derive(Clone, Default, serde::Serialize)]
pub(crate) struct ServerErrors {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl ServerErrors {
    /// Counts a 5xx response.
    pub(crate) fn add(&mut self, described: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FAULTS_SHOWN_MAX {
            self.first.push(described());
        }
    }

    /// Adds those that another counted.
    pub(crate) fn extend(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(FAULTS_SHOWN_MAX);
    }
}

/// A response, read to its end.
pub(crate) struct ShopResponse {
    pub(crate) status: StatusCode,
    /// Whether it is the replay of an earlier response under the same key.
    pub(crate) replayed: bool,
    /// The time to wait before a retry, if the status permits one.
    pub(super) retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// A problem document (RFC 9457), as far as a client acts on it.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
}

/// The type of the problem document that a body is, such as `/problems/out-of-stock`.
pub(crate) fn problem_kind(body: &[u8]) -> String {
    let problem = serde_json::from_slice(body);
    problem.map_or_else(
        |_| "without a problem document".to_owned(),
        |problem: Problem| problem.kind,
    )
}

impl ShopResponse {
    /// Reads `response` to its end.
    pub(super) async fn read(response: Response) -> reqwest::Result<Self> {
        let status = response.status();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let again = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        let retry_after = again.then(|| {
            let seconds = header(RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
            Duration::from_secs(seconds.unwrap_or(1)).min(RETRY_WAIT_MAX)
        });
        let replayed = header("idempotency-replayed").is_some_and(|value| value == "true");
        let body = response.bytes().await?.to_vec();
        Ok(Self { status, replayed, retry_after, body })
    }

    /// The body's bytes.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as `T`, if the status is the expected one; `doing` is for the error.
    pub(crate) fn expect<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        doing: &str,
    ) -> anyhow::Result<T> {
        if self.status != status {
            bail!("{doing} was answered {}", self.describe());
        }
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{doing} was answered {status} with a body out of contract"))
    }

    /// The body as `T`, if it is one.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The problem's type, such as `/problems/out-of-stock`.
    pub(crate) fn problem(&self) -> String {
        problem_kind(&self.body)
    }

    /// Status, problem type and detail in one line.
    pub(crate) fn describe(&self) -> String {
        match self.json::<Problem>() {
            Some(problem) => format!("{} {}: {}", self.status, problem.kind, problem.detail),
            None => format!("{} without a problem document", self.status),
        }
    }
}
