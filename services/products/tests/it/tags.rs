//! Tags: several words of a product, each searched, filtered by and counted by itself.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestService, eventually};

use crate::import_files::{counts, import_csv, product};
use crate::{lamp, make, with};

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_kept_in_order_and_once() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let path = make(&staff, lamp("A1")).await;
    assert_eq!(staff.get(&path).await.body["tags"], json!([]));
    let many = |count: usize| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>();
    for (given, kept) in [
        (
            json!([" warm ", "Summer, 2026"]),
            json!(["warm", "Summer, 2026"]),
        ),
        (
            json!(["Cafe\u{301}", "CAFÉ", "cafe", "C++", "C#", "ｃ#"]),
            json!(["Café", "C++", "C#"]),
        ),
        (json!(many(50)), json!(many(50))),
        (Value::Null, json!([])),
    ] {
        let patched = with(&staff, Method::PATCH, &path, json!({ "tags": given })).await;
        assert_eq!(patched.status, 200, "{}", patched.body);
        assert_eq!(patched.body["tags"], kept);
        // What a response shows can be sent back.
        let put = with(&staff, Method::PUT, &path, patched.body.clone()).await;
        assert_eq!((put.status, &put.body["tags"]), (200, &kept));
    }
    for (given, pointer) in [
        (json!(["fine", " "]), "/tags/1"),
        (json!(["\u{200b}"]), "/tags/0"),
        (json!(["a\nb"]), "/tags/0"),
        (json!(["t".repeat(101)]), "/tags/0"),
        (json!(many(51)), "/tags"),
        (json!("warm"), "/tags"),
        (json!([7]), "/tags/0"),
    ] {
        let refused = with(&staff, Method::PATCH, &path, json!({ "tags": given })).await;
        assert_eq!(refused.status, 422, "{given}: {}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{given}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_table_are_separated_by_commas() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let many: Vec<String> = (0..52).map(|n| format!("t{n}")).collect();
    let long = "x".repeat(101);
    for (file, tags, ignored) in [
        (
            "sku,title,price,tags\nA1,Lamp,5,\"warm, wood,, Warm\"\n",
            json!(["warm", "wood"]),
            json!([]),
        ),
        ("sku,price\nA1,6\n", json!(["warm", "wood"]), json!([])),
        // A backslash makes a comma part of a tag.
        (
            "sku,tags\nA1,\"3\\, 4 or 5, C:\\\\\"\n",
            json!(["3, 4 or 5", "C:\\"]),
            json!([]),
        ),
        (
            "sku;tags\nA1;red, blue\n",
            json!(["red", "blue"]),
            json!([]),
        ),
        (
            "Handle,Title,Tags,Variant SKU,Variant Price\nlamp,Lamp,\"a, b\",A1,7\n",
            json!(["a", "b"]),
            json!([]),
        ),
        (
            "ID,SKU,Name,Regular price,Tags\n1,A1,Lamp,8,\"c, d\"\n",
            json!(["c", "d"]),
            json!([]),
        ),
        (
            &format!("sku,tags\nA1,\"{long},{}\"\n", many.join(",")),
            json!(many[..50]),
            json!([long, "t50", "t51"]),
        ),
        ("sku,tags\nA1,\n", json!([]), json!([])),
    ] {
        let summary = import_csv(&staff, "", file).await;
        assert_eq!(counts(&summary)[4], 0, "{file}: {summary}");
        assert_eq!(summary["tags_ignored"], ignored, "{file}");
        assert_eq!(product(&staff, "A1").await["tags"], tags, "{file}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_searched_filtered_by_and_counted() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (sku, tags) in [
        ("A1", json!(["rain", "hiking", "sale"])),
        ("A2", json!(["sale"])),
        ("A3", json!(["Black Friday, 2026"])),
        ("A4", json!([])),
    ] {
        let mut product = lamp(sku);
        product["tags"] = tags;
        make(&staff, product).await;
    }
    let search = async |query: &str| {
        let path = format!("/v1/products/search?sort=created_at&{query}");
        let found = app.anonymous().get(&path).await;
        assert_eq!(found.status, 200, "{query}: {}", found.body);
        found.body
    };
    eventually("all are indexed", async || search("").await["total"] == 4).await;
    let value = |value: &str, count: u64| json!({ "value": value, "count": count });
    let all = json!([
        value("sale", 2),
        value("Black Friday, 2026", 1),
        value("hiking", 1),
        value("rain", 1)
    ]);
    for (query, skus, facet) in [
        ("tags=sale", json!(["A1", "A2"]), all.clone()),
        (
            "tags=rain&tags=Black+Friday,+2026",
            json!(["A1", "A3"]),
            all.clone(),
        ),
        ("tags=rai", json!([]), all.clone()),
        ("tags=", json!(["A1", "A2", "A3", "A4"]), all.clone()),
        // A word of a tag.
        (
            "q=hiking",
            json!(["A1"]),
            json!([value("hiking", 1), value("rain", 1), value("sale", 1)]),
        ),
        (
            "q=friday",
            json!(["A3"]),
            json!([value("Black Friday, 2026", 1)]),
        ),
    ] {
        let found = search(&format!("{query}&facets=tags")).await;
        let items = found["items"].as_array().unwrap().iter();
        let found_skus: Vec<_> = items.map(|item| item["sku"].clone()).collect();
        assert_eq!(
            (json!(found_skus), &found["facets"]["tags"]),
            (skus, &facet),
            "{query}"
        );
    }
    app.finish().await;
}
