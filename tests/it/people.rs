//! People who use a shop over HTTP.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::TIMEOUT;
use testkit::shop::Shop;

use crate::contract;

pub(crate) const PASSWORD: &str = "a kettle and three lamps";

/// An account's client.
#[derive(Clone)]
pub(crate) struct Person {
    base: String,
    http: Client,
    token: String,
}

/// A status and a JSON body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Person {
    /// Registers and logs in.
    pub(crate) async fn register(shop: &Shop, email: &str) -> Self {
        let person = Self::stranger(shop);
        let account = json!({ "email": email, "password": PASSWORD, "name": "Mori" });
        let made = person.post("/v1/users", account).await;
        assert_eq!(made.status, 201, "{made:?}");
        person.log_in(email).await
    }

    /// An administrator, created at the command line.
    pub(crate) async fn admin(shop: &Shop) -> Self {
        shop.add_user("admin@konbini.example", "admin", PASSWORD)
            .unwrap();
        Self::stranger(shop).log_in("admin@konbini.example").await
    }

    pub(crate) fn stranger(shop: &Shop) -> Self {
        // Connections break when a process is killed, so none is pooled.
        let http = Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            base: format!("http://{}", shop.address()),
            http,
            token: String::new(),
        }
    }

    /// The same person at another address of the shop.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// A client with another token.
    pub(crate) fn with_token(&self, token: String) -> Self {
        Self { token, ..self.clone() }
    }

    pub(crate) async fn log_in(self, email: &str) -> Self {
        self.log_in_with(email, PASSWORD).await
    }

    pub(crate) async fn log_in_with(mut self, email: &str, password: &str) -> Self {
        let login = json!({ "email": email, "password": password });
        let session = self.post("/v1/sessions", login).await;
        assert_eq!(session.status, 201, "{session:?}");
        self.token = session.body["access_token"].as_str().unwrap().to_owned();
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body))
            .await
            .unwrap()
    }

    /// Places an order of one piece without an account.
    pub(crate) async fn order_as_guest(&self, product: &str, email: &str) -> Value {
        let cart = self.post("/v1/carts", pieces(product, 1)).await.body;
        let path = format!("/v1/carts/{}", cart["id"].as_str().unwrap());
        let held = |method, path: &str| {
            let request = self.request(method, path);
            request.header("cart-token", cart["token"].as_str().unwrap())
        };
        let details = json!({ "email": email, "name": "Mika" });
        send(held(Method::PATCH, &path).json(&details))
            .await
            .unwrap();
        let complete = held(Method::POST, &format!("{path}/complete"));
        let placed = send(complete).await.unwrap();
        assert_eq!(placed.status, 201, "{placed:?}");
        placed.body
    }

    /// Places an order with an idempotency key, and retries until the shop has decided.
    pub(crate) async fn order_surely(&self, key: &str, body: &Value) -> Answer {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let request = self
                .request(Method::POST, "/v1/orders")
                .json(body)
                .header("idempotency-key", key);
            match send(request).await {
                Ok(answer) if matches!(answer.status, 201 | 202 | 422) => return answer,
                Ok(answer) if answer.body["type"] == "/problems/out-of-stock" => return answer,
                // Unreachable, starting, not ready, or the first attempt is in progress.
                Ok(answer) if matches!(answer.status, 409 | 502 | 503 | 504) => {}
                Err(_) => {}
                Ok(answer) => panic!("{key}: {answer:?}"),
            }
            assert!(Instant::now() < deadline, "{key} was never decided");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every item of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self
                .get(&format!("{path}{separator}limit=100{cursor}"))
                .await;
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.body["items"].as_array().unwrap().iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Puts products on sale and returns their ids by SKU order.
    pub(crate) async fn sell(&self, products: &[Value]) -> Vec<String> {
        let lines: Vec<_> = products.iter().map(ToString::to_string).collect();
        let request = self
            .request(Method::POST, "/v1/products/import")
            .header("content-type", "application/x-ndjson")
            .body(lines.join("\n"));
        let summary = send(request).await.unwrap();
        assert_eq!(
            (summary.status, summary.body["failed"].as_u64()),
            (200, Some(0)),
            "{summary:?}"
        );
        let mut ids = Vec::new();
        for product in products {
            let path = format!("/v1/products/by-sku/{}", product["sku"].as_str().unwrap());
            ids.push(
                self.get(&path).await.body["id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        ids
    }
}

/// A lamp with `stock` units on hand.
pub(crate) fn lamp(sku: &str, title: &str, stock: u32) -> Value {
    json!({
        "sku": sku,
        "title": title,
        "price": { "amount": 2499, "currency": "EUR" },
        "status": "published",
        "stock": stock,
    })
}

/// An order of one product.
pub(crate) fn pieces(product_id: &str, quantity: u32) -> Value {
    json!({ "items": [{ "product_id": product_id, "quantity": quantity }] })
}

/// Sends a request; its response must be one of the contract.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let (http, request) = request.build_split();
    let request = request?;
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await?;
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await?;
    if status >= 400 {
        let kind = kind.as_ref().expect("an error has a content type");
        assert_eq!(kind, "application/problem+json", "{status} {text}");
    }
    let kind = kind.as_ref().and_then(|kind| kind.to_str().ok());
    contract::check(&method, &path, status, kind, &text);
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, body })
}
