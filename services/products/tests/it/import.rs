//! Import and export of catalogues.

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::TestService;

use crate::{CATALOGUE, import, lamp};

async fn export(app: &TestService) -> String {
    let request = app
        .staff()
        .request(reqwest::Method::GET, "/v1/products/export");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_lines_are_imported_and_invalid_ones_reported() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let mut draft = lamp("B");
    draft["status"] = "draft".into();
    let long = format!("{{\"sku\": \"{}\"}}", "x".repeat(2 * 1024 * 1024));
    let lines = [
        lamp("A").to_string(),
        "not json".into(),
        String::new(),
        json!({"sku": "C", "price": {"amount": "1", "currency": "EUR"}}).to_string(),
        draft.to_string() + "\r",
        long,
        json!({"sku": "D", "colour": "red"}).to_string(),
        lamp("E").to_string(),
    ]
    .join("\n");
    let first = import(&staff, lines.clone()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let count = |answer: &Value| {
        ["read", "created", "updated", "unchanged", "failed"].map(|name| answer[name].clone())
    };
    assert_eq!(count(&first.body), [7, 3, 0, 0, 4].map(Value::from));
    let named: Vec<_> = first.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| {
            let pointers: Vec<_> = failure["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|error| error["pointer"].as_str().unwrap())
                .collect();
            (failure["line"].as_u64().unwrap(), pointers.join(" "))
        })
        .collect();
    let expected = [(2, ""), (4, "/title /price/amount"), (6, ""), (7, "")];
    assert_eq!(named, expected.map(|(line, all)| (line, all.to_owned())));

    let again = import(&staff, lines).await;
    assert_eq!(count(&again.body), [7, 0, 0, 3, 4].map(Value::from));
    assert_eq!(app.customer().get("/v1/products/export").await.status, 403);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_can_be_imported() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    assert_eq!(import(&app.staff(), CATALOGUE).await.body["created"], 200);
    let exported = export(&app).await;
    let values = |text: &str| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let mut expected = values(CATALOGUE);
    for product in &mut expected {
        // A file that leaves them out would leave them alone.
        product["stock_policy"] = "tracked".into();
        product["tags"] = Value::Array(Vec::new());
        product["tax_class"] = "standard".into();
        product["requires_shipping"] = true.into();
    }
    assert_eq!(values(&exported), expected);

    let other = TestService::start("products", products::open, &["orders"]).await;
    assert_eq!(
        import(&other.staff(), exported.clone()).await.body["created"],
        200
    );
    assert_eq!(export(&other).await, exported);
    let unchanged = import(&app.staff(), exported).await;
    assert_eq!(unchanged.body["unchanged"], 200);
    app.finish().await;
    other.finish().await;
}

/// Thousands of lines in chunks that split lines, with repeated SKUs: the first line of each
/// counts, and the number of reported failures is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_split_at_line_ends() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let mut text = String::new();
    for round in 0..3 {
        for number in 0..500 {
            let mut product = lamp(&format!("S{number}"));
            product["price"]["amount"] = (round * 1000 + number).into();
            text += &format!("{product}\n");
        }
        text += &"{}\n".repeat(100);
    }
    let pieces: Vec<Bytes> = text
        .as_bytes()
        .chunks(777)
        .map(Bytes::copy_from_slice)
        .collect();
    let body = stream::iter(pieces).map(Ok::<_, std::io::Error>);
    let answer = import(&app.staff(), reqwest::Body::wrap_stream(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        (
            &answer.body["created"],
            &answer.body["updated"],
            &answer.body["failed"]
        ),
        (&json!(500), &json!(0), &json!(1300))
    );
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 100);
    let first = app.anonymous().get("/v1/products/by-sku/S499").await;
    assert_eq!(first.body["price"]["amount"], 499);
    app.finish().await;
}

/// A client that disconnects leaves its complete lines imported, and the service unharmed.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_keeps_its_complete_lines() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let lines: String = (0..200)
        .map(|n| format!("{}\n", lamp(&format!("S{n}"))))
        .collect();
    let (sender, body) = flume::bounded::<Result<Bytes, std::io::Error>>(1);
    sender.send(Ok(Bytes::from(lines))).unwrap();
    let request = app
        .staff()
        .request(reqwest::Method::POST, "/v1/products/import")
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body.into_stream()));
    let request = tokio::spawn(request.send());
    let anyone = app.anonymous();
    testkit::eventually("whole batches are kept as they come", || async {
        anyone.get("/v1/products/by-sku/S127").await.status == 200
    })
    .await;
    request.abort();
    drop(sender);
    let cut = anyone.get("/v1/products/by-sku/S199").await;
    assert_eq!(cut.status, 404);
    app.finish().await;
}
