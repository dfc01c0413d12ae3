//! Consistency check: rows against their indexes, levels against reservations, the search
//! index against the published products.
//!
//! **Invariant:** a check only reads.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ::search::Fingerprint;
use ::store::{Read, Store};
use chassis::Context;
use chassis::check::{self, Finding};
use tokio::time::Instant;

use crate::domain::{ProductId, StockLevel};
use crate::index::{self, CatalogueIndex};
use crate::indexes;
use crate::tables::{self, PRODUCTS, RESERVATIONS, STOCK};

/// How long the search index may take to catch up; it lags by a second.
const INDEX_TIMEOUT: Duration = Duration::from_secs(20);
const INDEX_LOOK: Duration = Duration::from_millis(200);

/// Registers the checks of this service.
pub(crate) fn add(ctx: &Context, index: &CatalogueIndex) {
    let (store, index) = (ctx.store.clone(), index.clone());
    ctx.checks.add(move || {
        let (store, index) = (store.clone(), index.clone());
        async move {
            let beside = |from: &Store| rows(from);
            let mut findings = check::settled(store.clone(), beside, |tx| rows(tx)).await?;
            findings.push(search_index(store, index).await?);
            Ok(findings)
        }
    });
}

fn rows(from: &impl Read) -> Result<Vec<Finding>, ::store::Error> {
    Ok(vec![catalogue(from)?, stock(from)?])
}

/// Every product has its SKU and its index rows, and there are no others; categories
/// count the published products.
fn catalogue(from: &impl Read) -> Result<Finding, ::store::Error> {
    let mut finding = Finding::of("products and their indexes");
    let (mut indexed, mut categories) = (0, BTreeMap::<String, u64>::new());
    for row in from.scan(PRODUCTS.all())? {
        let (id, product) = row?;
        finding.compare();
        if tables::id_of_sku(from, &product.content.sku)? != Some(id) {
            finding.fault(format!("{id} is not found by its SKU"));
        }
        match indexes::rows_of(from, &product)? {
            Some(rows) => indexed += rows,
            None => finding.fault(format!("{id} is missing in a list")),
        }
        for path in tables::published_paths(Some(&product)) {
            *categories.entry(path.to_owned()).or_default() += 1;
        }
    }
    if tables::skus(from)? != finding.compared() {
        finding.fault("there are SKUs without a product");
    }
    if finding.is_well() && indexes::rows_in_all(from)? != indexed {
        finding.fault("lists hold products that are not, or no longer, there");
    }
    if tables::categories(from)? != Vec::from_iter(categories) {
        finding.fault("categories count other products than are published");
    }
    Ok(finding)
}

/// Each product has a level, and its reserved units are the sum of its reservations.
fn stock(from: &impl Read) -> Result<Finding, ::store::Error> {
    let mut finding = Finding::of("stock and reservations");
    let mut held: HashMap<ProductId, i64> = HashMap::new();
    for row in from.scan(RESERVATIONS.all())? {
        for line in row?.1.lines {
            *held.entry(line.product_id).or_default() += i64::from(line.quantity);
        }
    }
    for row in from.scan(STOCK.all())? {
        let (id, level) = row?;
        let StockLevel { on_hand, reserved, .. } = level;
        finding.compare();
        let held = held.get(&id).copied().unwrap_or(0);
        if reserved != held {
            finding.fault(format!(
                "{id}: {reserved} are reserved and orders hold {held}"
            ));
        }
        if !level.is_sound() {
            finding.fault(format!("{id}: {reserved} of {on_hand} are reserved"));
        }
    }
    for row in from.scan(PRODUCTS.all())? {
        let (id, product) = row?;
        match tables::level(from, id)? {
            None => finding.fault(format!("{id} has no level")),
            Some(level) if level.policy != product.content.stock_policy => {
                finding.fault(format!("{id} has a level of another stock policy"));
            }
            Some(_) => {}
        }
    }
    Ok(finding)
}

/// The index has each published product in its present version, and no other. It lags
/// behind the store, so a disagreement is looked at again for a while.
async fn search_index(store: Store, index: CatalogueIndex) -> Result<Finding, ::store::Error> {
    let deadline = Instant::now() + INDEX_TIMEOUT;
    loop {
        let (store, index) = (store.clone(), index.clone());
        let finding = check::blocking(move || compare(&store, &index)).await?;
        if finding.is_well() || Instant::now() > deadline {
            return Ok(finding);
        }
        tokio::time::sleep(INDEX_LOOK).await;
    }
}

fn compare(store: &Store, index: &CatalogueIndex) -> Result<Finding, ::store::Error> {
    let mut finding = Finding::of("search index");
    let mut indexed: HashMap<ProductId, Fingerprint> = HashMap::new();
    match index.fingerprints() {
        Ok(all) => {
            for (id, fingerprint) in all {
                if indexed.insert(id, fingerprint).is_some() {
                    finding.fault(format!("{id} is indexed twice"));
                }
            }
        }
        Err(error) => finding.fault(format!("it cannot be read: {error}")),
    }
    for row in store.scan(PRODUCTS.all())? {
        let (id, product) = row?;
        if !product.is_published() {
            continue;
        }
        finding.compare();
        let level = tables::level(store, id)?.unwrap_or_default();
        let expected = Fingerprint::expected(&index::document(&product, level));
        match indexed.remove(&id) {
            None => finding.fault(format!("{id} is not indexed")),
            Some(fingerprint) if fingerprint != expected => {
                finding.fault(format!("{id} is indexed in an older version"));
            }
            Some(_) => {}
        }
    }
    for id in indexed.keys() {
        finding.fault(format!("{id} is indexed and not published"));
    }
    Ok(finding)
}
