//! Refusals. `send` checks that each is a problem document with the request id; these tests
//! check its kind.

use api::JSON_BODY_BYTES_MAX;
use chassis::limits::HEADER_ID_BYTES_MAX;
use reqwest::Method;
use serde_json::json;
use testkit::send;

use super::{send_body, start};

const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_refused() {
    let test = start().await;
    let anyone = test.anonymous();
    for path in [
        "/",
        "/nothing",
        "/things/",
        "/things/7",
        "/things/user_01h455vb4pex5vsknk084sn02q",
        "/things/%FF",
    ] {
        let answer = anyone.get(path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not-found"),
            "{path}"
        );
    }
    let detail = "No route matches GET /nothing; the API is described at /docs";
    assert_eq!(anyone.get("/nothing").await.body["detail"], detail);
    let wrong = send(anyone.request(Method::DELETE, "/label")).await;
    assert_eq!((wrong.status, wrong.problem()), (405, "method-not-allowed"));
    assert_eq!(wrong.headers["allow"], "GET,HEAD,PUT");
    assert_eq!(wrong.headers["x-content-type-options"], "nosniff");

    let id = model::Id::<model::kinds::Product>::new();
    let found = anyone.get(&format!("/things/{id}")).await;
    assert_eq!((found.status, &found.body), (200, &json!({ "id": id })));
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let test = start().await;
    let anyone = test.anonymous();
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = send_body(&anyone, kind, "{}").await;
        assert_eq!(
            (answer.status, answer.problem()),
            (415, "unsupported-media-type"),
            "{kind}"
        );
    }
    for unreadable in [
        "",
        "{",
        "{\"name\":\"a\",\"price\":{\"amount\":1}} x",
        "{\"name\":\"a\",\"price\":{\"amount\":1},\"roles\":[]}",
        "{\"name\":\"a\",\"price\":{\"amount\":1,\"vat\":2}}",
        "{\"name\":\"\u{1}\",\"price\":{\"amount\":1}}",
    ] {
        let answer = send_body(&anyone, JSON, unreadable).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "bad-request"),
            "{unreadable}"
        );
    }
    let not_utf8 = send_body(&anyone, JSON, b"{\"name\":\"\xFF\"}".to_vec()).await;
    assert_eq!(not_utf8.status, 400);
    let deep = send_body(&anyone, JSON, "[".repeat(100_000)).await;
    assert!([400, 422].contains(&deep.status));

    for (invalid, pointer) in [
        ("{\"name\":7}", "/name"),
        (
            "{\"name\":\"a\",\"price\":{\"amount\":1.5}}",
            "/price/amount",
        ),
        (
            "{\"name\":\"a\",\"price\":{\"amount\":\"1\"}}",
            "/price/amount",
        ),
        ("{\"name\":\"a\",\"price\":{}}", "/price"),
        ("[]", ""),
    ] {
        let answer = send_body(&anyone, JSON, invalid).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (422, "invalid"),
            "{invalid}"
        );
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{invalid}");
    }
    let accepted = send_body(&anyone, "Application/JSON; charset=utf-8", thing_of(100)).await;
    assert_eq!(accepted.status, 201);
    test.finish().await;
}

/// A thing whose JSON has so many bytes.
fn thing_of(bytes: usize) -> String {
    let frame = "{\"name\":\"\",\"price\":{\"amount\":1}}".len();
    let name = "n".repeat(bytes - frame);
    format!("{{\"name\":\"{name}\",\"price\":{{\"amount\":1}}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_up_to_the_limit_is_read_and_a_larger_one_refused() {
    let test = start().await;
    let anyone = test.anonymous();
    let largest = send_body(&anyone, JSON, thing_of(JSON_BODY_BYTES_MAX)).await;
    assert_eq!(largest.status, 201);
    let larger = send_body(&anyone, JSON, thing_of(JSON_BODY_BYTES_MAX + 1)).await;
    assert_eq!((larger.status, larger.problem()), (413, "too-large"));
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_is_a_500() {
    let test = start().await;
    let anyone = test.anonymous();
    for _ in 0..3 {
        let answer = anyone.get("/panic").await;
        assert_eq!((answer.status, answer.problem()), (500, "internal"));
        let told = answer.body.to_string();
        assert!(
            !told.contains("thought through"),
            "its cause is told: {told}"
        );
    }
    assert_eq!(anyone.get("/livez").await.status, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_a_request_id() {
    let test = start().await;
    let anyone = test.anonymous();
    let named = |id: Vec<u8>| {
        let id = reqwest::header::HeaderValue::from_bytes(&id).unwrap();
        send(
            anyone
                .request(Method::GET, "/nothing")
                .header("x-request-id", id),
        )
    };
    let longest = "a".repeat(HEADER_ID_BYTES_MAX);
    for sane in ["7", "a/b:c~\"d\"", &longest] {
        let answer = named(sane.into()).await;
        assert_eq!(answer.headers["x-request-id"], sane);
        assert_eq!(answer.body["instance"], sane);
    }
    let mut made = Vec::new();
    for odd in [
        "",
        "a b",
        "a\tb",
        "\u{e9}",
        &"a".repeat(HEADER_ID_BYTES_MAX + 1),
    ] {
        let answer = named(odd.into()).await;
        let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(answer.body["instance"], id);
        assert!(id.len() >= 16 && id != odd, "{id}");
        made.push(id);
    }
    made.push(
        anyone.get("/livez").await.headers["x-request-id"]
            .to_str()
            .unwrap()
            .into(),
    );
    let count = made.len();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), count, "two requests have one name: {made:?}");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_read_bare_or_quoted() {
    let test = start().await;
    let anyone = test.anonymous();
    let keyed = |key: &str| {
        send(
            anyone
                .request(Method::POST, "/key")
                .header("idempotency-key", key),
        )
    };
    assert_eq!(anyone.post("/key", json!({})).await.body, json!(null));
    for (given, key) in [("k-1", "k-1"), ("\"k-1\"", "k-1"), ("\"k", "\"k")] {
        assert_eq!(keyed(given).await.body, key);
    }
    for odd in ["", "\"\"", "a b", &"k".repeat(HEADER_ID_BYTES_MAX + 1)] {
        assert_eq!(keyed(odd).await.status, 400, "{odd}");
    }
    test.finish().await;
}
