//! The real service on port 0 in a temporary folder, and people to use it.
//!
//! The mesh is in-process; users is played by a log with one published key, so
//! that tokens are checked exactly as in a shop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Draft, LocalNetwork, Log, Mesh, Source};
use model::{Fact, Id, Time, kinds};
use reqwest::Method;
use serde_json::Value;
use store::Store;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::ACCESS_TOKEN_LIFE;
use crate::token::{AUDIENCE, Claims, ISSUER, KeyPair, Succession};
use crate::{Config, Error, Folder, Open, Role};

/// How long a condition may take to come true on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running service under test.
pub struct TestService {
    /// Where it listens.
    pub address: SocketAddr,
    /// The network it is on, to play other services.
    pub mesh: Mesh,
    /// The data folder.
    pub folder: Folder,
    keys: KeyPair,
    config: Config,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), Error>>>,
    others: Vec<(&'static str, OtherService)>,
    _temporary: TempDir,
}

/// Another service, played by its log alone.
#[derive(Clone)]
pub struct OtherService {
    store: Store,
    log: Log,
}

impl OtherService {
    /// Says that something happened there.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn say(&self, key: &str, fact: Fact) {
        self.say_at(key, fact, model::now()).await;
    }

    /// Says that something happened there at that moment.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn say_at(&self, key: &str, fact: Fact, at: Time) {
        let log = self.log.clone();
        let draft = Draft { key: key.into(), fact, at, by: None, trace: None };
        let said = self
            .store
            .write(move |tx| log.append(tx, draft).map(|_| ()));
        let said: Result<(), store::Error> = said.await;
        said.expect("a fresh store takes an event");
    }
}

impl TestService {
    /// Starts `open` as `name`, with `others` present on the mesh (users always is,
    /// unless it is the one under test).
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(name: &'static str, open: Open, others: &[&'static str]) -> Self {
        Self::start_with(Config::default(), name, open, others).await
    }

    /// As [`start`](Self::start), with settings.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with(
        config: Config,
        name: &'static str,
        open: Open,
        others: &[&'static str],
    ) -> Self {
        let temporary = TempDir::new().expect("a temporary folder can be made");
        let folder = Folder::open(&temporary.path().join("shop")).expect("an empty folder opens");
        let mesh = Mesh::new(Arc::new(LocalNetwork::reliable()), folder.shop());
        let keys = KeyPair::generate();
        let mut test = Self {
            address: ([127, 0, 0, 1], 0).into(),
            mesh,
            folder,
            keys,
            config,
            stop: CancellationToken::new(),
            running: None,
            others: Vec::new(),
            _temporary: temporary,
        };
        if name != "users" {
            let users = test.play("users").await;
            let root = test
                .folder
                .root_secret()
                .expect("a new shop has its root key");
            let now = model::now();
            let first = Succession { published_at: now, earlier_until: now };
            let published = root.vouch_for(&test.keys, first);
            users.say("keys", Fact::KeyPublished(published)).await;
        }
        for other in others {
            test.play(other).await;
        }
        test.run(name, open).await;
        test
    }

    async fn run(&mut self, name: &'static str, open: Open) {
        let (heard, listening) = oneshot::channel();
        let (folder, mesh, stop) = (self.folder.clone(), self.mesh.clone(), self.stop.clone());
        let mut config = self.config.clone();
        config.gateway.listen.set_port(0);
        let config = Arc::new(config);
        self.running = Some(tokio::spawn(async move {
            let listening = move |started: crate::run::Started| {
                let _ = heard.send(started.address);
            };
            crate::run(name, open, folder, config, mesh, stop, listening).await
        }));
        self.address = match listening.await {
            Ok(address) => address,
            Err(_) => {
                self.end().await;
                panic!("the service ended before it listened");
            }
        };
        // Who listens has its certificate, which only the test knows.
        if self.config.gateway.is_secure() {
            return;
        }
        // The gateway is ready when all the others are, and a test of it plays them.
        let page = if name == "gateway" { "livez" } else { "readyz" };
        let ready = || async {
            let answer = reqwest::get(format!("http://{}/{page}", self.address)).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        eventually("the service is ready", ready).await;
    }

    /// Ends the service as SIGTERM would and starts it again on the same data.
    ///
    /// # Panics
    /// When it does not end or come up.
    pub async fn restart(&mut self, name: &'static str, open: Open) {
        self.restart_after(name, open, || {}).await;
    }

    /// As [`restart`](Self::restart), with something happening to the data while
    /// nobody has it open.
    ///
    /// # Panics
    /// When it does not end or come up.
    pub async fn restart_after(
        &mut self,
        name: &'static str,
        open: Open,
        meanwhile: impl FnOnce(),
    ) {
        self.end().await;
        self.released(name).await;
        meanwhile();
        self.stop = CancellationToken::new();
        self.run(name, open).await;
    }

    /// Waits until the ended service's store can be opened again. A process that
    /// ends lets go of it at once; here a connection's task may still be about to
    /// drop its router, and the store in it, after axum has called it done.
    async fn released(&self, name: &str) {
        let room = self.folder.path().join(name).join("store");
        let is_free = || async {
            match Store::open(&room, &store::Options::default()) {
                Ok(store) => {
                    store.close();
                    true
                }
                Err(store::Error::Locked(_)) => false,
                Err(error) => panic!("the store opens again: {error}"),
            }
        };
        eventually("the store is released", is_free).await;
    }

    async fn end(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running
                .await
                .expect("the service does not panic")
                .expect("the service ends well");
        }
    }

    /// Ends the service; everything must have drained.
    ///
    /// # Panics
    /// When it fails to.
    pub async fn finish(mut self) {
        self.end().await;
    }

    /// Puts a service on the mesh that only has a log.
    ///
    /// # Panics
    /// When it cannot be put there.
    pub async fn play(&mut self, name: &'static str) -> OtherService {
        let room = self
            .folder
            .data_dir(name)
            .expect("a room can be made")
            .join("store");
        let store = Store::open(&room, &store::Options::default()).expect("a fresh store opens");
        let log = Log::open(store.clone(), name, model::now())
            .await
            .expect("a fresh log opens");
        let source = Source {
            announce_every: Duration::from_millis(20),
            ..Source::new(log.clone(), self.mesh.clone())
        };
        source
            .start(&TaskTracker::new(), CancellationToken::new())
            .await
            .expect("the in-process network refuses nothing");
        let other = OtherService { store, log };
        self.others.push((name, other.clone()));
        other
    }

    /// A service that was put on the mesh before, users among them.
    ///
    /// # Panics
    /// When it was not.
    pub fn other(&self, name: &str) -> OtherService {
        let found = self.others.iter().find(|(other, _)| *other == name);
        found.expect("this service is played").1.clone()
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Person {
        Person::new(self.address, None, None)
    }

    /// A new customer.
    pub fn customer(&self) -> Person {
        self.person(&[Role::Customer])
    }

    /// Somebody who runs the shop.
    pub fn staff(&self) -> Person {
        self.person(&[Role::Customer, Role::Staff])
    }

    /// Somebody who runs the machine.
    pub fn admin(&self) -> Person {
        self.person(&[Role::Customer, Role::Admin])
    }

    /// A token of the shop with any claims, also such as no login gives.
    pub fn issue(&self, claims: &Claims) -> String {
        self.keys.issue(claims)
    }

    fn person(&self, roles: &[Role]) -> Person {
        let user_id = Id::new();
        let token = self.issue(&claims(user_id, roles, model::now()));
        Person::new(self.address, Some(token), Some(user_id))
    }
}

/// The claims of a fresh login.
pub fn claims(user_id: Id<kinds::User>, roles: &[Role], now: Time) -> Claims {
    Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: user_id,
        sid: Id::new(),
        exp: now.after(ACCESS_TOKEN_LIFE),
        nbf: now,
        iat: now,
        jti: Id::<kinds::Session>::new().to_string(),
        roles: roles.to_vec(),
    }
}

/// A client with, or without, a token.
#[derive(Clone)]
pub struct Person {
    address: SocketAddr,
    http: reqwest::Client,
    token: Option<String>,
    user_id: Option<Id<kinds::User>>,
}

impl Person {
    /// A client of any address.
    pub fn new(
        address: SocketAddr,
        token: Option<String>,
        user_id: Option<Id<kinds::User>>,
    ) -> Self {
        Self { address, http: reqwest::Client::new(), token, user_id }
    }

    /// The same person at another address: a service that was started again.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Whose token it is.
    ///
    /// # Panics
    /// For somebody without one.
    pub fn user_id(&self) -> Id<kinds::User> {
        self.user_id.expect("this person has a token")
    }

    /// A request to be completed and sent with [`send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The JSON body; `Null` when there is none.
    pub body: Value,
}

impl Answer {
    /// The code of a problem document, `out-of-stock`.
    pub fn problem(&self) -> &str {
        self.body["type"]
            .as_str()
            .unwrap_or("")
            .trim_start_matches("/problems/")
    }
}

/// Sends a request and reads its answer.
///
/// # Panics
/// When the service does not answer, or an error is no problem document.
pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the service answers");
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.expect("the answer ends");
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status >= 400 {
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{status} {text}"
        );
        assert_eq!(body["status"], status, "{text}");
        assert!(body["instance"].is_string(), "{text}");
    }
    Answer { status, headers, body }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within a deadline generous enough for a busy machine.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {TIMEOUT:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
