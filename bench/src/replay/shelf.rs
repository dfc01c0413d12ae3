//! What the shop sells and how much of it is held: product ids before the
//! replay, stock levels before and after, and the audit between the two.
//!
//! The audit allows only what it can explain. Pieces reserved now must be those
//! reserved before plus those of the orders confirmed in between; an order
//! whose outcome is unknown may have held its pieces or not.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::checkout::CheckoutCounts;
use super::invoice::{OrderPart, ProductIds};
use crate::client::{Credentials, ObservedStock, ShopClient, WithId};
use crate::progress::PhaseProgress;

const LOOKUPS_AT_ONCE: usize = 16;

pub(crate) type Levels = HashMap<Arc<str>, ObservedStock>;

/// Looks up each SKU; one that the shop does not sell is missing in the answer.
pub(crate) async fn products(
    client: &ShopClient,
    skus: BTreeSet<&str>,
) -> anyhow::Result<ProductIds> {
    let progress = &PhaseProgress::count("finding products", skus.len() as u64);
    let found: Vec<Option<(String, Arc<str>)>> = stream::iter(skus)
        .map(|sku| async move {
            let request = client.request(Method::GET, &["v1", "products", "by-sku", sku]);
            let answer = client.send(request).await?;
            progress.step();
            if answer.status == StatusCode::NOT_FOUND {
                return anyhow::Ok(None);
            }
            let product: WithId = answer.expect(StatusCode::OK, &format!("finding SKU {sku}"))?;
            Ok(Some((sku.to_owned(), Arc::from(product.id))))
        })
        .buffer_unordered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(found.into_iter().flatten().collect())
}

/// The stock of every product in `parts`.
pub(crate) async fn levels(
    client: &ShopClient,
    staff: &Credentials,
    parts: &[OrderPart],
    phase: &'static str,
) -> anyhow::Result<Levels> {
    let ordered: BTreeSet<&Arc<str>> = parts
        .iter()
        .flat_map(|part| &part.items)
        .map(|(product, _)| product)
        .collect();
    let progress = &PhaseProgress::count(phase, ordered.len() as u64);
    let levels = stream::iter(ordered)
        .map(|product| async move {
            let stock = client.stock(staff, product).await?;
            progress.step();
            anyhow::Ok((Arc::clone(product), stock))
        })
        .buffer_unordered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(levels)
}

/// Whether the shelf agrees with the orders.
#[derive(Serialize)]
pub(crate) struct StockAudit {
    pub(crate) products: u64,
    /// Pieces over all these products; a fresh shop has none reserved before.
    pub(crate) reserved_before: i64,
    pub(crate) reserved_after: i64,
    /// Products of which more is promised than there is. Each is a finding.
    pub(crate) oversold: u64,
    /// Products of which less or more is held than the orders explain.
    pub(crate) unexplained: u64,
    pub(crate) findings: Vec<StockMismatch>,
}

/// One product that does not add up.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StockMismatch {
    pub(crate) product: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    /// The least and the most that the orders explain as reserved.
    pub(crate) explained: (i64, i64),
}

impl StockAudit {
    pub(crate) fn new(
        before: &Levels,
        after: &Levels,
        counts: &CheckoutCounts,
    ) -> anyhow::Result<Self> {
        let mut audit = Self {
            products: after.len() as u64,
            reserved_before: before.values().map(|level| level.reserved).sum(),
            reserved_after: after.values().map(|level| level.reserved).sum(),
            oversold: 0,
            unexplained: 0,
            findings: Vec::new(),
        };
        for (product, level) in after {
            let earlier = before
                .get(product)
                .context("a product without an earlier level")?;
            let pieces = counts.pieces.get(product).copied().unwrap_or_default();
            let least = earlier.reserved + pieces.confirmed;
            let explained = (least, least + pieces.unknown);
            let oversold = level.on_hand < level.reserved;
            let unexplained = !(explained.0..=explained.1).contains(&level.reserved);
            audit.oversold += u64::from(oversold);
            audit.unexplained += u64::from(unexplained);
            if oversold || unexplained {
                audit.findings.push(StockMismatch {
                    product: product.to_string(),
                    on_hand: level.on_hand,
                    reserved: level.reserved,
                    explained,
                });
            }
        }
        audit.findings.sort_by(|a, b| a.product.cmp(&b.product));
        Ok(audit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkout::Pieces;
    use super::*;

    fn levels<const N: usize>(levels: [(&str, i64, i64); N]) -> Levels {
        levels
            .map(|(product, on_hand, reserved)| {
                (Arc::from(product), ObservedStock { on_hand, reserved })
            })
            .into()
    }

    #[test]
    fn the_audit_finds_oversold_and_unheld_pieces() {
        let before = levels([
            ("fine", 10, 1),
            ("maybe", 10, 0),
            ("unheld", 10, 0),
            ("over", 5, 5),
        ]);
        let after = levels([
            ("fine", 10, 4),
            ("maybe", 10, 2),
            ("unheld", 10, 2),
            ("over", 5, 6),
        ]);
        let pieces = |product: &str, confirmed, unknown| {
            (
                Arc::from(product),
                Pieces { confirmed, unknown, ..Pieces::default() },
            )
        };
        let counts = CheckoutCounts {
            pieces: HashMap::from([
                pieces("fine", 3, 0),
                pieces("maybe", 0, 2),
                pieces("unheld", 3, 0),
                pieces("over", 1, 0),
            ]),
            ..CheckoutCounts::new().unwrap()
        };
        let audit = StockAudit::new(&before, &after, &counts).unwrap();
        let found: Vec<&str> = audit
            .findings
            .iter()
            .map(|found| found.product.as_str())
            .collect();
        assert_eq!(found, ["over", "unheld"]);
        assert_eq!((audit.oversold, audit.unexplained), (1, 1));
        assert_eq!((audit.reserved_before, audit.reserved_after), (6, 14));
    }
}
