//! What is told again, and that nothing is that is no longer so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::testing::{Answer, Person, TestService, eventually, send};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mesh::store::{self, Store};
use mesh::{Draft, Fact, Id, Listing, Log, Money, PublicationStatus, Source, kinds};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stub::{Seen, Stub, StubBody};

type ProductId = Id<kinds::Product>;

/// A catalogue of one product, in versions.
struct Catalogue {
    id: ProductId,
    version: AtomicU64,
    /// Answers to reads leave with one of these each.
    leave: Semaphore,
    /// What else is said of every answer to a read.
    headers: Vec<(&'static str, &'static str)>,
}

impl Catalogue {
    fn new(headers: &[(&'static str, &'static str)]) -> Arc<Self> {
        Arc::new(Self {
            id: Id::new(),
            version: AtomicU64::new(1),
            leave: Semaphore::new(Semaphore::MAX_PERMITS),
            headers: headers.to_vec(),
        })
    }

    fn path(&self) -> String {
        format!("/v1/products/{}", self.id)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    async fn answer(&self, seen: Seen) -> Response<StubBody> {
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

fn response(status: StatusCode) -> http::response::Builder {
    Response::builder().status(status)
}

fn refusal(status: StatusCode) -> Response<StubBody> {
    let problem = json!({ "status": status.as_u16(), "instance": "x" });
    let answer = response(status).header("content-type", "application/problem+json");
    answer.body(body(problem.to_string())).unwrap()
}

fn body(text: impl Into<Bytes>) -> StubBody {
    Full::new(text.into()).boxed_unsync()
}

/// Products' log, which can fall silent and lose what it says.
struct Voice {
    store: Store,
    log: Log,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Voice {
    async fn of_products(test: &TestService) -> Self {
        let room = test.folder.room("products").unwrap().join("store");
        let store = Store::open(&room, &store::Options::default()).unwrap();
        let log = Log::open(store.clone(), "products", mesh::now()).await;
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

    async fn speak(&mut self, test: &TestService) {
        self.stop = CancellationToken::new();
        let announce_every = Duration::from_millis(20);
        let source = Source {
            announce_every,
            ..Source::new(self.log.clone(), test.mesh.clone())
        };
        source.start(&self.tasks, self.stop.clone()).await.unwrap();
    }

    async fn fall_silent(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Tells that a product is another one; the place of that in the log.
    async fn tell_of(&self, id: ProductId) -> u64 {
        let listing = Listing {
            product_id: id,
            sku: "A1".into(),
            title: "Lamp".into(),
            price: Money::zero("EUR".parse().unwrap()),
            status: PublicationStatus::Published,
        };
        let fact = Fact::ProductUpdated(listing);
        let draft = Draft {
            key: id.to_string(),
            fact,
            at: mesh::now(),
            by: None,
            trace: None,
        };
        let log = self.log.clone();
        let told = self.store.write(move |tx| log.append(tx, draft)).await;
        let told: Result<u64, store::Error> = told;
        told.unwrap()
    }
}

const KEEP: (&str, &str) = ("konbini-cache-control", "max-age=60");

/// A gateway, the catalogue behind it and the voice of products.
struct Shop {
    test: TestService,
    products: Stub,
    catalogue: Arc<Catalogue>,
    voice: Voice,
    reader: Person,
}

impl Shop {
    async fn open(headers: &[(&'static str, &'static str)]) -> Self {
        let test = TestService::start("gateway", gateway::open, &[]).await;
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
        self.products.answer_with(move |seen| {
            let catalogue = catalogue.clone();
            async move { catalogue.answer(seen).await }
        });
    }

    /// How many requests came through.
    fn asked(&self) -> usize {
        self.products.seen().len()
    }

    async fn is_kept(&self, path: &str) {
        eventually("the answer is kept", || async {
            self.reader.get(path).await;
            let asked = self.asked();
            self.reader.get(path).await;
            self.asked() == asked
        })
        .await;
    }

    async fn version(&self) -> u64 {
        version(&self.reader.get(&self.catalogue.path()).await)
    }

    async fn write(&self) {
        let staff = self.test.staff();
        let request = staff.request(Method::PATCH, &self.catalogue.path());
        assert_eq!(send(request.json(&json!({}))).await.status, 200);
    }

    async fn close(mut self) {
        self.voice.fall_silent().await;
        self.test.finish().await;
    }
}

fn version(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["version"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_told_again_until_a_write_passes() {
    let shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    let first = shop.reader.get(&path).await;
    let asked = shop.asked();
    let second = shop.reader.get(&path).await;
    assert_eq!((&first.body, shop.asked()), (&second.body, asked));
    assert!(!first.headers.contains_key("age"));
    assert_eq!(second.headers["age"], "0");
    assert_eq!(second.headers["etag"], first.headers["etag"]);
    assert_eq!(
        second.headers["cache-control"],
        "public, max-age=0, must-revalidate"
    );
    assert_ne!(
        second.headers["x-request-id"],
        first.headers["x-request-id"]
    );
    for answer in [&first, &second] {
        let inner = answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("konbini-"));
        assert!(!inner, "{:?}", answer.headers);
    }

    let known = |tag: &str| {
        shop.reader
            .request(Method::GET, &path)
            .header("if-none-match", tag)
    };
    let same = send(known("\"0\", W/\"1\"")).await;
    assert_eq!(
        (same.status, same.headers["etag"].to_str().unwrap()),
        (304, "\"1\"")
    );
    assert!(!same.headers.contains_key("content-length"));
    assert_eq!(send(known("\"0\"")).await.status, 200);
    let head = send(shop.reader.request(Method::HEAD, &path)).await;
    assert_eq!(
        (head.status, &head.headers["content-length"]),
        (200, &"13".parse().unwrap())
    );
    assert_eq!(shop.asked(), asked, "all of that is answered from here");

    // One list, however its parameters are ordered.
    shop.reader.get("/v1/products?sort=title&brand=Aki").await;
    let asked = shop.asked();
    shop.reader.get("/v1/products?brand=Aki&sort=title").await;
    assert_eq!(shop.asked(), asked);
    shop.reader.get("/v1/products?brand=Aki&sort=price").await;
    assert_eq!(shop.asked(), asked + 1);

    // What was refused changed nothing; what was not, both the product and its lists.
    let refused = shop
        .test
        .staff()
        .request(Method::PATCH, &path)
        .header("if-match", "\"0\"");
    assert_eq!(send(refused.json(&json!({}))).await.status, 412);
    let asked = shop.asked();
    assert_eq!((shop.version().await, shop.asked()), (1, asked));
    shop.write().await;
    assert_eq!(shop.version().await, 2);
    let list = shop.reader.get("/v1/products?brand=Aki&sort=title").await;
    assert_eq!(version(&list), 2);
    // A first reader with an older version is given the new one, and it is kept.
    let asked = shop.asked();
    assert_eq!(send(known("\"2\"")).await.status, 304);
    assert_eq!(shop.asked(), asked);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_what_was_not_meant_for_them() {
    let shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    let staff = shop.test.staff();
    staff.get(&path).await;
    let asked = shop.asked();
    shop.reader.get(&path).await;
    assert_eq!(shop.asked(), asked + 1, "an answer to a token is not kept");
    staff.get(&path).await;
    assert_eq!(shop.asked(), asked + 2, "a token is not answered from here");
    let insists = shop
        .reader
        .request(Method::GET, &path)
        .header("cache-control", "no-cache");
    send(insists).await;
    assert_eq!(shop.asked(), asked + 3);
    let forged = shop
        .reader
        .request(Method::GET, &path)
        .header("konbini-cache-tags", "x");
    send(forged.header("cache-control", "no-store")).await;
    let seen = shop.products.seen().pop().unwrap();
    assert!(!seen.headers.contains_key("konbini-cache-tags"));
    shop.close().await;

    for headers in [
        vec![],
        vec![("konbini-cache-control", "max-age=0")],
        vec![KEEP, ("cache-control", "private")],
        vec![KEEP, ("set-cookie", "a=b")],
        vec![KEEP, ("vary", "*")],
    ] {
        let shop = Shop::open(&headers).await;
        let path = shop.catalogue.path();
        shop.reader.get(&path).await;
        shop.reader.get(&path).await;
        let asked = shop
            .products
            .seen()
            .iter()
            .filter(|seen| seen.target == path)
            .count();
        assert_eq!(asked, 2, "kept with {headers:?}");
        for _ in 0..2 {
            assert_eq!(shop.reader.get("/v1/products/missing").await.status, 404);
        }
        let asked = shop.products.seen();
        let missing = asked
            .iter()
            .filter(|seen| seen.target.ends_with("missing"))
            .count();
        assert_eq!(missing, 2, "an error is not kept");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_for_requests_that_would_have_selected_it() {
    let shop = Shop::open(&[KEEP, ("vary", "Accept-Language")]).await;
    let path = shop.catalogue.path();
    let speak = |language: &str| {
        let request = shop.reader.request(Method::GET, &path);
        send(request.header("accept-language", language))
    };
    for (language, asks) in [("ja", 1), ("ja", 0), ("de", 1), ("de", 0), ("ja", 1)] {
        let asked = shop.asked();
        assert_eq!(speak(language).await.headers["vary"], "Accept-Language");
        assert_eq!(shop.asked() - asked, asks, "{language}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_the_same_ask_once() {
    let shop = Shop::open(&[KEEP]).await;
    let (path, asked) = (shop.catalogue.path(), shop.asked());
    let held = shop.catalogue.leave.available_permits();
    shop.catalogue.leave.forget_permits(held);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (reader, path) = (shop.test.anonymous(), path.clone());
        readers.spawn(async move { version(&reader.get(&path).await) });
    }
    // The first one to ask may well go away.
    let gone = shop.test.anonymous().request(Method::GET, &path).send();
    let _ = tokio::time::timeout(Duration::from_millis(50), gone).await;
    eventually("somebody asks", || async { shop.asked() > asked }).await;
    shop.catalogue.leave.add_permits(50);
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), 1);
    }
    let asked = shop.asked() - asked;
    assert!((1..=2).contains(&asked), "asked {asked} times");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_overtaken_by_a_change_is_neither_kept_nor_waited_for() {
    let shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    let asked = shop.asked();
    let held = shop.catalogue.leave.available_permits();
    shop.catalogue.leave.forget_permits(held);
    let (early, early_path) = (shop.test.anonymous(), path.clone());
    let early = tokio::spawn(async move { version(&early.get(&early_path).await) });
    eventually("the old version is on its way", || async {
        shop.asked() > asked
    })
    .await;
    shop.write().await;
    // Whoever asks from here on gets the new version, first or not.
    let (late, late_path) = (shop.test.anonymous(), path.clone());
    let late = tokio::spawn(async move { version(&late.get(&late_path).await) });
    eventually("it is asked for again", || async {
        shop.asked() == asked + 3
    })
    .await;
    shop.catalogue.leave.add_permits(50);
    assert_eq!((early.await.unwrap(), late.await.unwrap()), (1, 2));
    assert_eq!(shop.version().await, 2);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_heard_of_counts_at_once() {
    let shop = Shop::open(&[KEEP]).await;
    let (id, path) = (shop.catalogue.id, shop.catalogue.path());
    let mut slowest = Duration::ZERO;
    for round in 2..50 {
        shop.is_kept(&path).await;
        let told = Instant::now();
        shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
        shop.voice.tell_of(id).await;
        eventually("the change counts", || async {
            shop.version().await == round
        })
        .await;
        slowest = slowest.max(told.elapsed());
    }
    // `eventually` looks every 10 ms, and this machine may be doing other things.
    println!("a change counts after {slowest:?} at most");
    assert!(slowest < Duration::from_secs(1));

    // An answer that rests on a change waits for it to be heard of.
    let orders = Stub::start(&shop.test, "orders").await;
    let (voice, catalogue) = (shop.voice.log.clone(), shop.catalogue.clone());
    orders.answer_with(move |_| {
        let place = voice.tail().seq;
        let answer =
            response(StatusCode::OK).header("konbini-applied", format!("products={place}"));
        std::future::ready(answer.body(body("{}")).unwrap())
    });
    let buyer = shop.test.customer();
    for _ in 0..50 {
        shop.is_kept(&path).await;
        let now = catalogue.version.fetch_add(1, Ordering::SeqCst) + 1;
        shop.voice.tell_of(id).await;
        let answer = buyer.post("/v1/orders", json!({})).await;
        assert!(!answer.headers.contains_key("konbini-applied"));
        assert_eq!(shop.version().await, now);
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_missed_empties_it() {
    let mut shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    shop.is_kept(&path).await;
    shop.voice.fall_silent().await;
    shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
    shop.voice.tell_of(shop.catalogue.id).await;
    // Spoken again before the second is over, but something was said in between.
    shop.voice.speak(&shop.test).await;
    eventually("the gap is seen", || async { shop.version().await == 2 }).await;

    shop.is_kept(&path).await;
    shop.voice.fall_silent().await;
    let silent = Instant::now();
    shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
    eventually("the silence is heard", || async {
        shop.version().await == 3
    })
    .await;
    println!("silence counts after {:?}", silent.elapsed());
    let asked = shop.asked();
    shop.version().await;
    assert_eq!(shop.asked(), asked + 1, "nothing is kept meanwhile");
    // Nobody's answer waits for a word that will not come.
    shop.write().await;
    shop.voice.speak(&shop.test).await;
    shop.is_kept(&path).await;
    assert_eq!(shop.version().await, 4);
    shop.close().await;
}

/// Readers and writers at once: who asks after a write was answered never sees what
/// was before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_after_a_write_sees_it() {
    let seed: u64 = rand_seed();
    println!("seed {seed}");
    let shop = Arc::new(Shop::open(&[KEEP]).await);
    let catalogue = shop.catalogue.clone();
    let answered = Arc::new(AtomicU64::new(1));
    let deadline = Instant::now() + Duration::from_secs(3);
    // Old versions linger on their way.
    shop.products.answer_with(move |seen| {
        let (catalogue, mut rng) = (catalogue.clone(), rng(seed ^ catalogue.version()));
        async move {
            let answer = catalogue.answer(seen).await;
            let linger = Duration::from_micros(u64::from(rng.next_u32() % 3_000));
            tokio::time::sleep(linger).await;
            answer
        }
    });
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (shop, answered) = (shop.clone(), answered.clone());
        people.spawn(async move {
            let staff = shop.test.staff();
            let mut rng = rng(seed);
            while Instant::now() < deadline {
                let request = staff.request(Method::PATCH, &shop.catalogue.path());
                let before = shop.catalogue.version();
                assert_eq!(send(request.json(&json!({}))).await.status, 200);
                answered.fetch_max(before + 1, Ordering::SeqCst);
                let pause = Duration::from_micros(u64::from(rng.next_u32() % 5_000));
                tokio::time::sleep(pause).await;
            }
            0
        });
    }
    for list in [false, false, false, false, true, true] {
        let (shop, answered) = (shop.clone(), answered.clone());
        people.spawn(async move {
            let reader = shop.test.anonymous();
            let path = if list {
                "/v1/products".to_owned()
            } else {
                shop.catalogue.path()
            };
            let mut reads = 0;
            while Instant::now() < deadline {
                let least = answered.load(Ordering::SeqCst);
                let read = version(&reader.get(&path).await);
                assert!(
                    read >= least,
                    "seed {seed}: {read} after {least} was answered"
                );
                reads += 1;
            }
            reads
        });
    }
    let mut reads = 0;
    while let Some(person) = people.join_next().await {
        reads += person.unwrap();
    }
    let (asked, versions) = (shop.asked(), shop.catalogue.version());
    println!("{reads} reads of {versions} versions by {asked} questions");
    assert!(
        versions > 20 && asked < reads,
        "{reads} reads, {asked} questions"
    );
    Arc::into_inner(shop).unwrap().close().await;
}

fn rng(seed: u64) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed.to_le_bytes().repeat(4))
}

fn rand_seed() -> u64 {
    let name = "KONBINI_SEED";
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no configuration file"
    )]
    let given = std::env::var(name).ok().and_then(|seed| seed.parse().ok());
    // The last bytes of an id are the random ones.
    let random = |id: ProductId| id.uuid().as_bytes()[8..].try_into().unwrap();
    given.unwrap_or_else(|| u64::from_le_bytes(random(Id::new())))
}
