//! The HTTP client of a shop: JSON bodies, access tokens that renew themselves, retries
//! after `Retry-After`, and problem documents.
//!
//! A 429 and a 503 promise that nothing was written, so they are retried a bounded number
//! of times. No other failure is repeated: after a 504 or a broken connection the outcome
//! is unknown, and a measurement must not hide that. A client
//! [without retries](ShopClient::without_retries) serves scenarios that count every
//! response or retry by rules of their own.
//!
//! **Invariant:** every 5xx response is counted, retried or not.

mod response;

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub(crate) use self::response::{ServerErrors, ShopResponse, problem_kind};
use crate::progress::PhaseProgress;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of one ordinary call; the shop's own timeouts are shorter.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const TRIES_MAX: u32 = 5;
/// A log-in takes tens of milliseconds of a whole core of the shop, by design.
const LOGINS_AT_ONCE: usize = 8;
/// Items of a list asked for at once; the most that a shop gives.
const PAGE_ITEMS: &str = "100";

/// The shop's address and a staff account's credentials.
#[derive(clap::Args)]
pub(crate) struct StaffLogin {
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

impl StaffLogin {
    /// Logs in to the shop as staff.
    pub(crate) async fn open(&self) -> anyhow::Result<(ShopClient, Credentials)> {
        let password = if self.password_stdin {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.context("cannot read the password from standard input")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            self.password.clone().context(
                "no password for the staff account: set KONBINI_PASSWORD or give --password-stdin",
            )?
        };
        let client = ShopClient::new(self.url.clone())?;
        let staff = Credentials::new(self.email.clone(), password);
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

/// An account's credentials and its current access token.
pub(crate) struct Credentials {
    email: String,
    password: String,
    /// Empty before the first log-in. The lock is held while logging in, so that concurrent
    /// callers renew the token once.
    token: tokio::sync::Mutex<String>,
}

impl Credentials {
    pub(crate) fn new(email: String, password: String) -> Self {
        Self { email, password, token: tokio::sync::Mutex::default() }
    }

    pub(crate) async fn token(&self) -> String {
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

/// A shop's client, with a count of its 5xx responses.
pub(crate) struct ShopClient {
    http: reqwest::Client,
    base: Url,
    tries_max: u32,
    faults: Mutex<ServerErrors>,
}

impl ShopClient {
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

    /// Another client of the same shop, with connections and counts of its own, that returns
    /// a 429 and a 503 like any other response.
    pub(crate) fn without_retries(&self) -> anyhow::Result<Self> {
        Ok(Self { tries_max: 1, ..Self::new(self.base.clone())? })
    }

    /// The shop's address.
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
        account: &Credentials,
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

    /// Sends without a token. Only transport failures are errors.
    pub(crate) async fn send(&self, request: RequestBuilder) -> reqwest::Result<ShopResponse> {
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
        account: &Credentials,
        request: RequestBuilder,
    ) -> anyhow::Result<ShopResponse> {
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
        account: &Credentials,
        request: RequestBuilder,
    ) -> reqwest::Result<ShopResponse> {
        let response = request.bearer_auth(account.token().await).send().await?;
        self.read(response).await
    }

    /// Makes sure that `account` holds a token other than `spent`.
    pub(crate) async fn renew(&self, account: &Credentials, spent: &str) -> anyhow::Result<String> {
        let mut token = account.token.lock().await;
        if *token == spent {
            *token = self.log_in(account).await?.access_token;
        }
        Ok(token.clone())
    }

    async fn log_in(&self, account: &Credentials) -> anyhow::Result<Session> {
        let body = json!({"email": account.email, "password": account.password});
        let request = self.request(Method::POST, &["v1", "sessions"]).json(&body);
        let answer = self.send(request).await;
        let answer = answer.with_context(|| format!("cannot reach the shop at {}", self.base))?;
        answer.expect(
            StatusCode::CREATED,
            &format!("logging in as {}", account.email),
        )
    }

    /// Registers `account`, unless an earlier run did.
    pub(crate) async fn register(&self, account: &Credentials) -> anyhow::Result<()> {
        let name = account.email.split('@').next();
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

    /// Registers these accounts, unless an earlier run did, and logs each of them in.
    pub(crate) async fn log_in_all(
        &self,
        accounts: impl IntoIterator<Item = Credentials>,
    ) -> anyhow::Result<Vec<Credentials>> {
        let accounts: Vec<_> = accounts.into_iter().collect();
        let progress = &PhaseProgress::count("logging in", accounts.len() as u64);
        let logged_in = stream::iter(accounts)
            .map(|account| async move {
                self.register(&account).await?;
                self.renew(&account, "").await?;
                progress.step();
                anyhow::Ok(account)
            })
            .buffered(LOGINS_AT_ONCE)
            .try_collect()
            .await;
        progress.finish();
        logged_in
    }

    /// Publishes a product and returns its id.
    pub(crate) async fn create_product(
        &self,
        staff: &Credentials,
        product: NewProduct,
    ) -> anyhow::Result<String> {
        let NewProduct { sku, title, price, stock } = product;
        let request = self
            .request(Method::POST, &["v1", "products"])
            .json(&json!({
                "sku": sku,
                "title": title,
                "price": {"amount": price, "currency": "EUR"},
                "status": "published",
                "stock": stock,
            }));
        let response = self.send_as(staff, request).await?;
        let created: WithId = response.expect(StatusCode::CREATED, "creating a product")?;
        Ok(created.id)
    }

    /// Reads the stock of a product.
    pub(crate) async fn stock(
        &self,
        staff: &Credentials,
        product: &str,
    ) -> anyhow::Result<ObservedStock> {
        let request = self.request(Method::GET, &["v1", "products", product, "stock"]);
        let response = self.send_as(staff, request).await?;
        response.expect(StatusCode::OK, &format!("reading the stock of {product}"))
    }

    /// The 5xx responses so far.
    pub(crate) fn faults(&self) -> ServerErrors {
        self.faults.lock().clone()
    }

    async fn read(&self, response: Response) -> reqwest::Result<ShopResponse> {
        let path = response.url().path().to_owned();
        let answer = ShopResponse::read(response).await?;
        if answer.status.is_server_error() {
            let mut faults = self.faults.lock();
            faults.add(|| format!("{path}: {}", answer.describe()));
        }
        Ok(answer)
    }
}

/// A product to be published, with its price in cents of a euro.
pub(crate) struct NewProduct {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) price: i64,
    pub(crate) stock: i64,
}

/// A product's stock as staff reads it, in units. Signed, since an oversold shop must be
/// readable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ObservedStock {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

/// Any body of which only the id counts.
#[derive(Deserialize)]
pub(crate) struct WithId {
    pub(crate) id: String,
}
