//! A stub of products behind a gateway, and the log that announces its changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mesh::store::{self, Store};
use mesh::{Cause, Draft, Log, Source};
use model::{Fact, Id, Listing, Money, PublicationStatus, kinds};
use reqwest::Method;
use serde_json::json;
use testkit::{Person, TestResponse, TestService, eventually, send};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stub::{Seen, Stub, StubBody};

pub(crate) type ProductId = Id<kinds::Product>;

/// A catalogue of one product, which has versions.
pub(crate) struct Catalogue {
    pub(crate) id: ProductId,
    pub(crate) version: AtomicU64,
    /// A response to a read waits for one of these permits.
    pub(crate) leave: Semaphore,
    /// Additional headers of every response to a read.
    headers: Vec<(&'static str, &'static str)>,
}

impl Catalogue {
    pub(crate) fn new(headers: &[(&'static str, &'static str)]) -> Arc<Self> {
        Arc::new(Self {
            id: Id::new(),
            version: AtomicU64::new(1),
            leave: Semaphore::new(Semaphore::MAX_PERMITS),
            headers: headers.to_vec(),
        })
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/products/{}", self.id)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub(crate) async fn answer(&self, seen: Seen) -> Response<StubBody> {
        if seen.target.ends_with("missing") {
            return refusal(StatusCode::NOT_FOUND);
        }
        if seen.method == Method::PATCH {
            if seen.headers.contains_key("if-match") {
                return refusal(StatusCode::PRECONDITION_FAILED);
            }
            self.version.fetch_add(1, Ordering::SeqCst);
            return response(StatusCode::OK).body(body("{}")).unwrap();
        }
        let version = self.version();
        self.leave.acquire().await.unwrap().forget();
        let tag = if seen.target.contains(&self.id.to_string()) {
            self.id.to_string()
        } else {
            "products".into()
        };
        let mut answer = response(StatusCode::OK)
            .header("etag", format!("\"{version}\""))
            .header("content-type", "application/json")
            .header("cache-control", "public, max-age=0, must-revalidate")
            .header("konbini-cache-tags", tag);
        for (name, value) in &self.headers {
            answer = answer.header(*name, *value);
        }
        let text = format!("{{\"version\":{version}}}");
        answer.body(body(text)).unwrap()
    }
}

pub(crate) fn response(status: StatusCode) -> http::response::Builder {
    Response::builder().status(status)
}

pub(crate) fn refusal(status: StatusCode) -> Response<StubBody> {
    let problem = json!({ "status": status.as_u16(), "instance": "x" });
    let answer = response(status).header("content-type", "application/problem+json");
    answer.body(body(problem.to_string())).unwrap()
}

pub(crate) fn body(text: impl Into<Bytes>) -> StubBody {
    Full::new(text.into()).boxed_unsync()
}

/// Products' log, whose announcements can be stopped and lost.
pub(crate) struct Voice {
    store: Store,
    pub(crate) log: Log,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Voice {
    async fn of_products(test: &TestService) -> Self {
        let room = test.folder.data_dir("products").unwrap().join("store");
        let store = Store::open(&room, &store::Options::default()).unwrap();
        let log = Log::open(store.clone(), "products", model::now()).await;
        let log = log.unwrap();
        let mut voice = Self {
            store,
            log,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        voice.speak(test).await;
        voice
    }

    pub(crate) async fn speak(&mut self, test: &TestService) {
        self.stop = CancellationToken::new();
        let announce_every = Duration::from_millis(20);
        let source = Source {
            announce_every,
            ..Source::new(self.log.clone(), test.mesh.clone())
        };
        source.start(&self.tasks, self.stop.clone()).await.unwrap();
    }

    pub(crate) async fn fall_silent(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Logs and announces a change of a product; returns its position in the log.
    pub(crate) async fn tell_of(&self, id: ProductId) -> u64 {
        let listing = Listing {
            product_id: id,
            sku: "A1".into(),
            title: "Lamp".into(),
            price: Money::zero("EUR".parse().unwrap()),
            status: PublicationStatus::Published,
            category: None,
            other_categories: Vec::new(),
            weight_g: None,
            tax_class: model::TaxClass::default(),
            requires_shipping: true,
        };
        let fact = Fact::ProductUpdated(listing);
        let draft = Draft { key: id.to_string(), fact, cause: Cause::own(model::now()) };
        let log = self.log.clone();
        let told = self.store.write(move |tx| log.append(tx, draft)).await;
        let told: Result<u64, store::Error> = told;
        told.unwrap()
    }
}

pub(crate) const KEEP: (&str, &str) = ("konbini-cache-control", "max-age=60");

/// A gateway, the catalogue behind it and the log of products.
pub(crate) struct Shop {
    pub(crate) test: TestService,
    pub(crate) products: Stub,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) voice: Voice,
    pub(crate) reader: Person,
}

impl Shop {
    pub(crate) async fn open(headers: &[(&'static str, &'static str)]) -> Self {
        let test = crate::start(gateway::Config::default()).await;
        let voice = Voice::of_products(&test).await;
        let products = Stub::start(&test, "products").await;
        let catalogue = Catalogue::new(&[KEEP]);
        let reader = test.anonymous();
        let mut shop = Self { test, products, catalogue, voice, reader };
        shop.serve(&shop.catalogue);
        shop.is_kept("/v1/products?warm=up").await;
        shop.catalogue = Catalogue::new(headers);
        shop.serve(&shop.catalogue);
        shop
    }

    fn serve(&self, catalogue: &Arc<Catalogue>) {
        let catalogue = catalogue.clone();
        self.products.respond_with(move |seen| {
            let catalogue = catalogue.clone();
            async move { catalogue.answer(seen).await }
        });
    }

    /// The number of requests that reached products.
    pub(crate) fn asked(&self) -> usize {
        self.products.seen().len()
    }

    pub(crate) async fn is_kept(&self, path: &str) {
        eventually("the response is cached", || async {
            self.reader.get(path).await;
            let asked = self.asked();
            self.reader.get(path).await;
            self.asked() == asked
        })
        .await;
    }

    pub(crate) async fn version(&self) -> u64 {
        version(&self.reader.get(&self.catalogue.path()).await)
    }

    pub(crate) async fn write(&self) {
        let staff = self.test.staff();
        let request = staff.request(Method::PATCH, &self.catalogue.path());
        assert_eq!(send(request.json(&json!({}))).await.status, 200);
    }

    pub(crate) async fn close(mut self) {
        self.voice.fall_silent().await;
        self.test.finish().await;
    }
}

pub(crate) fn version(answer: &TestResponse) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["version"].as_u64().unwrap()
}
