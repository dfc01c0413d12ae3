//! What a load needs in a running shop: products that never run out, and customers who are
//! logged in. Both are made once and found again by every later run.
//!
//! **Invariant:** nothing here is measured.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::client::{Credentials, ShopClient, WithId};
use crate::progress::PhaseProgress;

/// Of every product: nothing ever runs out.
const STOCK: u64 = 100_000_000;
/// Every access token is renewed within this, well within the 15 minutes it is good for.
const RENEWAL: Duration = Duration::from_secs(6 * 60);
/// Concurrent look-ups.
const CALLS_AT_ONCE: usize = 8;

/// Makes sure that so many products are on sale, and returns their ids.
pub(crate) async fn stock_up(
    client: &ShopClient,
    staff: &Credentials,
    count: u32,
) -> anyhow::Result<Vec<String>> {
    let sku = |number: u32| format!("BENCH-{number:05}");
    let mut lines = String::new();
    for number in 0..count {
        let product = json!({
            "sku": sku(number),
            "title": format!("Measured product {number}"),
            "description": "It exists to be ordered.",
            "brand": "Bench",
            "categories": ["Bench"],
            "price": { "amount": 1000 + i64::from(number % 1000), "currency": "EUR" },
            "status": "published",
            "stock": STOCK,
        });
        lines.push_str(&product.to_string());
        lines.push('\n');
    }
    #[derive(Deserialize)]
    struct Imported {
        failed: u64,
    }
    let request = client
        .request(Method::POST, &["v1", "products", "import"])
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(lines);
    let answer = client.stream_as(staff, request).await?;
    let summary: Imported = answer.expect(StatusCode::OK, "making the products")?;
    let failed = summary.failed;
    ensure!(failed == 0, "{failed} products were refused");

    let progress = &PhaseProgress::count("finding products", u64::from(count));
    let found = stream::iter(0..count)
        .map(|number| async move {
            let sku = sku(number);
            let request = client.request(Method::GET, &["v1", "products", "by-sku", &sku]);
            let answer = client.send(request).await?;
            let product: WithId = answer.expect(StatusCode::OK, &format!("finding SKU {sku}"))?;
            progress.step();
            anyhow::Ok(product.id)
        })
        .buffered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    found
}

/// The access tokens of accounts, in their order. They are renewed while any copy of this
/// lives, since a shop's tokens end before a long run does.
#[derive(Clone)]
pub(crate) struct AccountTokens(Arc<[Mutex<Arc<str>>]>);

impl AccountTokens {
    /// Those of accounts that are logged in to the shop of `client`.
    pub(crate) async fn of(
        client: &ShopClient,
        accounts: Vec<Credentials>,
    ) -> anyhow::Result<Self> {
        let mut tokens = Vec::new();
        for account in &accounts {
            tokens.push(Mutex::new(account.token().await.into()));
        }
        let tokens = Self(tokens.into());
        let client = ShopClient::new(client.base().clone())?;
        tokio::spawn(renew(client, accounts, Arc::downgrade(&tokens.0)));
        Ok(tokens)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The present token of an account.
    pub(crate) fn get(&self, account: usize) -> Arc<str> {
        self.0[account].lock().clone()
    }
}

/// Logs all accounts in again within each [`RENEWAL`], one after the other.
async fn renew(client: ShopClient, accounts: Vec<Credentials>, tokens: Weak<[Mutex<Arc<str>>]>) {
    let mut pause = tokio::time::interval(RENEWAL / accounts.len().max(1) as u32);
    pause.tick().await;
    for account in (0..accounts.len()).cycle() {
        pause.tick().await;
        let credentials = &accounts[account];
        let spent = credentials.token().await;
        let Some(tokens) = tokens.upgrade() else {
            return;
        };
        // A shop that refuses is tried again in the next round, before the token ends.
        if let Ok(token) = client.renew(credentials, &spent).await {
            *tokens[account].lock() = token.into();
        }
    }
}

/// So many customers of a scenario, logged in. Their passwords protect nothing: the accounts
/// exist for measuring.
pub(crate) async fn customers(
    client: &ShopClient,
    scenario: &str,
    count: usize,
) -> anyhow::Result<AccountTokens> {
    let account = |number| {
        let password = format!("places measured orders as {number}");
        Credentials::new(format!("buyer{number}@{scenario}.example"), password)
    };
    let accounts = client.log_in_all((0..count).map(account)).await?;
    AccountTokens::of(client, accounts).await
}
