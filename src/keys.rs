//! `konbini keys`: lists and rotates the keys that sign access tokens.

use chassis::Folder;
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use crate::control;
use crate::shop::ShopArgs;
use crate::table::{Column, OutputFormat, OutputTable};

const COLUMNS: &[Column] = &[
    ("KEY", 51),
    ("STATUS", 8),
    ("SIGNS FROM", 24),
    ("VALID UNTIL", 0),
];

/// Arguments of `keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListKeys {
    #[command(flatten)]
    shop: ShopArgs,
    /// Print one JSON document per line, one per key.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    shop: ShopArgs,
    /// Revoke the old keys at once, for example after a leak. Every access token becomes
    /// invalid; sessions go on with their refresh tokens.
    #[arg(long)]
    at_once: bool,
    /// Print one JSON document per line, one per key.
    #[arg(long)]
    json: bool,
}

/// Lists the valid keys, newest first.
pub(crate) async fn list(list: ListKeys) -> anyhow::Result<()> {
    let request = async |folder: &Folder| {
        let response = control::ask_users(folder, Method::GET, "/control/keys", None).await?;
        Ok(response.accepted()?.body)
    };
    print(list.json, &control::with_users(&list.shop, request).await?)
}

/// Replaces the signing key by a new one, and lists the valid keys.
pub(crate) async fn rotate(rotate: Rotate) -> anyhow::Result<()> {
    let request = async |folder: &Folder| {
        let body = json!({ "at_once": rotate.at_once });
        let path = "/control/keys/rotate";
        let response = control::ask_users(folder, Method::POST, path, Some(body)).await?;
        Ok(response.accepted()?.body)
    };
    let body = control::with_users(&rotate.shop, request).await?;
    print(rotate.json, &body)
}

fn print(as_json: bool, body: &Value) -> anyhow::Result<()> {
    let mut table = OutputTable::new(COLUMNS, OutputFormat::by_flag(as_json));
    let mut keys = body["keys"].as_array().into_iter().flatten();
    keys.try_for_each(|key| table.row(key, row))
}

fn row(key: &Value) -> Vec<String> {
    let text = |name: &str| key[name].as_str().unwrap_or("").to_owned();
    vec![
        text("kid"),
        text("status"),
        text("signs_from"),
        text("until"),
    ]
}
