//! Filling a cart while processes are killed.
//!
//! To make a cart has no key: one whose response was lost stays the account's open cart, and the
//! next one takes it in; a guest's is forgotten. **Invariant:** a filled cart has exactly the
//! content that was asked for, because each product is set to its quantity after the cart was made.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::operation::{FilledCart, OrderedBasket};
use super::setup::TortureSetup;
use crate::client::Credentials;

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two tries; a killed process is back soon.
const TRY_EVERY: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct CartBody {
    id: String,
    /// In the response that makes it.
    token: Option<String>,
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
) -> anyhow::Result<FilledCart> {
    let buyer = Some(&setup.people[who]);
    let cart = ask(setup, buyer, make(setup, basket)).await?;
    let item = |method: Method, product: &str| {
        let path = ["v1", "carts", &cart.id, "items", product];
        setup.client.request(method, &path)
    };
    let mut wanted = HashSet::new();
    for line in &basket.lines {
        let product = setup.products[line.product].id.as_str();
        let quantity = json!({"quantity": line.pieces});
        ask(setup, buyer, item(Method::PATCH, product).json(&quantity)).await?;
        wanted.insert(product);
    }
    for left in &cart.items {
        if !wanted.contains(left.product_id.as_str()) {
            ask(setup, buyer, item(Method::DELETE, &left.product_id)).await?;
        }
    }
    let codes = json!({"codes": basket.codes(setup)});
    ask(setup, buyer, patch(setup, &cart.id).json(&codes)).await?;
    Ok(FilledCart { id: cart.id.into(), token: None })
}

/// A new cart of a guest, each with an address of its own.
///
/// # Errors
/// As [`fill`].
pub(crate) async fn fill_as_guest(
    setup: &TortureSetup,
    basket: &OrderedBasket,
) -> anyhow::Result<FilledCart> {
    let cart = ask(setup, None, make(setup, basket)).await?;
    let token = cart
        .token
        .context("a new cart was answered without a token")?;
    let details = json!({
        "email": format!("guest{:016x}@torture.example", rand::random::<u64>()),
        "name": "A guest",
        "codes": basket.codes(setup),
    });
    let patch = patch(setup, &cart.id).header("cart-token", &token);
    ask(setup, None, patch.json(&details)).await?;
    Ok(FilledCart { id: cart.id.into(), token: Some(token.into()) })
}

fn make(setup: &TortureSetup, basket: &OrderedBasket) -> RequestBuilder {
    let carts = setup.client.request(Method::POST, &["v1", "carts"]);
    carts.json(&json!({"items": basket.items(setup)}))
}

fn patch(setup: &TortureSetup, cart: &str) -> RequestBuilder {
    let path = ["v1", "carts", cart];
    setup.client.request(Method::PATCH, &path)
}

/// Asks until a cart comes back.
async fn ask(
    setup: &TortureSetup,
    who: Option<&Credentials>,
    request: RequestBuilder,
) -> anyhow::Result<CartBody> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let copy = request
            .try_clone()
            .expect("only a streamed body cannot be copied");
        let sent = match who {
            Some(who) => setup.client.send_as(who, copy).await,
            None => setup.client.send(copy).await.map_err(Into::into),
        };
        let said = match sent {
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
