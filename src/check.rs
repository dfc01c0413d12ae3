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
    check.shop.require()?;
    let (folder, _) = check.shop.open("warn", None)?;
    let mut report = serde_json::Map::new();
    let mut faults = 0;
    for service in ServiceName::ALL {
        let name = service.name();
        // A service that never ran here has nothing to check.
        if !folder.path().join(name).join("store").exists() {
            continue;
        }
        let findings = control::with(service, &check.shop, async |folder: &Folder| {
            let socket = control::socket(folder, name);
            let response = control::ask(&socket, Method::GET, "/control/check").await?;
            Ok(response.accepted()?.body)
        });
        let findings = findings.await?;
        for finding in findings.as_array().into_iter().flatten() {
            faults += finding["faults"].as_u64().unwrap_or_default();
            if !check.json {
                print_finding(name, finding);
            }
        }
        report.insert(name.to_owned(), findings);
    }
    if check.json {
        print_json(&json!({ "faults": faults, "services": report }))?;
    }
    if faults > 0 {
        bail!("the data is inconsistent: {faults} differences");
    }
    Ok(())
}

fn print_finding(service: &str, finding: &Value) {
    let faults = finding["faults"].as_u64().unwrap_or_default();
    let what = finding["what"].as_str().unwrap_or_default();
    let compared = &finding["compared"];
    if faults == 0 {
        anstream::println!(
            "{} {service}: {what}, {compared} compared",
            "ok       ".green()
        );
        return;
    }
    anstream::println!(
        "{} {service}: {what}, {faults} of {compared}",
        "different".red()
    );
    for example in finding["examples"].as_array().into_iter().flatten() {
        anstream::println!("          {}", example.as_str().unwrap_or_default());
    }
}
