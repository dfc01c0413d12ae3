//! `konbini keys`: the keys that sign access tokens, and giving them successors.

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
    ("COUNTS UNTIL", 0),
];

/// Arguments of `keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListKeys {
    #[command(flatten)]
    shop: ShopArgs,
    /// Answer with a JSON document a line, a key each.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    shop: ShopArgs,
    /// Refuse the old keys from now on, because somebody else may have one. Every
    /// access token ends; logins go on with their refresh tokens.
    #[arg(long)]
    at_once: bool,
    /// Answer with a JSON document a line, a key each.
    #[arg(long)]
    json: bool,
}

/// Lists the keys that count, newest first.
pub(crate) async fn list(list: ListKeys) -> anyhow::Result<()> {
    list.shop.require()?;
    let asked = async |folder: &Folder| {
        let answer = control::ask_users(folder, Method::GET, "/control/keys", None).await?;
        Ok(answer.accepted()?.body)
    };
    print(list.json, &control::with_users(&list.shop, asked).await?)
}

/// Puts a new key in the place of the present one, and lists what there is then.
pub(crate) async fn rotate(rotate: Rotate) -> anyhow::Result<()> {
    rotate.shop.require()?;
    let asked = async |folder: &Folder| {
        let body = json!({ "at_once": rotate.at_once });
        let path = "/control/keys/rotate";
        let answer = control::ask_users(folder, Method::POST, path, Some(body)).await?;
        Ok(answer.accepted()?.body)
    };
    let body = control::with_users(&rotate.shop, asked).await?;
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
