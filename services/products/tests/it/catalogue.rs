//! The life of a product over HTTP.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestService, eventually, send};

use crate::{CATALOGUE, import, lamp, make, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_read_changed_and_deleted() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let (staff, anyone) = (app.staff(), app.anonymous());
    let mut draft = lamp("A1");
    draft["status"] = "draft".into();
    draft["stock"] = 3.into();
    let made = staff.post("/v1/products", draft).await;
    assert_eq!(made.status, 201);
    let path = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(
        path,
        format!("/v1/products/{}", made.body["id"].as_str().unwrap())
    );
    assert_eq!(
        (&made.body["available"], &made.body["description"]),
        (&json!(true), &json!(""))
    );

    // A draft is not public.
    assert_eq!(anyone.get(&path).await.status, 404);
    assert_eq!(anyone.get("/v1/products/by-sku/A1").await.status, 404);
    let shown = staff.get("/v1/products/by-sku/A1").await;
    assert_eq!(shown.headers["etag"], made.headers["etag"]);
    assert_eq!(shown.headers["cache-control"], "private, no-store");

    let patch = staff
        .request(Method::PATCH, &path)
        .header("content-type", "application/merge-patch+json")
        .body(json!({"status": "published", "attributes": {"colour": "black"}}).to_string());
    let patched = send(patch).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(patched.body["attributes"], json!({"colour": "black"}));

    let tag = patched.headers["etag"].clone();
    let unchanged = anyone
        .request(Method::GET, &path)
        .header("if-none-match", &tag);
    assert_eq!(send(unchanged).await.status, 304);
    let head = send(anyone.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, &head.headers["etag"]), (200, &tag));

    let put = |tag: &reqwest::header::HeaderValue| {
        staff
            .request(Method::PUT, &path)
            .header("if-match", tag)
            .json(&lamp("A2"))
    };
    assert_eq!(send(put(&made.headers["etag"])).await.status, 412);
    let replaced = send(put(&tag)).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.body["attributes"], json!({}));
    assert_eq!(anyone.get("/v1/products/by-sku/A1").await.status, 404);
    assert_eq!(anyone.get("/v1/products/by-sku/A2").await.status, 200);

    let stale = staff
        .request(Method::DELETE, &path)
        .header("if-match", &tag);
    assert_eq!(send(stale).await.status, 412);
    assert_eq!(send(staff.request(Method::DELETE, &path)).await.status, 204);
    assert_eq!(staff.get(&path).await.status, 404);
    assert_eq!(send(staff.request(Method::DELETE, &path)).await.status, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_refused_with_their_faults() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let (staff, customer, anyone) = (app.staff(), app.customer(), app.anonymous());
    let path = make(&staff, lamp("A1")).await;
    assert_eq!(anyone.post("/v1/products", lamp("B")).await.status, 401);
    assert_eq!(customer.post("/v1/products", lamp("B")).await.status, 403);
    assert_eq!(anyone.get("/v1/products?status=draft").await.status, 401);
    assert_eq!(customer.get("/v1/products?status=draft").await.status, 403);
    for bad in [
        "sort=name",
        "limit=0",
        "limit=101",
        "cursor=!",
        "colour=red",
    ] {
        let answer = anyone.get(&format!("/v1/products?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    assert_eq!(anyone.get("/v1/products/prod_x").await.status, 404);

    let taken = staff.post("/v1/products", lamp("A1")).await;
    assert_eq!((taken.status, taken.problem()), (409, "sku-taken"));
    let wrong = staff
        .post(
            "/v1/products",
            json!({"title": 5, "price": {"amount": -1, "currency": "EUR"}}),
        )
        .await;
    assert_eq!(wrong.status, 422);
    let pointers: Vec<_> = wrong.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/sku", "/title", "/price/amount"]);
    let mut unknown = lamp("B");
    unknown["ids"] = "prod_01h455vb4pex5vsknk084sn02q".into();
    assert_eq!(staff.post("/v1/products", unknown).await.status, 400);
    let mut named = lamp("B");
    named["id"] = "prod_01h455vb4pex5vsknk084sn02q".into();
    let named = staff.post("/v1/products", named).await;
    assert_eq!(named.body["errors"][0]["pointer"], "/id");
    let mut stocked = lamp("A1");
    stocked["stock"] = 1.into();
    let put = with(&staff, Method::PUT, &path, stocked).await;
    assert_eq!(put.body["errors"][0]["pointer"], "/stock");
    let form = staff
        .request(Method::POST, "/v1/products")
        .header("content-type", "text/plain")
        .body("x");
    assert_eq!(send(form).await.status, 415);
    app.finish().await;
}

/// Of concurrent requests with one SKU a single one creates a product.
#[tokio::test(flavor = "multi_thread")]
async fn a_sku_names_one_product_under_concurrency() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let answers = join_all((0..32).map(|_| staff.post("/v1/products", lamp("A1")))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let taken = answers
        .iter()
        .filter(|answer| answer.problem() == "sku-taken")
        .count();
    assert_eq!((made, taken), (1, 31));
    app.finish().await;
}

/// Every page of a list, joined.
async fn all(app: &TestService, filter: &str) -> Vec<Value> {
    let (anyone, mut items, mut cursor) = (app.anonymous(), Vec::new(), String::new());
    loop {
        let page = anyone
            .get(&format!("/v1/products?limit=7&{filter}{cursor}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        items.extend(page.body["items"].as_array().unwrap().iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// The published products of the demo catalogue, oldest first.
fn published() -> Vec<Value> {
    CATALOGUE
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|product: &Value| product["status"] == "published")
        .collect()
}

fn is_below(product: &Value, path: &str) -> bool {
    product["categories"].as_array().unwrap().iter().any(|own| {
        let own = own.as_str().unwrap();
        own == path || own.starts_with(&format!("{path} > "))
    })
}

fn skus<'a>(items: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    items
        .into_iter()
        .map(|item| item["sku"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_sorted() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    assert_eq!(import(&app.staff(), CATALOGUE).await.body["created"], 200);
    let catalogue = published();
    assert_eq!(skus(&all(&app, "").await), skus(catalogue.iter().rev()));
    assert_eq!(skus(&all(&app, "sort=created_at").await), skus(&catalogue));
    let home = all(&app, "category=Home&sort=price").await;
    let mut expected: Vec<&Value> = catalogue
        .iter()
        .filter(|product| is_below(product, "Home"))
        .collect();
    expected.sort_by_key(|product| product["price"]["amount"].as_i64());
    assert_eq!(skus(&home), skus(expected));
    let dearest = all(&app, "brand=Lumorra&category=Home%3ELighting+&sort=-price").await;
    let prices: Vec<_> = dearest
        .iter()
        .map(|item| item["price"]["amount"].as_i64().unwrap())
        .collect();
    assert!(prices.len() > 1 && prices.is_sorted_by(|a, b| a >= b));
    assert!(dearest.iter().all(|item| item["brand"] == "Lumorra"));
    app.finish().await;
}

/// Accents and case after letters, digits by their number, equal titles by age; a page ends
/// anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn titles_are_in_the_order_of_names() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let titles = [
        "Apfel",
        "Äpfel",
        "Apfelsaft",
        "éclair",
        "Éclair",
        "kabel 1",
        "Kabel 2",
        "Kabel 2",
        "Kabel 10",
        "Zange",
        "чайник",
    ];
    for (number, title) in titles.iter().enumerate().rev() {
        let mut product = lamp(&format!("S{number}"));
        product["title"] = (*title).into();
        make(&staff, product).await;
    }
    let sorted = all(&app, "sort=title").await;
    let shown: Vec<_> = sorted.iter().map(|product| &product["title"]).collect();
    assert_eq!(shown, titles);
    assert_eq!(skus(&sorted)[6..8], ["S7", "S6"]);
    eventually("a search has the same order", async || {
        let found = app.anonymous().get("/v1/products/search?sort=title").await;
        skus(found.body["items"].as_array().unwrap()) == skus(&sorted)
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_count_published_products() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    assert_eq!(import(&staff, CATALOGUE).await.body["created"], 200);
    let catalogue = published();
    let tree = app.anonymous().get("/v1/categories").await;
    let mut open = tree.body["items"].as_array().unwrap().clone();
    assert_eq!(open.len(), 10);
    while let Some(node) = open.pop() {
        let path = node["path"].as_str().unwrap();
        let below = catalogue.iter().filter(|item| is_below(item, path));
        assert_eq!(node["count"], below.count(), "{path}");
        open.extend(node["children"].as_array().unwrap().iter().cloned());
    }

    // An unpublished product leaves lists and counts.
    for item in all(&app, "category=Home").await {
        let path = format!("/v1/products/{}", item["id"].as_str().unwrap());
        let archived = with(&staff, Method::PATCH, &path, json!({"status": "archived"})).await;
        assert_eq!(archived.status, 200);
    }
    assert_eq!(all(&app, "category=Home").await.len(), 0);
    let tree = app.anonymous().get("/v1/categories").await;
    let roots = tree.body["items"].as_array().unwrap();
    assert!(roots.iter().all(|node| node["name"] != "Home"));
    let archived = staff
        .get("/v1/products?status=archived&category=Home")
        .await;
    assert!(!archived.body["items"].as_array().unwrap().is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_category_moves_with_all_below_it() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (sku, status, categories) in [
        ("A1", "published", json!(["Home > Lamps > Desk", "Sale"])),
        ("A2", "draft", json!(["Home"])),
        ("A3", "archived", json!(["House > Lamps", "Home > Lamps"])),
        ("A4", "published", json!(["Homeware"])),
    ] {
        let mut product = lamp(sku);
        product["status"] = status.into();
        product["categories"] = categories;
        make(&staff, product).await;
    }
    let rename = async |from: &str, to: &str| {
        let body = json!({ "from": from, "to": to });
        staff.post("/v1/categories/rename", body).await
    };
    let moved = rename(" Home ", "House").await;
    assert_eq!((moved.status, &moved.body["moved"]), (200, &json!(3)));
    for (sku, categories) in [
        ("A1", json!(["House > Lamps > Desk", "Sale"])),
        ("A2", json!(["House"])),
        ("A3", json!(["House > Lamps"])),
        ("A4", json!(["Homeware"])),
    ] {
        let path = format!("/v1/products/by-sku/{sku}");
        assert_eq!(staff.get(&path).await.body["categories"], categories);
    }
    assert_eq!(rename("Home", "House").await.status, 404);
    // A path that one of its products cannot have moves none of them.
    let far = ["A"; 9].join(" > ");
    let refused = rename("House", &far).await;
    let fault = &refused.body["errors"][0];
    assert_eq!((refused.status, &fault["pointer"]), (422, &json!("/to")));
    assert!(fault["detail"].as_str().unwrap().contains("A1"), "{fault}");
    assert_eq!(all(&app, "category=House").await.len(), 1);
    app.finish().await;
}

/// Read-your-writes under concurrency: a read by id or by SKU that starts after a change
/// was acknowledged sees it, and the cache has the stored version.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_sees_it() {
    const WRITES: u64 = 150;
    let app = TestService::start("products", products::open, &["orders"]).await;
    let (staff, path) = (app.staff(), make(&app.staff(), lamp("A1")).await);
    let acknowledged = std::sync::atomic::AtomicU64::new(0);
    let price = |body: &Value| body["price"]["amount"].as_u64().unwrap();
    let first = with(
        &staff,
        Method::PATCH,
        &path,
        json!({"price": {"amount": 0}}),
    )
    .await;
    assert_eq!(first.status, 200);
    let write = async {
        for amount in 1..=WRITES {
            let patch = json!({ "price": { "amount": amount } });
            assert_eq!(with(&staff, Method::PATCH, &path, patch).await.status, 200);
            acknowledged.store(amount, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let readers = join_all((0..6).map(|reader| {
        let (anyone, path, acknowledged) = (app.anonymous(), &path, &acknowledged);
        async move {
            let path = if reader % 2 == 0 {
                path
            } else {
                "/v1/products/by-sku/A1"
            };
            let mut known = 0;
            while known < WRITES {
                known = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                let seen = price(&anyone.get(path).await.body);
                assert!(seen >= known, "saw {seen} after {known} was acknowledged");
            }
        }
    }));
    tokio::join!(write, readers);

    // A change of stock is visible as well, and a product that is no longer published is
    // gone from public reads.
    let anyone = app.anonymous();
    assert_eq!(anyone.get(&path).await.body["available"], false);
    let moved = json!({ "delta": 1, "reason": "found" });
    assert_eq!(
        staff.post(&format!("{path}/stock"), moved).await.status,
        200
    );
    assert_eq!(anyone.get(&path).await.body["available"], true);
    assert_eq!(
        staff.get(&path).await.headers["cache-control"],
        "public, max-age=0, must-revalidate"
    );
    with(&staff, Method::PATCH, &path, json!({"status": "draft"})).await;
    assert_eq!(staff.get(&path).await.status, 200);
    assert_eq!(anyone.get(&path).await.status, 404);
    assert_eq!(anyone.get("/v1/products/by-sku/A1").await.status, 404);
    app.finish().await;
}
