//! `--demo`: a small catalogue and a customer, so that an empty shop can be tried.
//!
//! **Invariant:** only a new shop is filled, and only once; an interrupted filling is
//! resumed at the next start.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chassis::Folder;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::control::{self, ControlResponse};

/// Two hundred invented products in ten categories.
const CATALOGUE: &str = include_str!("demo/catalogue.jsonl");
const EMAIL: &str = "demo@konbini.example";
/// The password is public: the account has no more rights than any new customer.
const PASSWORD: &str = "welcome to konbini";

/// The file that marks a data folder as a demo, with the state of its filling.
const MARKER: &str = "DEMO";
const BEGUN: &str = "the demo catalogue is being filled in\n";
const DONE: &str = "filled with the demo catalogue\n";

/// The effect of `--demo` on this data folder.
pub(crate) enum Plan {
    /// None, because it was not requested.
    Leave,
    /// The folder is filled, because it is new or its filling was interrupted.
    Fill,
    /// The folder was filled before.
    Filled,
    /// The folder has other data, and is not changed.
    Decline,
}

/// Decides before any service is opened, because opening creates its `data_dir`.
pub(crate) fn plan(folder: &Folder) -> anyhow::Result<Plan> {
    let marker = marker(folder);
    match std::fs::read_to_string(&marker) {
        Ok(text) if text == DONE => Ok(Plan::Filled),
        Ok(_) => Ok(Plan::Fill),
        Err(_) if folder.path().join("products").exists() => Ok(Plan::Decline),
        Err(_) => {
            write_synced(&marker, BEGUN).with_context(|| marker.display().to_string())?;
            Ok(Plan::Fill)
        }
    }
}

/// Fills the shop, if that is the plan.
pub(crate) async fn follow(plan: &Plan, folder: &Folder) -> anyhow::Result<()> {
    let Plan::Fill = plan else { return Ok(()) };
    let customer = json!({
        "email": EMAIL,
        "name": "Demo Customer",
        "password": PASSWORD,
        "roles": ["customer"],
    });
    let users = folder.control_socket("users");
    control::post(
        &users,
        "/control/users",
        "application/json",
        customer.to_string(),
    )
    .await
    .and_then(ControlResponse::accepted)
    .context("the demo customer cannot be created")?;
    let products = folder.control_socket("products");
    control::post(
        &products,
        "/control/import",
        "application/x-ndjson",
        CATALOGUE,
    )
    .await
    .and_then(ControlResponse::accepted)
    .context("the demo catalogue cannot be imported")?;
    let marker = marker(folder);
    write_synced(&marker, DONE).with_context(|| marker.display().to_string())
}

impl Plan {
    /// Whether the shop is a demo.
    pub(crate) fn is_tried_out(&self) -> bool {
        matches!(self, Self::Fill | Self::Filled)
    }

    /// The lines that are printed once the shop is ready.
    pub(crate) fn message(&self, folder: &Folder) -> String {
        let mut message = String::new();
        let data = folder.path().display();
        // Writing to a string succeeds.
        let _ = match self {
            Self::Leave => Ok(()),
            Self::Fill | Self::Filled => writeln!(
                message,
                "  {}  {EMAIL} / {PASSWORD}\n  {}  konbini user add --data {data} --email you@example.com --role admin",
                "customer".bold(),
                "an admin".bold(),
            ),
            Self::Decline => writeln!(
                message,
                "  {} fills only a new shop; this one has data already and was not changed",
                "--demo".bold(),
            ),
        };
        message
    }
}

fn marker(folder: &Folder) -> PathBuf {
    folder.path().join(MARKER)
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
