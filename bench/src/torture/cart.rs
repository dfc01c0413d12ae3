//! Filling a cart while processes are killed.
//!
//! To make a cart has no key: one whose response was lost stays the account's open cart, and the
//! next one takes it in. **Invariant:** a filled cart has exactly the content that was asked for,
//! because each product is set to its quantity after the cart was made.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::operation::{FilledCartId, OrderedBasket};
use super::setup::TortureSetup;

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two tries; a killed process is back soon.
const TRY_EVERY: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct Cart {
    id: String,
    items: Vec<CartItem>,
}

#[derive(Deserialize)]
struct CartItem {
    product_id: String,
}

/// A new cart of this buyer with this content.
///
/// # Errors
/// A response that no request for a cart may have, or none within [`TIMEOUT`].
pub(crate) async fn fill(
    setup: &TortureSetup,
    who: usize,
    basket: &OrderedBasket,
) -> anyhow::Result<FilledCartId> {
    let carts = setup.client.request(Method::POST, &["v1", "carts"]);
    let items = json!({"items": basket.items(setup)});
    let cart = ask(setup, who, carts.json(&items)).await?;
    let id = FilledCartId::from(cart.id);
    let item = |method: Method, product: &str| {
        let path = ["v1", "carts", &id, "items", product];
        setup.client.request(method, &path)
    };
    let mut wanted = HashSet::new();
    for line in &basket.lines {
        let product = setup.products[line.product].id.as_str();
        let quantity = json!({"quantity": line.pieces});
        ask(setup, who, item(Method::PATCH, product).json(&quantity)).await?;
        wanted.insert(product);
    }
    for left in cart.items {
        if !wanted.contains(left.product_id.as_str()) {
            ask(setup, who, item(Method::DELETE, &left.product_id)).await?;
        }
    }
    let patch = setup.client.request(Method::PATCH, &["v1", "carts", &id]);
    let codes = json!({"codes": basket.codes(setup)});
    ask(setup, who, patch.json(&codes)).await?;
    Ok(id)
}

/// Asks until a cart comes back.
async fn ask(setup: &TortureSetup, who: usize, request: RequestBuilder) -> anyhow::Result<Cart> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let copy = request
            .try_clone()
            .expect("only a streamed body cannot be copied");
        let said = match setup.client.send_as(&setup.people[who], copy).await {
            Ok(answer) if answer.status.is_success() => {
                return answer.json().context("a cart was answered without one");
            }
            Ok(answer) if is_passing(answer.status) => answer.describe(),
            Ok(answer) => bail!("a cart was answered {}", answer.describe()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("no cart came back; the last response: {said}");
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Not reached, not up, not ready, throttled, or in the middle of a login.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}
