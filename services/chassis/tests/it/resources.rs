//! Resources: pagination, entity tags and preconditions.

use reqwest::Method;
use serde_json::json;
use testkit::{Person, TestResponse, send};

use super::shelf::NUMBERS;
use super::start;

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_row_once_and_in_order() {
    let test = start().await;
    let anyone = test.anonymous();
    let squares: Vec<u64> = (0..NUMBERS).map(|number| number * number).collect();
    for limit in [1, 7, 24, 25, 26, 100] {
        let mut seen = Vec::new();
        let mut path = format!("/numbers?limit={limit}");
        loop {
            let page = anyone.get(&path).await.body;
            let items = page["items"].as_array().unwrap();
            assert!((1..=limit).contains(&items.len()), "{path}");
            seen.extend(items.iter().map(|item| item.as_u64().unwrap()));
            let Some(cursor) = page["next_cursor"].as_str() else {
                break;
            };
            path = format!("/numbers?limit={limit}&cursor={cursor}");
        }
        assert_eq!(seen, squares);
    }
    let usual = anyone.get("/numbers").await.body;
    assert_eq!(usual["items"].as_array().unwrap().len(), 20);

    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=1&limit=2",
        "cursor=",
        "cursor=!",
        "cursor=AAAA",
    ] {
        let answer = anyone.get(&format!("/numbers?{query}")).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "bad-request"),
            "{query}"
        );
    }
    test.finish().await;
}

async fn ask(person: &Person, method: Method, header: &str, value: &str) -> TestResponse {
    let request = person
        .request(method.clone(), "/label")
        .header(header, value);
    send(if method == Method::PUT {
        request.json(&json!(value))
    } else {
        request
    })
    .await
}

fn tag(answer: &TestResponse) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_are_sent_and_preconditions_checked() {
    let test = start().await;
    let anyone = test.anonymous();
    let blank = anyone.get("/label").await;
    let first = tag(&blank);
    assert!(
        first.starts_with('"') && first.ends_with('"'),
        "not strong: {first}"
    );
    assert_eq!(tag(&anyone.get("/label").await), first);
    assert_eq!(
        tag(&send(anyone.request(Method::HEAD, "/label")).await),
        first
    );

    for known in [first.as_str(), "*", &format!("\"other\", W/{first}")] {
        let same = ask(&anyone, Method::GET, "if-none-match", known).await;
        assert_eq!((same.status, tag(&same)), (304, first.clone()), "{known}");
    }
    let other = ask(&anyone, Method::GET, "if-none-match", "\"other\"").await;
    assert_eq!((other.status, &other.body), (200, &json!("blank")));

    let changed = ask(&anyone, Method::PUT, "if-match", &first).await;
    assert_eq!(changed.status, 200);
    assert_ne!(tag(&changed), first);
    assert_eq!(tag(&anyone.get("/label").await), tag(&changed));
    let stale = ask(&anyone, Method::PUT, "if-match", &first).await;
    assert_eq!(
        (stale.status, stale.problem()),
        (412, "precondition-failed")
    );
    assert_eq!(tag(&anyone.get("/label").await), tag(&changed));
    assert_eq!(ask(&anyone, Method::PUT, "if-match", "*").await.status, 200);
    assert_eq!(
        ask(&anyone, Method::PUT, "x-none", "unconditional")
            .await
            .status,
        200
    );
    test.finish().await;
}
