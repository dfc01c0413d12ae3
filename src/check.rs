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
use crate::rollback::{self, Ahead};
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::print_json;

/// Check the stored data for consistency: logs against their hashes, products against
/// their indexes and the search index, stock against the reservations of orders.
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
    for service in rollback::with_data(&folder) {
        let name = service.name();
        let checked = control::with(service, &check.shop, async |folder: &Folder| {
            let socket = folder.control_socket(name);
            let response = control::ask(&socket, Method::GET, "/control/check").await?;
            let findings = response.accepted()?.body;
            Ok((findings, rollback::positions(folder, service).await?))
        });
        let (findings, own) = checked.await?;
        positions.push((service, own));
        for finding in findings.as_array().into_iter().flatten() {
            faults += finding["faults"].as_u64().unwrap_or_default();
            if !check.json {
                print_finding(name, finding);
            }
        }
        report.insert(name.to_owned(), findings);
    }
    let across = across(&check.shop, &positions).await?;
    faults += across["faults"].as_u64().unwrap_or_default();
    if !check.json {
        print_finding("all", &across);
    }
    report.insert("all".to_owned(), json!([across]));
    if check.json {
        print_json(&json!({ "faults": faults, "services": report }))?;
    }
    if faults > 0 {
        bail!("the data is inconsistent: {faults} differences");
    }
    Ok(())
}

/// The finding of the comparison across services.
async fn across(shop: &ShopArgs, positions: &[(ServiceName, Value)]) -> anyhow::Result<Value> {
    let (compared, ahead) = rollback::ahead(shop, positions).await?;
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
