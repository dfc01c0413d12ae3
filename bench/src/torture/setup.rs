//! The setup of a torture: the people, products and codes of the shop under test.
//!
//! Operations refer to people, products and codes by their index here, so that a run follows from
//! its seed. **Invariant:** it does not change once people are at work.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{Credentials, NewProduct, ShopClient, WithId};
use crate::payments::provider::WebhookSecrets;

const PRODUCTS: usize = 12;
/// Few enough that some orders are refused, and enough that most are not.
pub(super) const PIECES_EACH: i64 = 400;
pub(super) const PRICE: i64 = 1_250;

pub(crate) const STAFF: usize = 0;
pub(crate) const STAFF_EMAIL: &str = "staff@torture.example";
pub(crate) const PASSWORD: &str = "a kettle and three lamps";

pub(crate) struct TestProduct {
    pub(crate) id: String,
    /// Pieces before anything was asked.
    pub(super) pieces: i64,
}

/// A code that takes a tenth off, for so many orders.
pub(crate) struct TestCode {
    pub(crate) code: String,
    pub(crate) promotion: String,
    pub(crate) cap: u64,
}

/// How large a shop is.
pub(crate) struct ShopExtent {
    pub(crate) buyers: usize,
    /// Of each product, before anything was asked.
    pub(crate) pieces: i64,
    /// The cap of each code.
    pub(crate) caps: Vec<u64>,
}

pub(crate) struct TortureSetup {
    /// Without retries: an operation has its own retry rule.
    pub(crate) client: ShopClient,
    /// Staff, then the buyers.
    pub(crate) people: Vec<Credentials>,
    pub(crate) products: Vec<TestProduct>,
    pub(crate) codes: Vec<TestCode>,
    pub(super) secrets: WebhookSecrets,
}

impl TortureSetup {
    /// Registers the buyers, puts the products on sale and makes the codes, in a shop that has
    /// [`STAFF_EMAIL`] as an admin and takes messages that are signed with `secrets`.
    pub(crate) async fn open(
        client: &ShopClient,
        extent: ShopExtent,
        secrets: WebhookSecrets,
    ) -> anyhow::Result<Self> {
        let ShopExtent { buyers, pieces, caps } = extent;
        let buyer =
            |number| Credentials::new(format!("buyer{number}@torture.example"), PASSWORD.into());
        let mut people = vec![Credentials::new(STAFF_EMAIL.into(), PASSWORD.into())];
        people.extend(client.log_in_all((1..=buyers).map(buyer)).await?);
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            let product = NewProduct {
                sku: format!("TORTURE-{number}"),
                title: format!("Tortured lamp {number}"),
                price: PRICE * number as i64,
                stock: pieces,
            };
            let id = client.create_product(&people[STAFF], product).await?;
            products.push(TestProduct { id, pieces });
        }
        let mut codes = Vec::new();
        for (number, cap) in (1..).zip(caps) {
            let code = format!("TORTURE{number}");
            let body = json!({
                "name": code,
                "code": code,
                "kind": "percent",
                "value": 1_000,
                "uses_max": cap,
            });
            let request = client
                .request(Method::POST, &["v1", "promotions"])
                .json(&body);
            let made = client.send_as(&people[STAFF], request).await?;
            let made: WithId = made.expect(StatusCode::CREATED, "making a code")?;
            codes.push(TestCode { code, promotion: made.id, cap });
        }
        let client = client.without_retries()?;
        Ok(Self { client, people, products, codes, secrets })
    }
}
