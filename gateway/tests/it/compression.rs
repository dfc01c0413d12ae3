//! Response compression, and conditional requests with it.

use std::io::Read;

use flate2::read::GzDecoder;
use gateway::Config;
use reqwest::{Method, Response};
use testkit::TestService;

use crate::stub::{LARGE_BYTES, Stub};

async fn gateway() -> TestService {
    crate::start(gateway::Config::default()).await
}

async fn ask(test: &TestService, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = test.anonymous().request(Method::GET, path);
    let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    headers.iter().fold(request, with).send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_encoded_in_the_negotiated_coding() {
    let test = gateway().await;
    let _products = Stub::start(&test, "products").await;
    let plain = ask(&test, "/v1/products/large", &[]).await;
    assert_eq!(header(&plain, "content-encoding"), None);
    assert_eq!(header(&plain, "vary"), Some("Accept-Encoding"));
    assert_eq!(header(&plain, "etag"), Some("\"1\""));
    let plain = plain.bytes().await.unwrap();
    assert_eq!(plain.len(), LARGE_BYTES);

    for (said, coding) in [("gzip, br", "gzip"), ("br, gzip;q=0.5", "br")] {
        let answer = ask(&test, "/v1/products/large", &[("accept-encoding", said)]).await;
        assert_eq!(header(&answer, "content-encoding"), Some(coding));
        assert_eq!(header(&answer, "vary"), Some("Accept-Encoding"));
        assert_eq!(header(&answer, "content-length"), None);
        assert_eq!(header(&answer, "etag"), Some(&*format!("\"1+{coding}\"")));
        let encoded = answer.bytes().await.unwrap();
        assert!(encoded.len() < LARGE_BYTES / 4, "{}", encoded.len());
        let mut decoded = Vec::new();
        if coding == "gzip" {
            GzDecoder::new(&encoded[..])
                .read_to_end(&mut decoded)
                .unwrap();
        } else {
            brotli::BrotliDecompress(&mut &encoded[..], &mut decoded).unwrap();
        }
        assert_eq!(decoded, plain, "{coding}");

        let head = test.anonymous().request(Method::HEAD, "/v1/products/large");
        let head = head.header("accept-encoding", said).send().await.unwrap();
        assert_eq!(header(&head, "content-encoding"), Some(coding));
        assert_eq!(header(&head, "etag"), Some(&*format!("\"1+{coding}\"")));
    }
    let gzip = [("accept-encoding", "gzip")];
    for path in ["/v1/products", "/v1/products/secret", "/v1/products/events"] {
        let answer = ask(&test, path, &gzip).await;
        assert_eq!(header(&answer, "content-encoding"), None, "{path}");
        assert_eq!(header(&answer, "vary"), None, "{path}");
    }
    let own = ask(&test, "/openapi.json", &gzip).await;
    assert_eq!(header(&own, "content-encoding"), Some("gzip"));
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_requests_work_with_encoded_tags() {
    let test = gateway().await;
    let products = Stub::start(&test, "products").await;
    let unchanged = |coding: &'static str, tag: &'static str| {
        let test = &test;
        async move {
            let headers = [("accept-encoding", coding), ("if-none-match", tag)];
            let answer = ask(test, "/v1/products/large", &headers).await;
            let tag = header(&answer, "etag").unwrap().to_owned();
            (answer.status().as_u16(), tag)
        }
    };
    let gzip = "\"1+gzip\"".to_owned();
    assert_eq!(
        unchanged("gzip", "\"0\", \"1+gzip\"").await,
        (304, gzip.clone())
    );
    assert_eq!(unchanged("gzip", "\"1\"").await, (304, "\"1\"".to_owned()));
    assert_eq!(unchanged("gzip", "\"2+gzip\"").await, (200, gzip));
    // The client has the bytes of another coding.
    assert_eq!(
        unchanged("identity", "\"1+gzip\"").await,
        (200, "\"1\"".to_owned())
    );

    let change = test.staff().request(Method::PUT, "/v1/products/large");
    let change = change
        .header("if-match", "\"1+br\", \"0+gzip\"")
        .send()
        .await;
    assert_eq!(change.unwrap().status(), 200);
    assert_eq!(
        products.seen().pop().unwrap().headers["if-match"],
        "\"1\", \"0\""
    );
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_can_be_turned_off() {
    let config = Config { compression: false, ..Config::default() };
    let test = crate::start(config).await;
    let _products = Stub::start(&test, "products").await;
    let answer = ask(&test, "/v1/products/large", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&answer, "content-encoding"), None);
    assert_eq!(header(&answer, "vary"), None);
    test.finish().await;
}
