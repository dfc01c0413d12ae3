//! A shop: the orders service, and a test double of products that only publishes events.

use model::{Fact, Id, Listing, Money, PublicationStatus, Shortage, kinds};
use orders::Config;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{OtherService, Person, TestResponse, TestService, eventually, send};

pub(crate) type ProductId = Id<kinds::Product>;

/// The orders service beside a products that publishes the events of a test.
pub(crate) struct Shop {
    pub(crate) orders: TestService,
    pub(crate) products: OtherService,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Config::default()).await
    }

    pub(crate) async fn open_with(config: Config) -> Self {
        let orders = TestService::start_with(config, "orders", orders::open, &["products"]).await;
        let products = orders.other("products");
        Self { orders, products }
    }

    pub(crate) async fn sell(&self, amount: i64, currency: &str) -> ProductId {
        let sku = format!("LAMP-{amount}");
        self.sell_as(amount, currency, &sku, "Desk lamp").await
    }

    pub(crate) async fn sell_as(
        &self,
        amount: i64,
        currency: &str,
        sku: &str,
        title: &str,
    ) -> ProductId {
        let product_id = Id::new();
        let listing = Listing {
            product_id,
            sku: sku.into(),
            title: title.into(),
            price: Money { amount, currency: currency.parse().unwrap() },
            status: PublicationStatus::Published,
            category: Some("Lighting > Lamps".into()),
            other_categories: Vec::new(),
            weight_g: None,
            tax_class: model::TaxClass::default(),
            requires_shipping: true,
        };
        self.products
            .publish(&product_id.to_string(), Fact::ProductCreated(listing))
            .await;
        product_id
    }

    pub(crate) async fn reserve(&self, order_id: &str) {
        let order_id = order_id.parse().unwrap();
        self.products
            .publish("k", Fact::StockReserved { order_id })
            .await;
    }

    /// The path of a confirmed order of one lamp.
    pub(crate) async fn confirmed(&self, buyer: &Person, amount: i64) -> String {
        let lamp = self.sell(amount, "EUR").await;
        let placed = self.order(buyer, items(&[(lamp, 1)]), None, None).await;
        assert_eq!(placed.status, 201, "{:?}", placed.body);
        placed.headers["location"].to_str().unwrap().to_owned()
    }

    /// Places an order and publishes its stock outcome as soon as it is pending: refused
    /// if there are shortages.
    pub(crate) async fn order(
        &self,
        buyer: &Person,
        body: Value,
        key: Option<&str>,
        shortages: impl IntoIterator<Item = Shortage>,
    ) -> TestResponse {
        let mut request = buyer.request(Method::POST, "/v1/orders").json(&body);
        request = request.header("accept-language", "en;q=0.5, de-CH");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let before = newest(buyer).await;
        let placing = tokio::spawn(send(request));
        let pending = || async { newest(buyer).await != before };
        eventually("the order is pending", pending).await;
        let id = newest(buyer).await.unwrap();
        let order_id = id.parse().unwrap();
        let shortages: Vec<_> = shortages.into_iter().collect();
        let fact = if shortages.is_empty() {
            Fact::StockReserved { order_id }
        } else {
            Fact::StockRefused { order_id, shortages }
        };
        self.products.publish("k", fact).await;
        placing.await.unwrap()
    }
}

/// Sends a request with a header, if there is one, and a body, unless it is `null`.
pub(crate) async fn request_with(
    by: &Person,
    method: Method,
    path: &str,
    header: Option<(&'static str, &str)>,
    body: Value,
) -> TestResponse {
    let mut request = by.request(method, path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    send(request).await
}

pub(crate) async fn newest(buyer: &Person) -> Option<String> {
    let list = buyer.get("/v1/orders?limit=1").await;
    list.body["items"][0]["id"].as_str().map(str::to_owned)
}

/// An address in Kobe.
pub(crate) fn kobe() -> Value {
    json!({ "name": "Hana Mori", "line1": "Sannomiya 1-2-3", "city": "Kobe", "country": "JP" })
}

pub(crate) fn items(wanted: &[(ProductId, u32)]) -> Value {
    let items: Vec<_> = wanted
        .iter()
        .map(|(id, quantity)| json!({ "product_id": id, "quantity": quantity }))
        .collect();
    json!({ "items": items })
}
