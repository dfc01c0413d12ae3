//! `konbini status`: how every service of the data folder stands, without a token.
//!
//! Each service is asked over its control socket; none is started. **Invariant:** a service
//! that does not respond is named, with the reason.

use std::time::Duration;

use anyhow::bail;
use chassis::Folder;
use chassis::backup_state::{self, BackupState};
use clap::Args;
use futures::future::join_all;
use hyper::Method;
use indicatif::{HumanBytes, HumanDuration};
use owo_colors::OwoColorize;
use serde_json::{Map, Value, json};

use crate::control;
use crate::output;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::{Column, OutputFormat, OutputTable, print_json};

/// Timeout of a service's response. Summing up the files of a large store takes longest.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Show how every service stands: its state, version and uptime, the end of its log, its
/// followers and how far they lag, dead letters, the size of its store, cache hits, and how
/// old the last backup is.
///
/// Needs a running shop on this host, and no token. The exit code is 1 if a service does not
/// run or is not ready, if a follower has stopped, if there are dead letters, or if the last
/// backup failed.
#[derive(Debug, Args)]
pub(crate) struct PrintStatus {
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// The status of a shop.
pub(crate) struct ShopStatus {
    /// The status of each service, or why there is none.
    services: Vec<(ServiceName, Value)>,
    backup: BackupState,
}

impl ShopStatus {
    /// Asks every service.
    pub(crate) async fn read(folder: &Folder) -> Self {
        let asked = ServiceName::ALL.map(async |service| {
            let absent =
                |why: String| json!({ "service": service.name(), "state": "absent", "why": why });
            let body = ask(folder, service).await;
            (service, body.unwrap_or_else(absent))
        });
        Self {
            services: join_all(asked).await,
            backup: backup_state::read(folder),
        }
    }

    /// The status as a document.
    pub(crate) fn document(&self) -> Value {
        let services = self.services.iter();
        let services: Map<String, Value> = services
            .map(|(service, body)| (service.name().to_owned(), body.clone()))
            .collect();
        json!({ "faults": self.faults(), "services": services, "backup": self.backup })
    }

    /// Whether any service responded.
    pub(crate) fn is_running(&self) -> bool {
        self.services
            .iter()
            .any(|(_, body)| body["state"] != "absent")
    }

    /// What is not well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (service, body) in &self.services {
            let name = service.name();
            match text(&body["state"]) {
                "ready" => {}
                "absent" => faults.push(format!("{name}: {}", text(&body["why"]))),
                _ => {
                    let missing = body["missing"].as_array().into_iter().flatten();
                    let missing: Vec<_> = missing.map(text).collect();
                    faults.push(format!("{name} is not ready: {}", missing.join("; ")));
                }
            }
            if let Some(count @ 1..) = body["parked"].as_u64() {
                faults.push(format!("{name} has dead letters: {count}"));
            }
        }
        if let (Some(at), error) = (self.backup.failed_at, &self.backup.error) {
            let why = error.as_deref().unwrap_or("no reason was noted");
            faults.push(format!("the last backup failed at {at}: {why}"));
        }
        faults
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut services = OutputTable::new(SERVICES, OutputFormat::Text);
        for (_, body) in &self.services {
            services.row(body, service_row)?;
        }
        let mut followers = OutputTable::new(FOLLOWERS, OutputFormat::Text);
        for (service, body) in &self.services {
            for follower in body["followers"].as_array().into_iter().flatten() {
                followers.row(follower, |one| follower_row(service.name(), one))?;
            }
        }
        let backup = match self.backup.succeeded_at {
            Some(at) => {
                let age = HumanDuration(model::now().since(at));
                format!("last backup {at}, {age} ago")
            }
            None => "no backup yet".to_owned(),
        };
        output::line!("{backup}");
        Ok(())
    }
}

async fn ask(folder: &Folder, service: ServiceName) -> Result<Value, String> {
    let socket = folder.control_socket(service.name());
    let response = control::ask(&socket, Method::GET, "/control/status");
    match tokio::time::timeout(TIMEOUT, response).await {
        Err(_) => Err(format!("no response within {} s", TIMEOUT.as_secs())),
        Ok(Err(error)) if control::is_at_rest(&error) => Err("it does not run".to_owned()),
        Ok(response) => {
            let accepted = response.and_then(control::ControlResponse::accepted);
            accepted
                .map(|response| response.body)
                .map_err(|error| format!("{error:#}"))
        }
    }
}

const SERVICES: &[Column] = &[
    ("SERVICE", 13),
    ("STATE", 9),
    ("VERSION", 8),
    ("UPTIME", 12),
    ("EVENTS", 8),
    ("STORE", 10),
    ("CACHE HITS", 10),
    ("DEAD LETTERS", 0),
];

fn service_row(body: &Value) -> Vec<String> {
    let uptime = body["uptime_seconds"].as_u64();
    let uptime = uptime.map(|seconds| HumanDuration(Duration::from_secs(seconds)).to_string());
    let store = body["store_bytes"].as_u64();
    let hits = body["cache"]["hit_rate"].as_f64();
    vec![
        text(&body["service"]).to_owned(),
        text(&body["state"]).to_owned(),
        text(&body["version"]).to_owned(),
        uptime.unwrap_or_default(),
        figure(&body["log"]["tail"]),
        store.map_or_else(String::new, |bytes| HumanBytes(bytes).to_string()),
        hits.map_or_else(String::new, |rate| format!("{:.1} %", rate * 100.0)),
        figure(&body["parked"]),
    ]
}

const FOLLOWERS: &[Column] = &[
    ("FOLLOWER", 32),
    ("STATE", 9),
    ("LAG", 6),
    ("DEAD LETTERS", 12),
    ("REASON", 0),
];

fn follower_row(service: &str, follower: &Value) -> Vec<String> {
    let (name, source) = (text(&follower["name"]), text(&follower["source"]));
    vec![
        format!("{service}: {name} of {source}"),
        text(&follower["state"]).to_owned(),
        figure(&follower["lag"]),
        figure(&follower["parked"]),
        text(&follower["why"]).to_owned(),
    ]
}

/// Prints the status of a shop.
pub(crate) async fn print(print: PrintStatus) -> anyhow::Result<()> {
    let folder = print.shop.folder("warn")?;
    let status = ShopStatus::read(&folder).await;
    if print.json {
        print_json(&status.document())?;
    } else {
        status.print()?;
    }
    let faults = status.faults();
    if !faults.is_empty() {
        if !print.json {
            for fault in &faults {
                output::line!("{} {fault}", "not well".red());
            }
        }
        bail!("the shop is not well");
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn figure(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(String::new, |figure| figure.to_string())
}
