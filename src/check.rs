//! `konbini check`: whether what the shop keeps agrees with itself.
//!
//! Each service compares what it knows how to: its log, its indexes, its levels.
//! Beside a running shop it is asked; at rest each is started for it, alone, so
//! that nothing else changes meanwhile.

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

/// Compare what the shop keeps with itself: logs with their hashes, products with
/// their indexes and the search index, stock with what orders hold. Only reads;
/// works beside a running shop. Exit code 1 if something disagrees.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    shop: ShopArgs,
    /// Answer with a JSON document.
    #[arg(long)]
    json: bool,
}

/// Checks every service that has data here and tells what disagrees.
pub(crate) async fn check(check: Check) -> anyhow::Result<()> {
    check.shop.require()?;
    let (folder, _) = check.shop.open("warn", None)?;
    let mut report = serde_json::Map::new();
    let mut faults = 0;
    for service in ServiceName::ALL {
        let name = service.name();
        // A service that never ran here has nothing to disagree.
        if !folder.path().join(name).join("store").exists() {
            continue;
        }
        let findings = control::with(service, &check.shop, async |folder: &Folder| {
            let socket = control::socket(folder, name);
            let answer = control::ask(&socket, Method::GET, "/control/check").await?;
            Ok(answer.accepted()?.body)
        });
        let findings = findings.await?;
        for finding in findings.as_array().into_iter().flatten() {
            faults += finding["faults"].as_u64().unwrap_or_default();
            if !check.json {
                tell(name, finding);
            }
        }
        report.insert(name.to_owned(), findings);
    }
    if check.json {
        print_json(&json!({ "faults": faults, "services": report }))?;
    }
    if faults > 0 {
        bail!("{faults} things disagree");
    }
    Ok(())
}

fn tell(service: &str, finding: &Value) {
    let faults = finding["faults"].as_u64().unwrap_or_default();
    let what = finding["what"].as_str().unwrap_or_default();
    let compared = &finding["compared"];
    if faults == 0 {
        anstream::println!(
            "{} {service}: {what}, {compared} compared",
            "agrees   ".green()
        );
        return;
    }
    anstream::println!(
        "{} {service}: {what}, {faults} of {compared}",
        "disagrees".red()
    );
    for example in finding["examples"].as_array().into_iter().flatten() {
        anstream::println!("          {}", example.as_str().unwrap_or_default());
    }
}
