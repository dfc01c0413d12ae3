//! `konbini check`: consistency check of the stored data.
//!
//! Each service compares its own data: its log, its indexes, its stock levels. A running
//! service is asked over its control socket; a stopped one is started for the check, alone,
//! so that nothing else changes meanwhile.

use anyhow::bail;
use chassis::Folder;
use clap::Args;
use hyper::Method;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::control;
use crate::output;
use crate::positions::{self, Ahead};
use crate::reservations;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::print_json;

/// Differences that are described; all are counted.
const EXAMPLES_MAX: usize = 20;

/// Check the stored data for consistency: logs against their hashes, products against
/// their indexes and the search index, stock against reservations, and all of it across services.
///
/// The check only reads, and works while the shop is running. The exit code is 1 if it
/// finds an inconsistency.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Checks every service that has data, and prints the findings.
pub(crate) async fn check(check: Check) -> anyhow::Result<()> {
    let (folder, _) = check.shop.open("warn", None)?;
    let mut report = serde_json::Map::new();
    let mut faults = 0;
    let mut positions = Vec::new();
    for service in positions::with_data(&folder) {
        let name = service.name();
        let checked = control::with(service, &check.shop, async |folder: &Folder| {
            let socket = folder.control_socket(name);
            let response = control::ask(&socket, Method::GET, "/control/check").await?;
            let findings = response.accepted()?.body;
            Ok((findings, positions::positions(folder, service).await?))
        });
        let findings = match checked.await {
            Ok((findings, own)) => {
                positions.push((service, own));
                findings
            }
            Err(error) => json!([damage(error)?]),
        };
        for finding in findings.as_array().into_iter().flatten() {
            faults += finding["faults"].as_u64().unwrap_or_default();
            if !check.json {
                print_finding(name, finding);
            }
        }
        report.insert(name.to_owned(), findings);
    }
    let mut across = vec![followers(&check.shop, &positions).await?];
    let has = |service| positions.iter().any(|(known, _)| *known == service);
    if has(ServiceName::Orders) && has(ServiceName::Products) {
        across.push(stock(&check.shop).await?);
    }
    for finding in &across {
        faults += finding["faults"].as_u64().unwrap_or_default();
        if !check.json {
            print_finding("all", finding);
        }
    }
    report.insert("all".to_owned(), json!(across));
    if check.json {
        print_json(&json!({ "faults": faults, "services": report }))?;
    }
    if faults > 0 {
        bail!("the data is inconsistent: {faults} differences");
    }
    Ok(())
}

/// The finding about a store that does not open because it is damaged.
fn damage(error: anyhow::Error) -> anyhow::Result<Value> {
    match error.downcast_ref::<chassis::Error>() {
        Some(why @ chassis::Error::Damaged { .. }) => Ok(json!({
            "what": "store",
            "compared": 1,
            "faults": 1,
            "examples": [why.to_string()],
        })),
        _ => Err(error),
    }
}

/// The comparison of orders with the reservations of products.
async fn stock(shop: &ShopArgs) -> anyhow::Result<Value> {
    let compared = reservations::compare(shop).await?;
    let mut examples = compared.faults();
    let faults = examples.len();
    examples.truncate(EXAMPLES_MAX);
    Ok(json!({
        "what": "orders and reservations",
        "compared": compared.count,
        "faults": faults,
        "examples": examples,
    }))
}

/// The comparison of each follower's position with the log that it follows.
async fn followers(shop: &ShopArgs, positions: &[(ServiceName, Value)]) -> anyhow::Result<Value> {
    let (compared, ahead) = positions::ahead(shop, positions).await?;
    let describe = |one: &Ahead| {
        format!(
            "{} follows {1} up to event {2}, which that no longer has as it was; \
             restore the newer data of {1}, or go on without it: `konbini accept-rollback {1}`",
            one.service,
            one.source.name(),
            one.seq,
        )
    };
    let examples: Vec<_> = ahead.iter().map(describe).collect();
    let faults = examples.len();
    Ok(json!({
        "what": "followers and logs",
        "compared": compared,
        "faults": faults,
        "examples": examples,
    }))
}

fn print_finding(service: &str, finding: &Value) {
    let faults = finding["faults"].as_u64().unwrap_or_default();
    let what = finding["what"].as_str().unwrap_or_default();
    let compared = &finding["compared"];
    if faults == 0 {
        output::line!(
            "{} {service}: {what}, {compared} compared",
            "ok       ".green()
        );
        return;
    }
    output::line!(
        "{} {service}: {what}, {faults} of {compared}",
        "different".red()
    );
    for example in finding["examples"].as_array().into_iter().flatten() {
        output::line!("          {}", example.as_str().unwrap_or_default());
    }
}
