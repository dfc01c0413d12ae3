//! `konbini doctor`: what about this host may hurt the shop, and what to do about it.
//!
//! | module | holds |
//! | --- | --- |
//! | `host` | clock, memory, open files, the supervisor |
//! | `disk` | the file system of the data folder: space, kind, how long a sync takes |
//! | `folder` | owners and permissions, backups |
//! | `network` | ports, names, the mail server, certificates |
//!
//! A check is a function of the table [`CHECKS`] that reads facts of the host, and a pure
//! function that judges them. **Invariant:** a check changes nothing that lasts, and one that
//! does not end in time is named.

mod disk;
mod folder;
mod host;
mod network;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use chassis::Folder;
use clap::Args;
use futures::future::join_all;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::ShopConfig;
use crate::output;
use crate::shop::{ServeArgs, fault_in};
use crate::status::ShopStatus;
use crate::table::print_json;

/// The longest time for one check. A mail server or a resolver that does not answer takes it.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Look for what about this host may hurt the shop, and say what to do about it.
///
/// Looks at the clock, the disk, memory, open files, ports, owners and permissions, the mail
/// server, certificates, the shop's name, backups, and the supervisor. Works beside a running
/// shop and at rest; run it as the user that the shop runs as. The exit code is 1 if there is
/// a problem; warnings alone are 0.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It may hurt the shop some day.
    Warning,
    /// It hurts the shop now, or at the next start.
    Problem,
}

/// A finding of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnosis {
    check: &'static str,
    verdict: Verdict,
    what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// What a check found, before it has the check's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remark {
    verdict: Verdict,
    what: String,
    advice: Option<String>,
}

impl Remark {
    fn ok(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, what: what.into(), advice: None }
    }

    fn warning(what: impl Into<String>, advice: impl Into<String>) -> Self {
        let (what, advice) = (what.into(), Some(advice.into()));
        Self { verdict: Verdict::Warning, what, advice }
    }

    fn problem(what: impl Into<String>, advice: impl Into<String>) -> Self {
        let (what, advice) = (what.into(), Some(advice.into()));
        Self { verdict: Verdict::Problem, what, advice }
    }
}

/// What the checks look at.
struct ExaminedShop {
    folder: Folder,
    config: ShopConfig,
    /// Whether a service of the shop runs.
    is_running: bool,
    runtime: tokio::runtime::Handle,
}

type CheckOfHost = fn(&ExaminedShop) -> Vec<Remark>;

/// Every check, in the order of the output.
const CHECKS: [(&str, CheckOfHost); 14] = [
    ("clock", host::clock),
    ("memory", host::memory),
    ("open files", host::open_files),
    ("supervisor", host::supervisor),
    ("disk space", disk::space),
    ("file system", disk::kind),
    ("sync", disk::sync),
    ("owners", folder::owners),
    ("secrets", folder::secrets),
    ("backups", folder::backups),
    ("ports", network::ports),
    ("name", network::name),
    ("certificate", network::certificate),
    ("mail", network::mail),
];

/// Examines the host, and prints the findings.
pub(crate) async fn doctor(doctor: Doctor) -> anyhow::Result<()> {
    let found = examine(&doctor.serve).await?;
    if doctor.json {
        print_json(&document(&found))?;
    } else {
        found.iter().for_each(print);
    }
    let problems = count(&found, Verdict::Problem);
    match problems {
        0 => Ok(()),
        1 => bail!("there is a problem"),
        count => bail!("there are {count} problems"),
    }
}

/// The findings of every check.
pub(crate) async fn examine(serve: &ServeArgs) -> anyhow::Result<Vec<Diagnosis>> {
    let folder = serve.shop.folder("off")?;
    let (config, mut found) = settings(serve, &folder)?;
    let is_running = ShopStatus::read(&folder).await.is_running();
    let runtime = tokio::runtime::Handle::current();
    let examined = Arc::new(ExaminedShop { folder, config, is_running, runtime });
    let checks = CHECKS.map(async |(name, check)| {
        let examined = examined.clone();
        let checking = tokio::task::spawn_blocking(move || check(&examined));
        let remarks = match tokio::time::timeout(TIMEOUT, checking).await {
            Ok(Ok(remarks)) => remarks,
            Ok(Err(panic)) => vec![Remark::warning(
                format!("the check failed: {panic}"),
                "report this",
            )],
            Err(_) => vec![Remark::warning(
                format!("the check did not end within {} s", TIMEOUT.as_secs()),
                "look for a network or a disk that does not respond",
            )],
        };
        named(name, remarks)
    });
    found.extend(join_all(checks).await.into_iter().flatten());
    Ok(found)
}

/// The settings, or the defaults and their faults.
fn settings(serve: &ServeArgs, folder: &Folder) -> anyhow::Result<(ShopConfig, Vec<Diagnosis>)> {
    let file = folder.config_file();
    let advice = "correct it; `konbini config check` shows all faults";
    let (config, faults) = match serve.sources(folder)?.read() {
        Ok(settings) => (settings.config, Vec::new()),
        Err(faults) => {
            let described = faults.iter().map(|fault| fault_in(&file, fault));
            (ShopConfig::default(), described.collect())
        }
    };
    let remarks = match faults.is_empty() {
        true => vec![Remark::ok("all settings are in their ranges")],
        false => faults
            .into_iter()
            .map(|fault| Remark::problem(fault, advice))
            .collect(),
    };
    Ok((config, named("settings", remarks)))
}

fn named(check: &'static str, remarks: Vec<Remark>) -> Vec<Diagnosis> {
    let named = remarks.into_iter().map(|remark| {
        let Remark { verdict, what, advice } = remark;
        Diagnosis { check, verdict, what, advice }
    });
    named.collect()
}

fn count(found: &[Diagnosis], verdict: Verdict) -> usize {
    found.iter().filter(|one| one.verdict == verdict).count()
}

/// The findings as a document.
pub(crate) fn document(found: &[Diagnosis]) -> Value {
    json!({
        "problems": count(found, Verdict::Problem),
        "warnings": count(found, Verdict::Warning),
        "checks": found,
    })
}

fn print(found: &Diagnosis) {
    let Diagnosis { check, verdict, what, advice } = found;
    let verdict = match verdict {
        Verdict::Ok => format!("{}     ", "ok".green()),
        Verdict::Warning => "warning".yellow().to_string(),
        Verdict::Problem => "problem".red().to_string(),
    };
    let advice = advice
        .as_ref()
        .map_or_else(String::new, |advice| format!(" ({advice})"));
    output::line!("{verdict} {check}: {what}{advice}");
}

/// The text of a small file of the kernel's, if it is there.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// What a program prints, if it is there and succeeds.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new(program);
    // The words that are looked for are not translated.
    let output = command.args(arguments).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
