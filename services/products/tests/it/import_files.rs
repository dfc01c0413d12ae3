//! Files as people have them: columns, dialects, encodings, and other shops' exports.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, TestService, send};

use crate::{CATALOGUE, import, lamp, make};

const CSV: &str = "text/csv; charset=utf-8";

async fn upload(staff: &Person, query: &str, kind: &str, file: impl AsRef<[u8]>) -> TestResponse {
    let request = staff
        .request(Method::POST, &format!("/v1/products/import{query}"))
        .header("content-type", kind)
        .body(file.as_ref().to_vec());
    send(request).await
}

/// Imports a CSV and returns its summary.
pub(crate) async fn import_csv(staff: &Person, query: &str, file: impl AsRef<[u8]>) -> Value {
    let answer = upload(staff, query, CSV, file).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

pub(crate) async fn product(staff: &Person, sku: &str) -> Value {
    let mut answer = staff.get(&format!("/v1/products/by-sku/{sku}")).await;
    assert_eq!(answer.status, 200, "{sku}: {}", answer.body);
    answer.body.take()
}

async fn stock_of(staff: &Person, sku: &str) -> i64 {
    let id = product(staff, sku).await["id"].as_str().unwrap().to_owned();
    let stock = staff.get(&format!("/v1/products/{id}/stock")).await.body;
    stock["on_hand"].as_i64().unwrap()
}

pub(crate) fn counts(summary: &Value) -> [u64; 5] {
    ["read", "created", "updated", "unchanged", "failed"]
        .map(|name| summary[name].as_u64().unwrap())
}

/// Each failed line with the pointers of its faults.
pub(crate) fn failures(summary: &Value) -> Vec<(u64, String)> {
    let lines = summary["errors"].as_array().unwrap().iter();
    let failures = lines.map(|failure| {
        let errors = failure["errors"].as_array().unwrap().iter();
        let pointers: Vec<_> = errors
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        (failure["line"].as_u64().unwrap(), pointers.join(" "))
    });
    failures.collect()
}

const FULL: &str = "sku,title,price,currency,description,brand,categories,images,status,stock,attribute.colour,rating.average,rating.count\n\
    PL-1,Walnut organiser,34.00,USD,Five compartments.,Holm,Office > Storage,https://img.example/1.jpg,published,12,brown,4.5,8\n\
    PL-2,Linen notebook,12.50,USD,160 pages.,Holm,Office > Paper,https://img.example/2.jpg,published,40,grey,,\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_changes_what_it_names() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    assert_eq!(counts(&import_csv(&staff, "", FULL).await), [2, 2, 0, 0, 0]);
    let one = product(&staff, "PL-1").await;
    assert_eq!(one["rating"], json!({ "average": 4.5, "count": 8 }));

    // A file with few columns, and every other field as it was.
    type Change = (&'static str, Value);
    let price = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let cases: &[(&str, &str, &[Change])] = &[
        (
            "sku,title,price\nPL-1,Walnut organiser,29.90\n",
            "",
            &[("price", price(2990))],
        ),
        ("sku,price\nPL-1,28.00\n", "", &[("price", price(2800))]),
        (
            "sku,price\nPL-1,27\n",
            "?currency=EUR",
            &[("price", json!({ "amount": 2700, "currency": "EUR" }))],
        ),
        (
            "sku,price,currency\nPL-1,26.00,usd\n",
            "",
            &[("price", price(2600))],
        ),
        ("sku,price\nPL-1,25 USD\n", "", &[("price", price(2500))]),
        (
            "sku,title,price,brand\nPL-1,,,\n",
            "",
            &[("brand", json!(""))],
        ),
        (
            "sku,attribute.colour,attribute.wood\nPL-1,,walnut\n",
            "",
            &[("attributes", json!({ "wood": "walnut" }))],
        ),
        (
            "sku,categories,images\nPL-1,,\n",
            "",
            &[("categories", json!([])), ("images", json!([]))],
        ),
        (
            "sku,status,description\nPL-1,,\n",
            "",
            &[("status", json!("draft")), ("description", json!(""))],
        ),
    ];
    let mut expected = one;
    for (file, query, changes) in cases {
        let summary = import_csv(&staff, query, file).await;
        assert_eq!(counts(&summary), [1, 0, 1, 0, 0], "{file}: {summary}");
        assert_eq!(summary["assumed_currency"], Value::Null, "{file}");
        for (name, value) in *changes {
            expected[*name] = value.clone();
        }
        let mut changed = product(&staff, "PL-1").await;
        changed["updated_at"] = expected["updated_at"].clone();
        assert_eq!(changed, expected, "{file}");
    }
    app.finish().await;
}

/// So it is with JSON: a member that is left out, and one that is `null`.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_json_changes_what_it_names() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    import_csv(&staff, "", FULL).await;
    let lines = "{\"sku\":\"PL-1\",\"title\":null,\"price\":{\"amount\":700},\"rating\":null}\n\
        {\"sku\":\"PL-2\",\"attributes\":{\"colour\":null,\"size\":\"A5\"}}";
    let summary = import(&staff, lines).await.body;
    assert_eq!(counts(&summary), [2, 0, 2, 0, 0], "{summary}");
    let changed = product(&staff, "PL-1").await;
    assert_eq!(
        changed["price"],
        json!({ "amount": 700, "currency": "USD" })
    );
    assert_eq!(
        (&changed["title"], changed.get("rating")),
        (&json!("Walnut organiser"), None)
    );
    let changed = product(&staff, "PL-2").await;
    assert_eq!(
        (&changed["attributes"], &changed["brand"]),
        (&json!({ "size": "A5" }), &json!("Holm"))
    );

    // A new SKU needs what a product needs, and gets the shop's currency.
    let new = import_csv(&staff, "", "sku,title,price\nN-1,,5\nN-2,New,5\n").await;
    assert_eq!(
        (counts(&new), failures(&new)),
        ([2, 1, 0, 0, 1], vec![(2, "/title".into())])
    );
    assert_eq!(new["assumed_currency"], "EUR");
    assert!(
        new.to_string().contains("no product has the SKU `N-1` yet"),
        "{new}"
    );
    // A currency alone makes no price.
    let currencies = import_csv(&staff, "", "sku,currency\nPL-1,JPY\nPL-2,USD\n").await;
    assert_eq!(failures(&currencies), [(2, "/price/currency".to_owned())]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_set_when_it_is_asked_for() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let (staff, orders) = (app.staff(), app.other("orders"));
    import_csv(&staff, "", FULL).await;
    let file = "sku,stock\nPL-1,55\nPL-2,0\n";
    let left = import_csv(&staff, "", file).await;
    assert_eq!(
        (counts(&left), &left["stock_ignored"]),
        ([2, 0, 0, 2, 0], &json!(2))
    );
    assert_eq!(
        (
            stock_of(&staff, "PL-1").await,
            stock_of(&staff, "PL-2").await
        ),
        (12, 40)
    );

    let tried = import_csv(&staff, "?stock=set&dry_run=true", file).await;
    assert_eq!(
        (counts(&tried), &tried["dry_run"]),
        ([2, 0, 2, 0, 0], &json!(true))
    );
    assert_eq!(stock_of(&staff, "PL-1").await, 12);
    let set = import_csv(&staff, "?stock=set", file).await;
    assert_eq!(
        (counts(&set), &set["stock_ignored"]),
        ([2, 0, 2, 0, 0], &json!(0))
    );
    assert_eq!(
        (
            stock_of(&staff, "PL-1").await,
            stock_of(&staff, "PL-2").await
        ),
        (55, 0)
    );
    assert_eq!(
        counts(&import_csv(&staff, "?stock=set", file).await),
        [2, 0, 0, 2, 0]
    );

    // Not below what is reserved, and then the rest of the line is left alone too.
    let id: model::ProductId = product(&staff, "PL-1").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let order_id = model::Id::new();
    let items = vec![model::ItemOrdered { product_id: id, quantity: 3 }];
    let placed = model::Fact::OrderPlaced { order_id, user_id: Some(model::Id::new()), items };
    orders.publish(&order_id.to_string(), placed).await;
    let stock = format!("/v1/products/{id}/stock");
    testkit::eventually("the order's units are reserved", || async {
        staff.get(&stock).await.body["reserved"] == 3
    })
    .await;
    let below = import_csv(&staff, "?stock=set", "sku,title,stock\nPL-1,Renamed,2\n").await;
    assert_eq!(failures(&below), [(2, "/stock".to_owned())]);
    assert_eq!(product(&staff, "PL-1").await["title"], "Walnut organiser");
    let exactly = import_csv(&staff, "?stock=set", "sku,stock\nPL-1,3.000\nPL-2,3.00\n").await;
    assert_eq!(
        failures(&exactly),
        [(2, "/stock".to_owned())],
        "3.000 can be three thousand"
    );
    import_csv(&staff, "?stock=set", "sku,stock\nPL-1,3\n").await;
    assert_eq!(staff.get(&stock).await.body["available"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_bounds_what_is_written_and_a_dry_run_writes_nothing() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    import_csv(&staff, "", FULL).await;
    let file = "sku,title,price,weight\nPL-1,Changed,1\nNEW,New,2\nNEW ,Again,3\nBAD,Bad,free\n";
    for (query, expected, faults) in [
        (
            "mode=upsert",
            [4, 1, 1, 0, 2],
            vec![(4, "/sku"), (5, "/price/amount")],
        ),
        (
            "mode=create",
            [4, 1, 0, 0, 3],
            vec![(2, "/sku"), (4, "/sku"), (5, "/price/amount")],
        ),
        (
            "mode=update",
            [4, 0, 1, 0, 3],
            vec![(3, "/sku"), (4, "/sku"), (5, "/sku")],
        ),
    ] {
        let faults: Vec<_> = faults
            .into_iter()
            .map(|(line, at)| (line, at.to_owned()))
            .collect();
        let tried = import_csv(&staff, &format!("?dry_run=true&{query}"), file).await;
        assert_eq!(
            (counts(&tried), failures(&tried)),
            (expected, faults),
            "{query}"
        );
        assert_eq!(tried["ignored_columns"], json!(["weight"]));
        assert_eq!(staff.get("/v1/products/by-sku/NEW").await.status, 404);
        assert_eq!(product(&staff, "PL-1").await["title"], "Walnut organiser");
        let mut done = import_csv(&staff, &format!("?{query}"), file).await;
        done["dry_run"] = true.into();
        assert_eq!(done, tried);
        // Back to where it was.
        if let Some(id) = staff.get("/v1/products/by-sku/NEW").await.body["id"].as_str() {
            let removed = staff.request(Method::DELETE, &format!("/v1/products/{id}"));
            assert_eq!(send(removed).await.status, 204);
        }
        import_csv(&staff, "", FULL).await;
    }
    for wrong in [
        "mode=replace",
        "stock=add",
        "dry_run=1",
        "encoding=ebcdic",
        "format=xml",
        "currency=EUO",
        "currency=euros",
        "colour=red",
    ] {
        let refused = upload(&staff, &format!("?{wrong}"), CSV, FULL).await;
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.body);
    }
    let empty = upload(&staff, "?mode=&currency=&dry_run=", CSV, FULL).await;
    assert_eq!(empty.status, 200, "{}", empty.body);
    app.finish().await;
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// A file with one product, `T`, and what of it is read.
struct Dialect {
    query: &'static str,
    kind: &'static str,
    file: Vec<u8>,
    title: &'static str,
    amount: i64,
}

#[rustfmt::skip]
fn dialects() -> Vec<Dialect> {
    let (bytes, excel) = ("application/octet-stream", "application/vnd.ms-excel");
    let title = "Küchenmesser 20 cm";
    let case = |query, kind, file, title, amount| Dialect { query, kind, file, title, amount };
    vec![
        case("", CSV, format!("\u{feff}sku;title;price;currency\r\nT;{title};24,90;EUR\r\n").into(), title, 2490),
        case("", "text/tab-separated-values", format!("sku\ttitle\tprice\nT\t{title}\t25.10").into(), title, 2510),
        case("", excel, format!("sep=,\r\nsku,title,price\r\nT,{title},\"1.299,00\"\r\n").into(), title, 129_900),
        case("", CSV, format!("sku,title,price\rT,{title},€12\r").into(), title, 1200),
        case("", CSV, utf16(&format!("sku,title,price\r\nT,{title},5\r\n")), title, 500),
        case("?encoding=windows-1252", CSV, b"sku,title,price\r\nT,Cr\xe8me \x84soft\x94,6\r\n".into(), "Crème „soft”", 600),
        case("?encoding=shift_jis", CSV, b"sku,title,price\r\nT,\x96{\x8av,7\r\n".into(), "本革", 700),
        case("?format=ndjson", CSV, format!("\u{feff}{{\"sku\":\"T\",\"title\":\"{title}\",\"price\":{{\"amount\":800}}}}").into(), title, 800),
        case("", bytes, format!("\n{{\"sku\":\"T\",\"title\":\"{title}\",\"price\":{{\"amount\":900}}}}").into(), title, 900),
        case("", bytes, format!("sku;title;price\nT;{title};\"10,00\"\n;;\n").into(), title, 1000),
        case("", CSV, "SKU,Title,Price,,\nT,Cre\u{300}me\u{a0},.50,,\n,,,,\n".into(), "Crème", 50),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_every_dialect_are_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for Dialect { query, kind, file, title, amount } in dialects() {
        let shown = String::from_utf8_lossy(&file).into_owned();
        let answer = upload(&staff, query, kind, file).await;
        assert_eq!(
            (answer.status, &answer.body["failed"]),
            (200, &json!(0)),
            "{shown}: {}",
            answer.body
        );
        assert_eq!(answer.body["read"], 1, "{shown}");
        let read = product(&staff, "T").await;
        assert_eq!(
            (&read["title"], &read["price"]["amount"]),
            (&json!(title), &json!(amount)),
            "{shown}"
        );
    }
    app.finish().await;
}

/// What cannot be read is refused in words that say where it is and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let refused: [(&[u8], &str, &str); 9] = [
        (b"PK\x03\x04rest", CSV, "spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "application/vnd.ms-excel", ".xls"),
        (b"\x1f\x8b\x08\x00rest", CSV, "gzip"),
        (b"[{\"sku\":\"A\"},\n", "application/x-ndjson", "JSON array"),
        (b"title,price\nA,1\n", CSV, "`sku`"),
        (
            "\u{ef}\u{bb}\u{bf}sku,title\nA,A\n".as_bytes(),
            CSV,
            "another encoding",
        ),
        (b"sku,title,price,Title\nA,1,2,3\n", CSV, "twice"),
        (b"sku,na\xefme\nA,1\n", CSV, "not UTF-8"),
        (b"sku,\"title\nA,1\n", CSV, "never closed"),
    ];
    for (file, kind, word) in refused {
        let answer = upload(&staff, "", kind, file).await;
        assert_eq!(answer.status, 400, "{word}: {}", answer.body);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(word),
            "{word}: {}",
            answer.body
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_read_are_named() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let csv = "sku,title,price,attribute.x\r\n\
        A,27\" monitor,199,\r\n\
        B,\"curved\r\nscreen\",1,\r\n\
        C,\"27\"\" monitor, curved\",219,\r\n\
        D,Five cells,1,,more\r\n\
        E,Too dear,1.500,\r\n\
        \u{200b}F,Hidden,1,\r\n\
        ..,Nowhere,1,\r\n\
        G,Picture,1,\r\n\
        A,Again,1,\r\n\
        H,\"never closed,1,\r\n\
        I,Swallowed,1,\r\n";
    let summary = import_csv(&staff, "", csv).await;
    let expected = [
        (3, "/title"),
        (6, ""),
        (7, "/price/amount"),
        (8, "/sku"),
        (9, "/sku"),
        (11, "/sku"),
        (12, ""),
    ];
    assert_eq!(
        failures(&summary),
        expected.map(|(line, at)| (line, at.to_owned())),
        "{summary}"
    );
    assert!(
        summary
            .to_string()
            .contains("a quote that opens in this line"),
        "{summary}"
    );
    assert_eq!(counts(&summary), [10, 3, 0, 0, 7]);

    let cp1252 = import_csv(&staff, "", b"sku,title,price\nOK,Plain,1\nNO,Cr\xe8me,1\n").await;
    assert_eq!(
        (counts(&cp1252), failures(&cp1252)),
        ([2, 1, 0, 0, 1], vec![(3, String::new())])
    );
    assert!(
        cp1252.to_string().contains("encoding=windows-1252"),
        "{cp1252}"
    );
    let lines = [
        json!({ "sku": "J", "title": 5, "price": { "amount": 1.5, "currency": "EUO" } }).to_string(),
        "{\"sku\":\"K\",\"status\":\"hidden\",\"title\":\"x\",\"price\":{\"amount\":1,\"currency\":\"EUR\"}}".into(),
    ];
    let json = import(&staff, lines.join("\n")).await.body;
    let named = [(1, "/title /price/amount /price/currency"), (2, "/status")];
    assert_eq!(
        failures(&json),
        named.map(|(line, at)| (line, at.to_owned()))
    );
    for words in [
        "must be a text, not the number 5",
        "must be a whole number",
        "must be one of `draft`",
    ] {
        assert!(json.to_string().contains(words), "{words}: {json}");
    }
    assert!(!json.to_string().contains("at line"), "{json}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_a_file_is_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let part = |head: &str, text: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n")
    };
    let note = part("name=\"note\"", "spring");
    let file = part(
        "name=\"file\"; filename=\"x.csv\"\r\nContent-Type: text/plain",
        "sku,title,price\nA,A,1\n",
    );
    let form = async |parts: String| {
        let body = format!("{parts}--b--\r\n");
        upload(
            &staff,
            "?currency=USD",
            "multipart/form-data; boundary=b",
            body,
        )
        .await
    };
    let read = form(format!("{note}{file}{note}")).await;
    assert_eq!(
        (read.status, counts(&read.body)),
        (200, [1, 1, 0, 0, 0]),
        "{}",
        read.body
    );
    assert_eq!(product(&staff, "A").await["price"]["currency"], "USD");
    for (parts, word) in [
        (note.clone(), "no file"),
        (format!("{file}{file}"), "more than one"),
    ] {
        let refused = form(parts).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(
            refused.body["detail"].as_str().unwrap().contains(word),
            "{}",
            refused.body
        );
    }
    assert_eq!(
        upload(&staff, "", "application/zip", file).await.status,
        415
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_as_csv_is_what_import_takes() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    assert_eq!(import(&staff, CATALOGUE).await.body["created"], 200);
    let tags = r#"sku,tags
ELE-0001,"3\, 4 or 5, warm"
"#;
    assert_eq!(counts(&import_csv(&staff, "", tags).await)[2], 1);
    let export = async |app: &TestService, query: &str| {
        let request = app
            .staff()
            .request(Method::GET, &format!("/v1/products/export{query}"));
        let answer = request.send().await.unwrap();
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    let (status, kind, csv) = export(&app, "?format=csv").await;
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
    let unchanged = import_csv(&staff, "?stock=set", &csv).await;
    assert_eq!(counts(&unchanged), [200, 0, 0, 200, 0], "{unchanged}");
    assert_eq!(unchanged["ignored_columns"], json!([]));
    let other = TestService::start("products", products::open, &["orders"]).await;
    assert_eq!(
        counts(&import_csv(&other.staff(), "", &csv).await),
        [200, 200, 0, 0, 0]
    );
    assert_eq!(export(&other, "").await, export(&app, "").await);
    assert_eq!(export(&other, "?format=csv").await.2, csv);
    for wrong in ["?format=xml", "?status=draft"] {
        assert_eq!(export(&app, wrong).await.0, 400, "{wrong}");
    }
    app.finish().await;
    other.finish().await;
}

/// What an import reads is read alike by the API.
#[tokio::test(flavor = "multi_thread")]
async fn texts_are_stored_in_one_form() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let mut product = lamp(" DUP-7 ");
    product["title"] = " Cre\u{300}me\u{a0}".into();
    product["brand"] = "Mori\t".into();
    product["description"] = "One\r\nTwo\r".into();
    product["attributes"] = json!({ " colour ": " red ", "empty": "", "none": null });
    product["images"] = json!([" https://a.test/My lamp.jpg"]);
    let path = make(&staff, product).await;
    let shown = staff.get(&path).await.body;
    let expected = json!({
        "sku": "DUP-7", "title": "Crème", "brand": "Mori", "description": "One\nTwo",
        "attributes": { "colour": "red" }, "images": ["https://a.test/My%20lamp.jpg"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(staff.get("/v1/products/by-sku/%20DUP-7").await.status, 200);
    let again = staff.post("/v1/products", lamp("DUP-7 ")).await;
    assert_eq!((again.status, again.problem()), (409, "sku-taken"));
    let changed = import_csv(&staff, "", "sku,title\n\"DUP-7 \",Changed\n").await;
    assert_eq!(counts(&changed), [1, 0, 1, 0, 0]);
    for sku in ["DUP-7\u{200b}", "DUP\u{a0}7", ".", "..", " ", "-"] {
        let refused = staff.post("/v1/products", lamp(sku)).await;
        assert_eq!(
            refused.body["errors"][0]["pointer"], "/sku",
            "{sku:?}: {}",
            refused.body
        );
    }
    app.finish().await;
}
