//! Invalidation: after a change no response from before it is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use model::Id;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reqwest::Method;
use serde_json::json;
use testkit::{eventually, send};

use super::shop::{KEEP, ProductId, Shop, body, response, version};
use crate::stub::Stub;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_misses_share_one_upstream_request() {
    let shop = Shop::open(&[KEEP]).await;
    let (path, asked) = (shop.catalogue.path(), shop.asked());
    let held = shop.catalogue.leave.available_permits();
    shop.catalogue.leave.forget_permits(held);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (reader, path) = (shop.test.anonymous(), path.clone());
        readers.spawn(async move { version(&reader.get(&path).await) });
    }
    // The leader may be cancelled.
    let gone = shop.test.anonymous().request(Method::GET, &path).send();
    let _ = tokio::time::timeout(Duration::from_millis(50), gone).await;
    eventually("somebody asks", || async { shop.asked() > asked }).await;
    shop.catalogue.leave.add_permits(50);
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), 1);
    }
    let asked = shop.asked() - asked;
    assert!((1..=2).contains(&asked), "{asked} upstream requests");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_requested_before_a_change_is_neither_cached_nor_shared() {
    let shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    let asked = shop.asked();
    let held = shop.catalogue.leave.available_permits();
    shop.catalogue.leave.forget_permits(held);
    let (early, early_path) = (shop.test.anonymous(), path.clone());
    let early = tokio::spawn(async move { version(&early.get(&early_path).await) });
    eventually("the old version is in flight", || async {
        shop.asked() > asked
    })
    .await;
    shop.write().await;
    // Every later request gets the new version, the first of them included.
    let (late, late_path) = (shop.test.anonymous(), path.clone());
    let late = tokio::spawn(async move { version(&late.get(&late_path).await) });
    eventually("it is requested again", || async {
        shop.asked() == asked + 3
    })
    .await;
    shop.catalogue.leave.add_permits(50);
    assert_eq!((early.await.unwrap(), late.await.unwrap()), (1, 2));
    assert_eq!(shop.version().await, 2);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_change_invalidates_at_once() {
    let shop = Shop::open(&[KEEP]).await;
    let (id, path) = (shop.catalogue.id, shop.catalogue.path());
    let mut slowest = Duration::ZERO;
    for round in 2..50 {
        shop.is_kept(&path).await;
        let told = Instant::now();
        shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
        shop.voice.tell_of(id).await;
        eventually("the change is visible", || async {
            shop.version().await == round
        })
        .await;
        slowest = slowest.max(told.elapsed());
    }
    // `eventually` polls every 10 ms, and the machine may be busy.
    println!("a change is visible after {slowest:?} at most");
    assert!(slowest < Duration::from_secs(1));

    // A response that depends on an event waits until the gateway has observed it.
    let orders = Stub::start(&shop.test, "orders").await;
    let (voice, catalogue) = (shop.voice.log.clone(), shop.catalogue.clone());
    orders.respond_with(move |_| {
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
async fn a_gap_or_silence_in_the_announcements_clears_the_cache() {
    let mut shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    shop.is_kept(&path).await;
    shop.voice.fall_silent().await;
    shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
    shop.voice.tell_of(shop.catalogue.id).await;
    // Announcements resume before the timeout, but an event in between was lost.
    shop.voice.speak(&shop.test).await;
    eventually("the gap is noticed", || async { shop.version().await == 2 }).await;

    shop.is_kept(&path).await;
    shop.voice.fall_silent().await;
    let silent = Instant::now();
    shop.catalogue.version.fetch_add(1, Ordering::SeqCst);
    eventually("the silence is noticed", || async {
        shop.version().await == 3
    })
    .await;
    println!("silence is noticed after {:?}", silent.elapsed());
    let asked = shop.asked();
    shop.version().await;
    assert_eq!(shop.asked(), asked + 1, "nothing is cached meanwhile");
    // No response waits for an announcement that will not arrive.
    shop.write().await;
    shop.voice.speak(&shop.test).await;
    shop.is_kept(&path).await;
    assert_eq!(shop.version().await, 4);
    shop.close().await;
}

/// Concurrent readers and writers: a read that starts after a write was acknowledged never
/// sees an older version.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_an_acknowledged_write_sees_it() {
    let seed: u64 = rand_seed();
    println!("seed {seed}");
    let shop = Arc::new(Shop::open(&[KEEP]).await);
    let catalogue = shop.catalogue.clone();
    let answered = Arc::new(AtomicU64::new(1));
    let deadline = Instant::now() + Duration::from_secs(3);
    // Responses are delayed, so that old versions arrive late.
    shop.products.respond_with(move |seen| {
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
                    "seed {seed}: read {read} after {least} was acknowledged"
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
    println!("{reads} reads of {versions} versions by {asked} upstream requests");
    assert!(
        versions > 20 && asked < reads,
        "{reads} reads, {asked} upstream requests"
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
