//! The response cache: which responses are cached, and for which requests.

mod changes;
mod shop;

use reqwest::Method;
use serde_json::json;
use testkit::send;

use self::shop::{KEEP, Shop, version};

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_cached_until_a_write_invalidates_it() {
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
    assert_eq!(
        shop.asked(),
        asked,
        "all of these are served from the cache"
    );

    // The order of parameters does not matter.
    shop.reader.get("/v1/products?sort=title&brand=Aki").await;
    let asked = shop.asked();
    shop.reader.get("/v1/products?brand=Aki&sort=title").await;
    assert_eq!(shop.asked(), asked);
    shop.reader.get("/v1/products?brand=Aki&sort=price").await;
    assert_eq!(shop.asked(), asked + 1);

    // A refused write invalidates nothing; an accepted one the product and its lists.
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
    // A first reader with an older version gets the new one, which is cached.
    let asked = shop.asked();
    assert_eq!(send(known("\"2\"")).await.status, 304);
    assert_eq!(shop.asked(), asked);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_responses_are_never_cached() {
    let shop = Shop::open(&[KEEP]).await;
    let path = shop.catalogue.path();
    let staff = shop.test.staff();
    staff.get(&path).await;
    let asked = shop.asked();
    shop.reader.get(&path).await;
    assert_eq!(
        shop.asked(),
        asked + 1,
        "a response to a token is not cached"
    );
    staff.get(&path).await;
    assert_eq!(
        shop.asked(),
        asked + 2,
        "a request with a token bypasses the cache"
    );
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
        assert_eq!(asked, 2, "cached with {headers:?}");
        for _ in 0..2 {
            assert_eq!(shop.reader.get("/v1/products/missing").await.status, 404);
        }
        let asked = shop.products.seen();
        let missing = asked
            .iter()
            .filter(|seen| seen.target.ends_with("missing"))
            .count();
        assert_eq!(missing, 2, "an error is not cached");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_response_is_served_only_if_the_vary_fields_match() {
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
