//! The shop as its customers reach it: HTTP and JSON, log-ins that renew
//! themselves, and problems in words.
//!
//! A 429 and a 503 say that nothing was written and when to come back, so they
//! are tried again, a bounded number of times. No other failure is ever
//! repeated: after a 504 or a broken connection the outcome is unknown, and a
//! measurement must not hide that. **Invariant:** every 5xx that the shop ever
//! answered is in the ledger, tried again or not. A [`Client::candid`] one tries
//! nothing again, for those who count every answer or repeat by rules of their own.

use std::io::BufRead;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one ordinary call; the shop itself gives up sooner.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const TRIES_MAX: u32 = 5;
/// Whatever `Retry-After` asks for, a try waits no longer.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Items of a list asked for at once; the most that a shop gives.
const PAGE_ITEMS: &str = "100";
/// The ledger counts every 5xx and describes this many.
const FAULTS_SHOWN_MAX: usize = 10;

/// Which shop, and who asks.
#[derive(clap::Args)]
pub(crate) struct Access {
    /// The shop's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,

    /// E-mail of a staff account.
    #[arg(long, env = "KONBINI_EMAIL")]
    email: String,

    /// Read the staff account's password from one line of standard input
    /// instead of the environment variable KONBINI_PASSWORD.
    #[arg(long)]
    password_stdin: bool,

    /// Only here so that the variable is read; a password in the arguments
    /// would show in every process list.
    #[arg(long, env = "KONBINI_PASSWORD", hide = true, hide_env_values = true)]
    password: Option<String>,
}

impl Access {
    /// Logs in to the shop as staff.
    pub(crate) async fn open(self) -> anyhow::Result<(Client, Account)> {
        let password = if self.password_stdin {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.context("cannot read the password from standard input")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            self.password.context(
                "no password for the staff account: set KONBINI_PASSWORD or give --password-stdin",
            )?
        };
        let client = Client::new(self.url)?;
        let staff = Account::new(self.email, password);
        let session = client.log_in(&staff).await?;
        ensure!(
            session
                .user
                .roles
                .iter()
                .any(|role| role == "staff" || role == "admin"),
            "{} is not staff in this shop; make one with `konbini user add --role staff`",
            staff.email
        );
        *staff.token.lock().await = session.access_token;
        Ok((client, staff))
    }
}

/// Somebody who can log in, and the access token they hold now.
pub(crate) struct Account {
    email: String,
    password: String,
    /// Empty before the first log-in. The lock is held while logging in, so
    /// that callers who share an account renew its token once.
    token: tokio::sync::Mutex<String>,
}

impl Account {
    pub(crate) fn new(email: String, password: String) -> Self {
        Self { email, password, token: tokio::sync::Mutex::default() }
    }

    async fn token(&self) -> String {
        self.token.lock().await.clone()
    }
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// One shop, and a ledger of every 5xx it answered.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    tries_max: u32,
    faults: Mutex<Faults>,
}

/// How often the shop answered 5xx, and what the first of them said.
#[derive(Clone, Default, serde::Serialize)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl Client {
    /// A client of the shop at `base`.
    pub(crate) fn new(base: Url) -> anyhow::Result<Self> {
        ensure!(
            base.scheme() == "http",
            "--url must start with http://, but it is {base}"
        );
        // The shop is measured directly, whatever proxy the environment names.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self { http, base, tries_max: TRIES_MAX, faults: Mutex::default() })
    }

    /// Another client of the same shop, with connections and a ledger of its own,
    /// that hands over a 429 and a 503 like any other answer.
    pub(crate) fn candid(&self) -> anyhow::Result<Self> {
        Ok(Self { tries_max: 1, ..Self::new(self.base.clone())? })
    }

    /// Where the shop is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// A request for the path made of `segments`, each of them escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(segments))
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an http URL has a path")
            .pop_if_empty()
            .extend(segments);
        url
    }

    /// A request that reads the path made of `segments` with this query.
    pub(crate) fn query(&self, segments: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url(segments);
        url.query_pairs_mut().extend_pairs(query);
        self.http.request(Method::GET, url)
    }

    /// Every item of a list that `account` may read, page by page.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        account: &Account,
        segments: &[&str],
    ) -> anyhow::Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let from = cursor.as_deref().map(|cursor| ("cursor", cursor));
            let query: Vec<_> = [("limit", PAGE_ITEMS)].into_iter().chain(from).collect();
            let answer = self.send_as(account, self.query(segments, &query)).await?;
            let doing = format!("reading the list {}", segments.join("/"));
            let page: Page<T> = answer.expect(StatusCode::OK, &doing)?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Sends as nobody in particular. Errors are of the transport only.
    pub(crate) async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.timeout(CALL_TIMEOUT).build()?;
        let mut tries = 1;
        loop {
            let copy = request
                .try_clone()
                .expect("only a streamed body cannot be copied");
            let answer = self.read(self.http.execute(copy).await?).await?;
            let Some(wait) = answer.retry_after.filter(|_| tries < self.tries_max) else {
                return Ok(answer);
            };
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// Sends as `account`, logging in again once if its token has expired.
    pub(crate) async fn send_as(
        &self,
        account: &Account,
        request: RequestBuilder,
    ) -> anyhow::Result<Answer> {
        let copy = request
            .try_clone()
            .expect("only a streamed body cannot be copied");
        let token = account.token().await;
        if !token.is_empty() {
            let answer = self.send(copy.bearer_auth(&token)).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
        }
        let token = self.renew(account, &token).await?;
        Ok(self.send(request.bearer_auth(token)).await?)
    }

    /// Sends a streamed body as `account`: one try, and no limit on its time.
    pub(crate) async fn stream_as(
        &self,
        account: &Account,
        request: RequestBuilder,
    ) -> reqwest::Result<Answer> {
        let response = request.bearer_auth(account.token().await).send().await?;
        self.read(response).await
    }

    /// Makes sure that `account` holds a token other than `spent`.
    pub(crate) async fn renew(&self, account: &Account, spent: &str) -> anyhow::Result<String> {
        let mut token = account.token.lock().await;
        if *token == spent {
            *token = self.log_in(account).await?.access_token;
        }
        Ok(token.clone())
    }

    async fn log_in(&self, account: &Account) -> anyhow::Result<Session> {
        let body = json!({"email": account.email, "password": account.password});
        let request = self.request(Method::POST, &["v1", "sessions"]).json(&body);
        let answer = self.send(request).await;
        let answer = answer.with_context(|| format!("cannot reach the shop at {}", self.base))?;
        answer.expect(
            StatusCode::CREATED,
            &format!("logging in as {}", account.email),
        )
    }

    /// Registers `account` under `name`. An e-mail that is taken is fine: whose
    /// it is shows at the log-in that follows.
    pub(crate) async fn register(&self, account: &Account, name: &str) -> anyhow::Result<()> {
        let body = json!({"email": account.email, "password": account.password, "name": name});
        let answer = self
            .send(self.request(Method::POST, &["v1", "users"]).json(&body))
            .await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::CONFLICT => Ok(()),
            _ => bail!(
                "registering {} was answered {}",
                account.email,
                answer.describe()
            ),
        }
    }

    /// Every 5xx so far.
    pub(crate) fn faults(&self) -> Faults {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn read(&self, response: Response) -> reqwest::Result<Answer> {
        let status = response.status();
        let path = response.url().path().to_owned();
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
        let answer = Answer { status, replayed, retry_after, body };
        if status.is_server_error() {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.count += 1;
            if faults.first.len() < FAULTS_SHOWN_MAX {
                faults.first.push(format!("{path}: {}", answer.describe()));
            }
        }
        Ok(answer)
    }
}

/// A status and a whole body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Whether the shop repeated an answer that it had given before.
    pub(crate) replayed: bool,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// RFC 9457, as far as a client acts on it.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
}

impl Answer {
    /// The body's bytes.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as `T`, if the answer is the one that was hoped for while `doing`.
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
        self.json().map_or_else(
            || "without a problem document".to_owned(),
            |problem: Problem| problem.kind,
        )
    }

    /// Status, problem type and detail in one line.
    pub(crate) fn describe(&self) -> String {
        match self.json::<Problem>() {
            Some(problem) => format!("{} {}: {}", self.status, problem.kind, problem.detail),
            None => format!("{} without a problem document", self.status),
        }
    }
}
