//! The setup of a torture: the people and products of the shop under test.
//!
//! Operations refer to people and products by their index here, so that a run follows from
//! its seed. **Invariant:** it does not change once people are at work.

use crate::client::{Credentials, NewProduct, ShopClient};

const PRODUCTS: usize = 12;
/// Few enough that some orders are refused, and enough that most are not.
const PIECES_EACH: i64 = 400;
pub(super) const PRICE: i64 = 1_250;

pub(super) const STAFF: usize = 0;
pub(super) const STAFF_EMAIL: &str = "staff@torture.example";
pub(super) const PASSWORD: &str = "a kettle and three lamps";

pub(super) struct TestProduct {
    pub(super) id: String,
    /// Pieces before anything was asked.
    pub(super) pieces: i64,
}

pub(super) struct TortureSetup {
    /// Without retries: an operation has its own retry rule.
    pub(super) client: ShopClient,
    /// Staff, then the buyers.
    pub(super) people: Vec<Credentials>,
    pub(super) products: Vec<TestProduct>,
}

impl TortureSetup {
    /// Registers the buyers and puts the products on sale, in a shop that has
    /// [`STAFF_EMAIL`] among its staff.
    pub(super) async fn open(client: &ShopClient, buyers: usize) -> anyhow::Result<Self> {
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
                stock: PIECES_EACH,
            };
            let id = client.create_product(&people[STAFF], product).await?;
            products.push(TestProduct { id, pieces: PIECES_EACH });
        }
        Ok(Self { client: client.without_retries()?, people, products })
    }
}
