//! `--demo`: a small catalogue and a customer, so that an empty shop can be tried.
//!
//! **Invariant:** only a shop that has nothing yet is filled, and only once; a
//! filling that was cut off goes on at the next start.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chassis::Folder;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::control::{self, Answer};

/// Two hundred invented products in ten categories.
const CATALOGUE: &str = include_str!("demo/catalogue.jsonl");
const EMAIL: &str = "demo@konbini.example";
/// No secret: this account may do what anybody may who registers.
const PASSWORD: &str = "welcome to konbini";

/// In a folder that is, or was, being filled.
const MARKER: &str = "DEMO";
const BEGUN: &str = "the demo catalogue is being filled in\n";
const DONE: &str = "filled with the demo catalogue\n";

/// What a demo means for this folder.
pub(crate) enum Plan {
    /// Nothing was asked for.
    Leave,
    /// It is new, or its filling was cut off.
    Fill,
    /// It was filled before.
    Filled,
    /// It has a life of its own and is not touched.
    Decline,
}

/// Decides before anything is opened, since opening makes rooms.
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
    let users = control::socket(folder, "users");
    control::post(
        &users,
        "/control/users",
        "application/json",
        customer.to_string(),
    )
    .await
    .and_then(Answer::accepted)
    .context("the demo customer")?;
    let products = control::socket(folder, "products");
    control::post(
        &products,
        "/control/import",
        "application/x-ndjson",
        CATALOGUE,
    )
    .await
    .and_then(Answer::accepted)
    .context("the demo catalogue")?;
    let marker = marker(folder);
    write_synced(&marker, DONE).with_context(|| marker.display().to_string())
}

impl Plan {
    /// Whether the shop is one to be tried out, without secrets.
    pub(crate) fn is_tried_out(&self) -> bool {
        matches!(self, Self::Fill | Self::Filled)
    }

    /// What to tell whoever started it.
    pub(crate) fn words(&self, folder: &Folder) -> String {
        let mut words = String::new();
        let data = folder.path().display();
        // Writing to a string succeeds.
        let _ = match self {
            Self::Leave => Ok(()),
            Self::Fill | Self::Filled => writeln!(
                words,
                "  {}  {EMAIL} / {PASSWORD}\n  {}  konbini user add --data {data} --email you@example.com --role admin",
                "customer".bold(),
                "an admin".bold(),
            ),
            Self::Decline => writeln!(
                words,
                "  {} fills only a shop that is new; this one was left as it is",
                "--demo".bold(),
            ),
        };
        words
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
