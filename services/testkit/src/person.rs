//! People: HTTP clients of one service, with the tokens of their roles.
//!
//! **Invariant:** [`send`] accepts an error only as a well-formed problem document, so
//! every test that provokes an error checks its format, too.

use std::net::SocketAddr;

use model::{Id, kinds};
use reqwest::Method;
use serde_json::Value;

/// An HTTP client with or without an access token.
#[derive(Clone)]
pub struct Person {
    address: SocketAddr,
    http: reqwest::Client,
    token: Option<String>,
    user_id: Option<Id<kinds::User>>,
}

impl Person {
    /// A client of any address.
    pub fn new(
        address: SocketAddr,
        token: Option<String>,
        user_id: Option<Id<kinds::User>>,
    ) -> Self {
        Self { address, http: reqwest::Client::new(), token, user_id }
    }

    /// The same person at another address, of a service that was started again.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// The account that the token was issued for.
    ///
    /// # Panics
    /// For an anonymous person.
    pub fn user_id(&self) -> Id<kinds::User> {
        self.user_id.expect("this person has a token")
    }

    /// A request under this person's token, to be completed and sent with [`send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> TestResponse {
        send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        send(self.request(Method::POST, path).json(&body)).await
    }
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub struct TestResponse {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The JSON body; `Null` when there is none.
    pub body: Value,
}

impl TestResponse {
    /// The code of a problem document, `out-of-stock`.
    pub fn problem(&self) -> &str {
        self.body["type"]
            .as_str()
            .unwrap_or("")
            .trim_start_matches("/problems/")
    }
}

/// Sends a request and reads its response.
///
/// # Panics
/// When the service does not respond, or an error is no problem document.
pub async fn send(request: reqwest::RequestBuilder) -> TestResponse {
    let response = request.send().await.expect("the service responds");
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.expect("the response ends");
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status >= 400 {
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{status} {text}"
        );
        assert_eq!(body["status"], status, "{text}");
        assert!(body["instance"].is_string(), "{text}");
    }
    TestResponse { status, headers, body }
}
