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
    assert_eq!(values(&exported), values(CATALOGUE));

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

/// Thousands of lines in chunks that split lines, with a repeated SKU: its last line wins,
/// and the number of reported failures is bounded.
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
        (&json!(500), &json!(1000), &json!(300))
    );
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 100);
    let last = app.anonymous().get("/v1/products/by-sku/S499").await;
    assert_eq!(last.body["price"]["amount"], 2499);
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

const SHOPIFY: &str = "\u{feff}Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Qty,Variant Price,Variant Taxable,Image Src,Variant Image,Status\r
oak-lamp,Oak Lamp,\"<p>Made of \"\"oak\"\".</p>\r
<ul><li>Dimmable</li></ul>\",Mori,Home & Garden > Lighting > Lamps,Lamp,\"warm, wood\",TRUE,Colour,Natural,Size,S,OAK-N,5,19.99,TRUE,https://cdn.example/1.jpg,https://cdn.example/n.jpg,active\r
oak-lamp,,,,,,,,,Black,,L,OAK-B,-2,24.5,TRUE,https://cdn.example/2.jpg,,\r
oak-lamp,,,,,,,,,White,,L,,1,24.50,TRUE,,,\r
oak-lamp,,,,,,,,,,,,,,,,https://cdn.example/3.jpg,,\r
\r
rug,Rug,,,,Rugs,,FALSE,Title,Default Title,,,RUG,,99,TRUE,,,active\r
";

const OWN: &str = "sku,title,price,currency,categories,attribute.watts,stock,status,images\n\
    C1,\"Lamp, tall\",19.9,,Home > Lamps | Sale,9,4,published,https://x.example/a.jpg|/b.jpg\n\
    C2,Yen,1500,JPY,,,,,\n\
    C3,Bad,1.999,,,,many,,\n\
    C4,Too,many,,,,,,,cells\n\
    C5,Last,1,CHF,,,,,";

async fn import_csv(app: &TestService, text: &str, piece: usize, query: &str) -> Value {
    let pieces: Vec<Bytes> = text
        .as_bytes()
        .chunks(piece)
        .map(Bytes::copy_from_slice)
        .collect();
    let body = stream::iter(pieces).map(Ok::<_, std::io::Error>);
    let request = app
        .staff()
        .request(
            reqwest::Method::POST,
            &format!("/v1/products/import{query}"),
        )
        .header("content-type", "text/csv; charset=utf-8")
        .body(reqwest::Body::wrap_stream(body));
    let answer = testkit::send(request).await;
    assert!([200, 400].contains(&answer.status), "{}", answer.body);
    answer.body
}

/// The native columns and Shopify's, in chunks of any size.
#[tokio::test(flavor = "multi_thread")]
async fn csv_files_are_imported() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let first = import_csv(&app, SHOPIFY, 11, "?currency=USD").await;
    let counts = |summary: &Value| {
        ["read", "created", "unchanged", "failed"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [4, 3, 0, 1], "{first}");
    let failure = &first["errors"][0];
    assert_eq!(
        (&failure["line"], &failure["errors"][0]["pointer"]),
        (&json!(5), &json!("/sku"))
    );
    let lamp = staff.get("/v1/products/by-sku/OAK-N").await.body;
    let expected = json!({
        "title": "Oak Lamp – Natural / S", "description": "Made of \"oak\".\nDimmable",
        "brand": "Mori", "categories": ["Home & Garden > Lighting > Lamps"],
        "price": { "amount": 1999, "currency": "USD" }, "status": "published", "available": true,
        "attributes": { "Colour": "Natural", "Size": "S", "tags": "warm, wood" },
        "images": ["https://cdn.example/n.jpg", "https://cdn.example/1.jpg",
            "https://cdn.example/2.jpg", "https://cdn.example/3.jpg"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&lamp[name], value, "{name}");
    }
    let black = staff.get("/v1/products/by-sku/OAK-B").await.body;
    assert_eq!(
        (&black["price"]["amount"], &black["available"]),
        (&json!(2450), &json!(false))
    );
    let rug = staff.get("/v1/products/by-sku/RUG").await.body;
    assert_eq!(
        (&rug["title"], &rug["status"], &rug["categories"]),
        (&json!("Rug"), &json!("draft"), &json!(["Rugs"]))
    );
    assert_eq!(
        counts(&import_csv(&app, SHOPIFY, 1000, "?currency=USD").await),
        [4, 0, 3, 1]
    );

    let own = import_csv(&app, OWN, 7, "").await;
    assert_eq!(counts(&own), [5, 3, 0, 2], "{own}");
    let lines: Vec<_> = own["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["line"])
        .collect();
    assert_eq!(lines, [4, 5]);
    let tall = staff.get("/v1/products/by-sku/C1").await.body;
    assert_eq!(tall["price"], json!({ "amount": 1990, "currency": "EUR" }));
    assert_eq!(tall["categories"], json!(["Home > Lamps", "Sale"]));
    assert_eq!(tall["attributes"], json!({ "watts": "9" }));
    assert_eq!(
        staff.get("/v1/products/by-sku/C5").await.body["price"]["currency"],
        "CHF"
    );

    let long = format!(
        "sku,title,price\nL1,\"{}\",1\nL2,Short,1\n",
        "x".repeat(3 << 20)
    );
    assert_eq!(
        counts(&import_csv(&app, &long, 40_000, "").await),
        [2, 1, 0, 1]
    );
    let typo = import_csv(&app, "sku,titel,price\nT1,A,1\n", 5, "").await;
    assert!(
        typo["detail"].as_str().unwrap().contains("`titel`"),
        "{typo}"
    );
    assert_eq!(staff.get("/v1/products/by-sku/T1").await.status, 404);
    app.finish().await;
}
