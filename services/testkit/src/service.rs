//! One service under test: run as in production, on port 0 in a temporary folder.
//!
//! The mesh is the in-process network. The users service is played by a log with one
//! published signing key, so that tokens are verified exactly as in a shop.
//!
//! **Invariant:** [`TestService::finish`] panics unless the service drained and ended well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::limits::ACCESS_TOKEN_LIFE;
use chassis::run::Started;
use chassis::token::{AUDIENCE, Claims, ISSUER, KeyPair, Succession};
use chassis::{
    Config, Context, Error, Folder, Open, Opening, ProcessContext, Role, Supervision, opener,
};
use mesh::{Cause, Draft, InProcessNetwork, Log, Mesh, Source};
use model::{Fact, Id, Time, kinds};
use store::Store;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Person, eventually};

/// A running service under test.
pub struct TestService {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The network it is on, to play other services.
    pub mesh: Mesh,
    /// The data folder.
    pub folder: Folder,
    /// The interface to the supervisor of its process, as which a test acts.
    pub supervision: Supervision,
    keys: KeyPair,
    name: &'static str,
    open: Open,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), Error>>>,
    others: Vec<(&'static str, OtherService)>,
    _temporary: TempDir,
}

/// A service that is played by its log alone.
#[derive(Clone)]
pub struct OtherService {
    store: Store,
    log: Log,
}

impl OtherService {
    /// Opens the log of `name` in its data folder and announces it on the mesh.
    ///
    /// # Panics
    /// When the folder cannot be made, or the log does not open.
    pub async fn start(name: &str, folder: &Folder, mesh: &Mesh) -> Self {
        let data_dir = folder.data_dir(name).expect("a data folder can be made");
        let store = Store::open(&data_dir.join("store"), &store::Options::default());
        let store = store.expect("a fresh store opens");
        let log = Log::open(store.clone(), name, model::now());
        let log = log.await.expect("a fresh log opens");
        let source = Source {
            announce_every: Duration::from_millis(20),
            ..Source::new(log.clone(), mesh.clone())
        };
        source
            .start(&TaskTracker::new(), CancellationToken::new())
            .await
            .expect("the in-process network refuses nothing");
        Self { store, log }
    }

    /// As [`start`](Self::start), for users, whose log publishes the key that verifies
    /// access tokens.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_users(folder: &Folder, mesh: &Mesh, keys: &KeyPair) -> Self {
        let users = Self::start("users", folder, mesh).await;
        let root = folder.root_secret().expect("a new shop has its root key");
        let now = model::now();
        let first = Succession { published_at: now, earlier_until: now };
        let published = root.vouch_for(keys, first);
        users.publish("keys", Fact::KeyPublished(published)).await;
        users
    }

    /// Appends an event to its log.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn publish(&self, key: &str, fact: Fact) {
        self.publish_at(key, fact, model::now()).await;
    }

    /// Appends an event of that moment to its log.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn publish_at(&self, key: &str, fact: Fact, at: Time) {
        self.append(key, fact, Cause::own(at)).await;
    }

    /// Appends an event of now to its log that the person of that id caused.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn publish_by(&self, person: impl ToString, key: &str, fact: Fact) {
        let by = Some(person.to_string());
        self.append(key, fact, Cause { by, ..Cause::own(model::now()) })
            .await;
    }

    async fn append(&self, key: &str, fact: Fact, cause: Cause) {
        let log = self.log.clone();
        let draft = Draft { key: key.into(), fact, cause };
        let published = self
            .store
            .write(move |tx| log.append(tx, draft).map(|_| ()));
        let published: Result<(), store::Error> = published.await;
        published.expect("a fresh store takes an event");
    }
}

impl TestService {
    /// Starts `open` as `name`, with `others` present on the mesh (users always is,
    /// unless it is the one under test).
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start<C: Clone + Default + Send + Sync + 'static>(
        name: &'static str,
        open: fn(Context, C) -> Opening,
        others: &[&'static str],
    ) -> Self {
        Self::start_with(C::default(), name, open, others).await
    }

    /// As [`start`](Self::start), with settings.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with<C: Clone + Send + Sync + 'static>(
        config: C,
        name: &'static str,
        open: fn(Context, C) -> Opening,
        others: &[&'static str],
    ) -> Self {
        let temporary = TempDir::new().expect("a temporary folder can be made");
        let folder =
            Folder::open_or_create(&temporary.path().join("shop")).expect("an empty folder opens");
        let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), folder.shop());
        let keys = KeyPair::generate();
        let mut test = Self {
            address: ([127, 0, 0, 1], 0).into(),
            mesh,
            folder,
            keys,
            name,
            open: opener(open, config),
            supervision: Supervision::default(),
            stop: CancellationToken::new(),
            running: None,
            others: Vec::new(),
            _temporary: temporary,
        };
        if name != "users" {
            let users = OtherService::start_users(&test.folder, &test.mesh, &test.keys).await;
            test.others.push(("users", users));
        }
        for other in others {
            test.play(other).await;
        }
        test.run().await;
        test
    }

    async fn run(&mut self) {
        let (started, listening) = oneshot::channel();
        let stop = self.stop.clone();
        let config = Config::default();
        let process = ProcessContext::new(self.folder.clone(), config, self.mesh.clone());
        self.supervision = process.supervision.clone();
        let (name, open) = (self.name, self.open.clone());
        self.running = Some(tokio::spawn(async move {
            let on_start = move |service: Started| {
                let _ = started.send(service.address);
            };
            chassis::run(name, open, process, stop, on_start).await
        }));
        self.address = match listening.await {
            Ok(address) => address,
            Err(_) => {
                self.end().await;
                panic!("the service ended before it listened");
            }
        };
        // The gateway is ready once all services are; its tests play them later.
        if name == "gateway" {
            return;
        }
        let ready = || async {
            let response = reqwest::get(format!("http://{}/readyz", self.address)).await;
            response.is_ok_and(|response| response.status() == 200)
        };
        eventually("the service is ready", ready).await;
    }

    /// Ends the service as SIGTERM would and starts it again on the same data.
    ///
    /// # Panics
    /// When it does not end or come up.
    pub async fn restart(&mut self) {
        self.restart_after(|| {}).await;
    }

    /// As [`restart`](Self::restart), and runs `meanwhile` while no process has the data
    /// open.
    ///
    /// # Panics
    /// When it does not end or come up.
    pub async fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        self.end().await;
        self.released(self.name).await;
        meanwhile();
        self.stop = CancellationToken::new();
        self.run().await;
    }

    /// Waits until the ended service's store can be opened again. An ended process
    /// releases it at once; here a connection's task may still hold its router, and the
    /// store in it, for a moment after axum has reported it as done.
    async fn released(&self, name: &str) {
        let data_dir = self.folder.path().join(name).join("store");
        let is_free = || async {
            match Store::open(&data_dir, &store::Options::default()) {
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

    /// Stops the service, which must drain and end well.
    ///
    /// # Panics
    /// When it fails to.
    pub async fn finish(mut self) {
        self.end().await;
    }

    /// Adds a service to the mesh that consists of its log alone.
    ///
    /// # Panics
    /// When its log does not open.
    pub async fn play(&mut self, name: &'static str) -> OtherService {
        let other = OtherService::start(name, &self.folder, &self.mesh).await;
        self.others.push((name, other.clone()));
        other
    }

    /// A service that is played: users, or one that was added before.
    ///
    /// # Panics
    /// When it is not on the mesh.
    pub fn other(&self, name: &str) -> OtherService {
        let found = self.others.iter().find(|(other, _)| *other == name);
        found.expect("this service is played").1.clone()
    }

    /// A person without a token.
    pub fn anonymous(&self) -> Person {
        Person::new(self.address, None, None)
    }

    /// A new customer of the shop.
    pub fn customer(&self) -> Person {
        self.person(&[Role::Customer])
    }

    /// A member of the shop's staff.
    pub fn staff(&self) -> Person {
        self.person(&[Role::Customer, Role::Staff])
    }

    /// An administrator.
    pub fn admin(&self) -> Person {
        self.person(&[Role::Customer, Role::Admin])
    }

    /// A token with any claims, signed with the shop's key.
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
        scopes: None,
        key: None,
    }
}
