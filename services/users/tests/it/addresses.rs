//! Address books: keep, default, bound and export.

use super::*;

const BOOK: &str = "/v1/users/me/addresses";

fn home() -> Value {
    json!({
        "name": "Ana Lima", "line1": "Rua 1", "postal_code": "4000-001", "city": "Porto",
        "country": "PT",
    })
}

/// The address with these fields set.
fn with(changes: Value) -> Value {
    let mut address = home();
    for (name, value) in changes.as_object().unwrap() {
        address[name] = value.clone();
    }
    address
}

async fn put(person: &Person, path: &str, body: &Value) -> TestResponse {
    send(person.request(Method::PUT, path).json(body)).await
}

/// Adds an entry and returns its path.
async fn add(person: &Person, body: Value) -> String {
    let added = person.post(BOOK, body).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let path = format!("{BOOK}/{}", added.body["id"].as_str().unwrap());
    assert_eq!(added.headers["location"], path);
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_added_read_replaced_and_removed() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    let path = add(
        &ana,
        with(json!({ "country": "pt", "company": "", "line2": null })),
    )
    .await;
    let read = ana.get(&path).await;
    let mut shown = home();
    for name in ["id", "created_at", "updated_at"] {
        shown[name] = read.body[name].clone();
    }
    shown["default_shipping"] = json!(false);
    shown["default_billing"] = json!(false);
    assert_eq!(read.body, shown);

    // What was read can be put back, and is no change.
    let same = put(&ana, &path, &shown).await;
    assert_eq!((same.status, &same.body), (200, &shown));
    assert_eq!(same.headers["etag"], read.headers["etag"]);

    let moved = with(json!({ "line1": "Rua 2" }));
    let stale = ana
        .request(Method::PUT, &path)
        .header("if-match", "\"other\"");
    assert_eq!(send(stale.json(&moved)).await.status, 412);
    let tag = read.headers["etag"].to_str().unwrap();
    let fresh = ana.request(Method::PUT, &path).header("if-match", tag);
    assert_eq!(send(fresh.json(&moved)).await.body["line1"], "Rua 2");
    let known = ana.request(Method::GET, &path).header("if-none-match", tag);
    assert_eq!(send(known).await.status, 200, "it has changed");
    let stale = ana.request(Method::DELETE, &path).header("if-match", tag);
    assert_eq!(send(stale).await.status, 412);

    // It is in nobody else's book.
    assert_eq!(ben.get(BOOK).await.body["items"], json!([]));
    assert_eq!(ben.get(&path).await.status, 404);
    assert_eq!(put(&ben, &path, &home()).await.status, 404);
    assert_eq!(delete(&ben, &path).await.status, 404);
    assert_eq!(app.anonymous().get(BOOK).await.status, 401);

    assert_eq!(delete(&ana, &path).await.status, 204);
    for gone in [
        ana.get(&path).await,
        put(&ana, &path, &home()).await,
        delete(&ana, &path).await,
    ] {
        assert_eq!(gone.status, 404);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_entry_names_every_fault() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let path = add(&ana, home()).await;
    let required = ["/name", "/line1", "/city", "/country"];
    for (body, status, faults) in [
        (json!({}), 422, &required[..]),
        (
            with(json!({ "country": "UK", "default_billing": 1 })),
            422,
            &["/default_billing", "/country"],
        ),
        (
            with(json!({ "id": "addr_01h455vb4pex5vsknk084sn02q" })),
            422,
            &["/id"],
        ),
        (
            with(
                json!({ "line1": "港".repeat(200), "line2": "港".repeat(200), "region": "港".repeat(200), "phone": "港".repeat(200) }),
            ),
            422,
            &[""],
        ),
        (with(json!({ "zip": "4000" })), 400, &[]),
    ] {
        for answer in [
            ana.post(BOOK, body.clone()).await,
            put(&ana, &path, &body).await,
        ] {
            assert_eq!(
                (answer.status, pointers(&answer)),
                (status, faults.to_vec()),
                "{body}"
            );
        }
    }
    assert_eq!(
        ana.get(BOOK).await.body["items"].as_array().unwrap().len(),
        1
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_default_takes_the_place_of_the_former_one() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let mut paths = Vec::new();
    for _ in 0..3 {
        paths.push(add(&ana, home()).await);
    }
    let (shipping, billing) = ("default_shipping", "default_billing");
    // Which entry gets which defaults, and which entries have them afterwards.
    for (entry, given, now) in [
        (0, &[shipping, billing][..], [Some(0), Some(0)]),
        (1, &[shipping], [Some(1), Some(0)]),
        (1, &[shipping], [Some(1), Some(0)]),
        (2, &[billing], [Some(1), Some(2)]),
        (2, &[shipping], [Some(2), None]),
        (2, &[], [None, None]),
    ] {
        let mut body = home();
        for name in given {
            body[*name] = json!(true);
        }
        assert_eq!(put(&ana, &paths[entry], &body).await.status, 200);
        let book = ana.get(BOOK).await.body;
        let items = book["items"].as_array().unwrap();
        let defaults = [shipping, billing].map(|name| {
            let mut having = (0..3).filter(|place| items[*place][name] == true);
            (having.next(), having.next())
        });
        assert_eq!(
            defaults,
            now.map(|place| (place, None)),
            "{entry} {given:?}"
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_bounded_listed_and_exported() {
    let mut app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let mut paths = Vec::new();
    for place in 0..20 {
        paths.push(add(&ana, with(json!({ "line1": format!("Rua {place}") }))).await);
    }
    let full = ana.post(BOOK, home()).await;
    assert_eq!((full.status, full.problem()), (409, "address-book-full"));
    assert_eq!(delete(&ana, &paths[0]).await.status, 204);
    add(&ana, with(json!({ "line1": "Rua 20" }))).await;

    app.restart().await;
    let ana = ana.at(app.address);
    let page = ana.get(&format!("{BOOK}?limit=15")).await.body;
    let next = page["next_cursor"].as_str().unwrap();
    let rest = ana
        .get(&format!("{BOOK}?limit=15&cursor={next}"))
        .await
        .body;
    assert_eq!(rest["next_cursor"], Value::Null);
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    let all = [items(&page), items(&rest)].concat();
    let lines: Vec<_> = all.iter().map(|entry| entry["line1"].clone()).collect();
    let expected: Vec<_> = (1..=20)
        .map(|place| json!(format!("Rua {place}")))
        .collect();
    assert_eq!(lines, expected, "oldest first");
    let export = ana.get("/v1/users/me/export").await.body;
    assert_eq!(export["addresses"], json!(all));

    app.finish().await;
}
