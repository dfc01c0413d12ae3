//! `konbini check`: consistency check of the stored data.
//!
//! Each service compares its own data: its log, its indexes, its stock levels. A running
//! service is asked over its control socket; a stopped one is started for the check, alone,
//! so that nothing else changes meanwhile.

use std::cell::RefCell;

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
    let print = |service: &str, finding: &Value| {
        if !check.json {
            print_finding(service, finding);
        }
    };
    let (faults, report) = findings(&check.shop, print).await?;
    if check.json {
        print_json(&json!({ "faults": faults, "services": report }))?;
    }
    if faults > 0 {
        bail!("the data is inconsistent: {faults} differences");
    }
    Ok(())
}

/// All findings of a shop, as a document.
pub(crate) async fn report(shop: &ShopArgs) -> anyhow::Result<Value> {
    let (faults, report) = findings(shop, |_, _| {}).await?;
    Ok(json!({ "faults": faults, "services": report }))
}

/// Descriptions of the differences in a shop's data.
pub(crate) async fn differences(shop: &ShopArgs) -> anyhow::Result<Vec<String>> {
    let different = RefCell::new(Vec::new());
    let note = |service: &str, finding: &Value| {
        let what = finding["what"].as_str().unwrap_or_default();
        let examples = finding["examples"].as_array().into_iter().flatten();
        let examples = examples.filter_map(Value::as_str);
        different
            .borrow_mut()
            .extend(examples.map(|example| format!("{service}: {what}: {example}")));
    };
    findings(shop, note).await?;
    Ok(different.into_inner())
}

/// All findings by service, and the number of faults in them; `each` is called as they come.
async fn findings(
    shop: &ShopArgs,
    each: impl Fn(&str, &Value),
) -> anyhow::Result<(u64, serde_json::Map<String, Value>)> {
    let (folder, _) = shop.open("warn", None)?;
    let mut report = serde_json::Map::new();
    let mut faults = 0;
    let mut note = |name: &str, findings: Value| {
        for finding in findings.as_array().into_iter().flatten() {
            faults += finding["faults"].as_u64().unwrap_or_default();
            each(name, finding);
        }
        report.insert(name.to_owned(), findings);
    };
    let mut positions = Vec::new();
    for service in positions::with_data(&folder) {
        let name = service.name();
        let checked = control::with(service, shop, async |folder: &Folder| {
            let socket = folder.control_socket(name);
            let response = control::ask(&socket, Method::GET, "/control/check").await?;
            let findings = response.accepted()?.body;
            Ok((findings, positions::positions(folder, service).await?))
        });
        match checked.await {
            Ok((findings, own)) => {
                positions.push((service, own));
                note(name, findings);
            }
            Err(error) => note(name, json!([damage(error)?])),
        }
    }
    let mut across = vec![followers(shop, &positions).await?];
    let has = |service| positions.iter().any(|(known, _)| *known == service);
    if has(ServiceName::Orders) && has(ServiceName::Products) {
        across.push(stock(shop).await?);
    }
    note("all", json!(across));
    Ok((faults, report))
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
