//! `--demo`: a small catalogue and a customer, so that an empty shop can be tried.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use chassis::Folder;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::control;

/// Two hundred invented products in ten categories.
const CATALOGUE: &str = include_str!("demo/catalogue.jsonl");
const EMAIL: &str = "demo@konbini.example";
/// No secret: this account may do what anybody may who registers.
const PASSWORD: &str = "welcome to konbini";
/// Says that the folder was filled, so that a second start changes nothing.
const MARKER: &str = "DEMO";

/// What to tell whoever started it.
pub(crate) struct Seeded {
    data: PathBuf,
}

/// Fills the shop, once.
pub(crate) async fn seed(folder: &Folder) -> anyhow::Result<Seeded> {
    let marker = folder.path().join(MARKER);
    if !marker.exists() {
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
        .and_then(control::Answer::accepted)
        .context("the demo customer")?;
        let products = control::socket(folder, "products");
        control::post(
            &products,
            "/control/import",
            "application/x-ndjson",
            CATALOGUE,
        )
        .await
        .and_then(control::Answer::accepted)
        .context("the demo catalogue")?;
        std::fs::write(&marker, "filled with the demo catalogue\n")
            .with_context(|| marker.display().to_string())?;
    }
    Ok(Seeded { data: folder.path().to_owned() })
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}  {EMAIL} / {PASSWORD}", "customer".bold())?;
        write!(
            f,
            "  {}  konbini user add --data {} --email you@example.com --role admin",
            "an admin".bold(),
            self.data.display(),
        )
    }
}
