//! Search over HTTP.

use std::collections::BTreeMap;

use ::search::{Document, Index, IndexLoad};
use model::ProductId;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestService, eventually, send};

use crate::{CATALOGUE, import, lamp, make, with};

/// A service with the demo catalogue in its index.
async fn shop() -> TestService {
    let app = TestService::start("products", products::open, &["orders"]).await;
    assert_eq!(import(&app.staff(), CATALOGUE).await.body["created"], 200);
    total(&app, "", 194).await;
    app
}

async fn search(app: &TestService, query: &str) -> Value {
    let path = format!("/v1/products/search?{query}");
    let answer = app.anonymous().get(&path).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

/// Waits until a query finds so many products.
async fn total(app: &TestService, query: &str, expected: usize) {
    let found = async || search(app, query).await["total"] == expected;
    eventually(&format!("`{query}` finds {expected}"), found).await;
}

fn skus(found: &Value) -> Vec<&str> {
    let items = found["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["sku"].as_str().unwrap())
        .collect()
}

fn published() -> impl Iterator<Item = Value> {
    CATALOGUE
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|product: &Value| product["status"] == "published")
}

#[tokio::test(flavor = "multi_thread")]
async fn words_match_stemmed_misspelt_or_as_a_prefix() {
    let app = shop().await;
    for (typed, first) in [
        ("headphones+wireless", "ELE-0001"),
        // Another form of the word.
        ("headphone+cancel+noise", "ELE-0001"),
        // Typos: one, two in a long word, a transposition.
        ("hedphones+wireless", "ELE-0001"),
        ("wireles+haedphonse", "ELE-0001"),
        ("tripdo+lamp", "HOM-0003"),
        // The beginning of the last word.
        ("desk+lam", "HOM-0001"),
        ("tripod+flo", "HOM-0003"),
        // Model numbers and SKUs, however they are written.
        ("SV-900", "ELE-0001"),
        ("sv900", "ELE-0001"),
        ("al-0", "HOM-0001"),
        ("hom-0006", "HOM-0006"),
        // Accents, brands, attributes.
        ("boucle+sofa", "HOM-0006"),
        ("vindelo+sofa", "HOM-0006"),
        ("sofa+Bouclé", "HOM-0006"),
        ("headphones+midnight+black", "ELE-0001"),
    ] {
        let found = search(&app, &format!("q={typed}")).await;
        assert_eq!(skus(&found).first(), Some(&first), "{typed}: {found}");
    }
    let corrected = search(&app, "q=wireles+haedphonse").await;
    assert_eq!(corrected["corrected"], "wireless headphones");
    assert_eq!(search(&app, "q=headphones").await["corrected"], Value::Null);
    let nothing = search(&app, "q=zzyzxqw").await;
    assert_eq!(
        (&nothing["total"], &nothing["items"]),
        (&json!(0), &json!([]))
    );

    let found = search(&app, "q=desk+lamp&limit=1").await;
    let item = &found["items"][0];
    assert!(item["score"].as_f64().unwrap() > 0.0);
    assert_eq!(
        item["highlights"]["title"],
        "Arlen Adjustable <em>Desk</em> <em>Lamp</em> with Touch Dimmer"
    );
    assert!(item["price"]["amount"].is_i64() && found["took_us"].is_u64());
    let stems = search(&app, "q=lamps+").await;
    let exact_first = search(&app, "q=lamp+").await;
    assert_eq!(stems["total"], exact_first["total"]);

    let suggest = async |typed: &str| {
        let path = format!("/v1/products/suggest?q={typed}");
        app.anonymous().get(&path).await.body["items"].clone()
    };
    assert_eq!(
        suggest("wireless+hea").await,
        json!(["wireless headphones"])
    );
    assert_eq!(suggest("haedph").await[0], "headphones");
    assert_eq!(suggest("").await, json!([]));
    app.finish().await;
}

/// Ranking of products before their accessories, compound words, the owner's synonyms, and
/// corrections of queries without a match.
#[tokio::test(flavor = "multi_thread")]
async fn rankings_and_synonyms_follow_the_meaning_of_words() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (sku, title, category) in [
        ("LOCK", "Keyed Laptop Lock", "Computers > Accessories"),
        ("BAG", "Padded Laptop Bag", "Computers > Laptop Bags"),
        (
            "LAP",
            "Probook 14 Laptop with a lock slot",
            "Computers > Laptops",
        ),
        ("WATCH", "Runner Smartwatch", "Watches"),
        ("MX", "Laser Mouse MX500", "Computers > Mice"),
        ("PAD", "Gel Mouse Pad", "Computers > Accessories"),
        ("MODE", "Lamp with night mode", "Lamps"),
        ("TV", "Telly 50", "Televisions"),
    ] {
        let mut product = lamp(sku);
        product["title"] = json!(title);
        product["categories"] = json!([category]);
        product["description"] = json!("");
        make(&staff, product).await;
    }
    total(&app, "", 8).await;
    let first = async |typed: &str| {
        let found = search(&app, &format!("q={typed}")).await;
        let sku = skus(&found).first().map(|sku| (*sku).to_owned());
        (sku.unwrap_or_default(), found["corrected"].clone())
    };
    for (typed, sku, corrected) in [
        ("laptop", "LAP", Value::Null),
        ("laptop+bag", "BAG", Value::Null),
        ("laptop+lock", "LOCK", Value::Null),
        ("smart+watch", "WATCH", Value::Null),
        ("mx+500", "MX", Value::Null),
        ("mx500", "MX", Value::Null),
        ("lasermouse", "MX", json!("laser mouse")),
        // The other words decide between corrections.
        ("gel+mose", "PAD", json!("gel mouse")),
        ("night+mose", "MODE", json!("night mode")),
        // Not all words are found, and grammar need not be.
        ("laptop+bag+crocodile", "BAG", Value::Null),
        ("bag+of+the+laptop", "BAG", Value::Null),
    ] {
        assert_eq!(first(typed).await, (sku.into(), corrected), "{typed}");
    }
    assert_eq!(search(&app, "q=zzyzxqwk").await["total"], 0);

    let synonyms = app
        .folder
        .data_dir("products")
        .unwrap()
        .with_file_name("synonyms.txt");
    std::fs::write(&synonyms, "flatscreen, idiot box, telly\nalone\n").unwrap();
    let found = async || first("idiot+box").await.0 == "TV" && first("flatscreen").await.0 == "TV";
    eventually("synonyms are read while the service runs", found).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_and_facets_count() {
    let app = shop().await;
    let audio = "category=Electronics%3E%20Audio";
    let in_audio = |product: &Value| {
        let paths = product["categories"].as_array().unwrap();
        paths
            .iter()
            .any(|path| path.as_str().unwrap().starts_with("Electronics > Audio"))
    };
    let expected = published().filter(in_audio).count();
    let found = search(&app, &format!("{audio}&facets=brand,category,price")).await;
    assert_eq!(found["total"], expected);
    let sum = |facet: &str| -> u64 {
        let values = found["facets"][facet].as_array().unwrap();
        values
            .iter()
            .map(|value| value["count"].as_u64().unwrap())
            .sum()
    };
    assert_eq!(sum("price"), expected as u64);
    assert_eq!(sum("brand"), expected as u64);

    // A facet's own filter does not hide its other values; others do.
    let one = search(
        &app,
        &format!("{audio}&brand=Sonavik&facets=brand,category"),
    )
    .await;
    assert_eq!(one["facets"]["brand"], found["facets"]["brand"]);
    assert_eq!(one["facets"]["category"][0]["value"], "Electronics");
    let brands = found["facets"]["category"].as_array().unwrap();
    let all_electronics = brands
        .iter()
        .find(|value| value["value"] == "Electronics")
        .unwrap();
    assert!(all_electronics["count"].as_u64().unwrap() > expected as u64);

    let black = search(
        &app,
        "attr.colour=matt+black&facets=attr.colour,attr.material",
    )
    .await;
    let expected = published().filter(|product| product["attributes"]["colour"] == "matt black");
    assert_eq!(black["total"], expected.count());
    assert!(black["facets"]["attr.colour"].as_array().unwrap().len() > 1);
    assert!(
        !black["facets"]["attr.material"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    // A cut facet says that there is more; facets repeat, and one may have a comma in its name.
    let mut zebra = lamp("zebra");
    zebra["attributes"] = json!({ "size, unrolled": "2 m" });
    make(&app.staff(), zebra).await;
    total(&app, "q=zebra", 1).await;
    let cut = "facet_limit=2&facets=brand,category&facets=attr.size,+unrolled";
    let cut = search(&app, cut).await;
    for name in ["brand", "category"] {
        let values = cut["facets"][name].as_array().unwrap();
        assert_eq!(values.len(), 2, "{name}");
        assert_eq!(
            (&values[0]["more"], &values[1]["more"]),
            (&Value::Null, &json!(true))
        );
    }
    assert_eq!(
        cut["facets"]["attr.size, unrolled"],
        json!([{ "value": "2 m", "count": 1 }])
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_sorted_paged_and_bounded() {
    let app = shop().await;
    let cheap = search(&app, "price_min=1000&price_max=2000&sort=-price&limit=100").await;
    let prices: Vec<_> = cheap["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["price"]["amount"].as_i64().unwrap())
        .collect();
    assert!(prices.len() > 5 && prices.is_sorted_by(|a, b| a >= b));
    assert!(prices.iter().all(|price| (1000..=2000).contains(price)));
    let sold_out = published().filter(|product| product["stock"] == 0).count();
    assert_eq!(
        search(&app, "available=true").await["total"],
        194 - sold_out
    );
    assert_eq!(search(&app, "available=false").await["total"], sold_out);

    let first = search(&app, "sort=created_at&limit=100").await;
    let second = search(&app, "sort=created_at&limit=100&offset=100").await;
    let oldest: Vec<_> = published().collect();
    assert_eq!(skus(&first)[0], oldest[0]["sku"]);
    assert_eq!(skus(&second).len(), 94);
    for bad in [
        "limit=101",
        "limit=0",
        "offset=9999",
        "offset=-1",
        "sort=name",
        "colour=red",
        "facets=colour",
        "facet_limit=0",
        "facet_limit=1001",
        "price_min=1.5",
        "available=maybe",
    ] {
        let path = format!("/v1/products/search?{bad}");
        let refused = app.anonymous().get(&path).await;
        assert_eq!(refused.status, 400, "{bad}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_every_change() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let path = make(&staff, lamp("zebra")).await;
    total(&app, "q=zebra", 1).await;
    total(&app, "available=true", 0).await;
    let delivery = json!({"delta": 1, "reason": "delivery"});
    staff.post(&format!("{path}/stock"), delivery).await;
    total(&app, "available=true", 1).await;
    let placed = model::Fact::OrderPlaced {
        order_id: model::Id::new(),
        user_id: Some(model::Id::new()),
        items: vec![model::ItemOrdered {
            product_id: path.rsplit('/').next().unwrap().parse().unwrap(),
            quantity: 1,
        }],
    };
    app.other("orders").publish("order", placed).await;
    total(&app, "available=true", 0).await;
    with(
        &staff,
        Method::PATCH,
        &path,
        json!({"title": "Quagga lamp"}),
    )
    .await;
    total(&app, "q=quagga", 1).await;
    with(&staff, Method::PATCH, &path, json!({"status": "archived"})).await;
    total(&app, "", 0).await;
    with(&staff, Method::PATCH, &path, json!({"status": "published"})).await;
    total(&app, "", 1).await;
    send(staff.request(Method::DELETE, &path)).await;
    total(&app, "", 0).await;
    app.finish().await;
}

/// The index is disposable: a missing or damaged one is rebuilt, and one that lags catches
/// up. A service that is ready finds everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_index_is_rebuilt() {
    let mut app = shop().await;
    let index = app.folder.data_dir("products").unwrap().join("index");
    // Right before the stop, so that the index most likely lacks them. So many are taken for an
    // import, whose commits are postponed.
    let zebras = (0..400).map(|n| lamp(&format!("zebra-{n}")).to_string());
    let zebras = zebras.collect::<Vec<_>>().join("\n");
    assert_eq!(import(&app.staff(), zebras).await.body["created"], 400);
    app.restart().await;
    assert_eq!(search(&app, "q=zebra").await["total"], 400);
    assert_eq!(search(&app, "").await["total"], 594);

    let damages: [fn(&std::path::Path); 3] = [
        |index| std::fs::remove_dir_all(index).unwrap(),
        |index| std::fs::write(index.join("meta.json"), "{}").unwrap(),
        |index| {
            for file in std::fs::read_dir(index).unwrap() {
                let file = file.unwrap().path();
                if file
                    .extension()
                    .is_some_and(|kind| kind == "idx" || kind == "term")
                {
                    std::fs::write(file, "damaged").unwrap();
                }
            }
        },
    ];
    for damage in damages {
        // Only a stopped service releases the files.
        app.restart_after(|| damage(&index)).await;
        assert_eq!(
            search(&app, "q=desk+lamp&limit=1").await["items"][0]["sku"],
            "HOM-0001"
        );
        assert_eq!(search(&app, "").await["total"], 594);
    }
    app.restart_after(|| split(&index)).await;
    eventually("the index is one segment", async || segments(&index) == 1).await;
    app.finish().await;
}

/// The number of segments of the index.
fn segments(index: &std::path::Path) -> usize {
    let meta = std::fs::read(index.join("meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    meta["segments"].as_array().unwrap().len()
}

/// Leaves the index as a stop right after an import does: in several segments.
fn split(dir: &std::path::Path) {
    let (index, mark) = Index::open::<Value>(dir).unwrap();
    let mut writer = index.writer().unwrap();
    writer.set_load(IndexLoad::Bulk);
    for _ in 0..3 {
        let attributes = &BTreeMap::new();
        let product = Document {
            id: ProductId::new(),
            sku: "split",
            title: "split",
            description: "",
            brand: "",
            categories: &[],
            tags: &[],
            attributes,
            price: 100,
            available: true,
            created: 0,
            rating: None,
        };
        writer.add(&product).unwrap();
        writer.commit(&mark).unwrap();
    }
    writer.close().unwrap();
    assert!(segments(dir) > 1);
}

/// Files as a commit leaves them that was cut off: the next commit would write them again, and
/// tantivy refuses.
fn leave_unfinished_commit(index: &std::path::Path) {
    for file in std::fs::read_dir(index).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|kind| kind != "idx") {
            continue;
        }
        for number in 0..2_000 {
            let deletions = file.with_extension(format!("{number}.del"));
            let _ = std::fs::File::create_new(deletions);
        }
    }
}

/// They are deleted when the index is opened; if they come to be while it is open, the second
/// failure makes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_commit_does_not_stop_the_index() {
    let mut app = shop().await;
    let index = app.folder.data_dir("products").unwrap().join("index");
    let change = async |app: &TestService, title: &str| {
        let lamp = search(app, "q=desk+lamp&limit=1").await["items"][0].clone();
        let path = format!("/v1/products/{}", lamp["id"].as_str().unwrap());
        let change = json!({ "title": title });
        let changed = with(&app.staff(), Method::PATCH, &path, change).await;
        assert_eq!(changed.status, 200, "{changed:?}");
    };
    app.restart_after(|| leave_unfinished_commit(&index)).await;
    change(&app, "Desk lamp, okapi").await;
    total(&app, "q=okapi", 1).await;

    leave_unfinished_commit(&index);
    change(&app, "Desk lamp, quagga").await;
    total(&app, "q=quagga", 1).await;
    total(&app, "q=okapi", 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_rated_come_first() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (sku, rating) in [
        ("unrated-old", Value::Null),
        ("good", json!({"average": 4.37, "count": 9})),
        ("good-to-more", json!({"average": 4.37, "count": 10})),
        ("best", json!({"average": 5, "count": 1})),
        ("unrated-new", Value::Null),
    ] {
        let mut product = lamp(sku);
        product["rating"] = rating;
        make(&staff, product).await;
    }
    total(&app, "", 5).await;
    let best_first = search(&app, "sort=rating").await;
    assert_eq!(
        skus(&best_first),
        ["best", "good-to-more", "good", "unrated-new", "unrated-old"]
    );
    let [best, .., unrated] = best_first["items"].as_array().unwrap().as_slice() else {
        panic!("{best_first}");
    };
    assert_eq!(best["rating"], json!({"average": 5.0, "count": 1}));
    assert_eq!(unrated.get("rating"), None);

    // An imported value is exported again, and a patch changes it.
    let request = staff.request(Method::GET, "/v1/products/export");
    let exported = request.send().await.unwrap().bytes().await.unwrap();
    let again = import(&staff, exported).await.body;
    assert_eq!(
        (&again["unchanged"], &again["failed"]),
        (&json!(5), &json!(0))
    );
    let path = format!("/v1/products/{}", unrated["id"].as_str().unwrap());
    let patch = json!({"rating": {"average": 4.999, "count": 3}});
    let patched = with(&staff, Method::PATCH, &path, patch).await;
    assert_eq!(patched.body["rating"], json!({"average": 5.0, "count": 3}));
    let first = async || skus(&search(&app, "sort=rating").await)[0] == "unrated-old";
    eventually("a rating moves its product", first).await;
    app.finish().await;
}
