//! Other shops, each by a small adapter: how it is started, filled and asked.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Measurement, SameRequest, YardstickRow};
use crate::cost::Subject;
use crate::daemon::{self, Daemon, free_address};
use crate::hosted::{EMAIL, PASSWORD};

/// Of each call that fills a shop.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Another shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// PocketBase: one binary over SQLite; `pocketbase` in the path.
    Pocketbase,
}

impl Peer {
    /// Reads of a product and orders, which hold no stock there.
    pub(super) async fn measure(
        self,
        measurement: &Measurement<'_>,
    ) -> anyhow::Result<Vec<YardstickRow>> {
        match self {
            Self::Pocketbase => pocketbase(measurement).await,
        }
    }
}

async fn pocketbase(measurement: &Measurement<'_>) -> anyhow::Result<Vec<YardstickRow>> {
    let data = format!("--dir={}", measurement.folder.join("data").display());
    let mut account = Command::new("pocketbase");
    account.args([&data, "superuser", "upsert", EMAIL, PASSWORD]);
    if daemon::output("pocketbase", account)?.is_none() {
        return Ok(Vec::new());
    }
    let address = free_address()?;
    let mut command = Command::new("pocketbase");
    command.args([&data, "serve", &format!("--http={address}")]);
    let Some(mut server) = Daemon::spawn("pocketbase", command)? else {
        return Ok(Vec::new());
    };
    server.listens(address).await?;
    let product = fill(address).await?;
    let subject = Subject::processes(&server.pids());
    let mut rows = Vec::new();
    let read = format!("/api/collections/products/records/{product}");
    let order = json!({ "product": product, "quantity": 1, "total": 1299 }).to_string();
    let read = SameRequest::get(&read);
    let path = "/api/collections/orders/records".to_owned();
    let order = SameRequest { path, body: Some(order) };
    for (operation, request) in [("product", read), ("order as one row, not synced", order)] {
        for connections in measurement.connections() {
            let plan = measurement.plan(address, &subject, connections);
            let row = YardstickRow::of_load("pocketbase", operation, plan, request.clone());
            rows.push(row.await?);
        }
    }
    Ok(rows)
}

/// Makes collections that everybody may read and order from, and a product; its id.
async fn fill(address: SocketAddr) -> anyhow::Result<String> {
    let http = Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?;
    let call = async |path: &str, token: &str, body: Value| -> anyhow::Result<Value> {
        let request = http
            .request(Method::POST, format!("http://{address}/api/{path}"))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, token)
            .body(body.to_string());
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    };
    let login = json!({ "identity": EMAIL, "password": PASSWORD });
    let login = call("collections/_superusers/auth-with-password", "", login).await?;
    let token = login["token"].as_str().context("no token")?;
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let products = [field("title", "text"), field("price", "number")];
    let orders = [
        field("product", "text"),
        field("quantity", "number"),
        field("total", "number"),
    ];
    for (name, fields) in [("products", &products[..]), ("orders", &orders[..])] {
        let collection = json!({
            "name": name, "type": "base", "fields": fields, "viewRule": "", "createRule": "",
        });
        call("collections", token, collection).await?;
    }
    let product = json!({ "title": "A lamp of brass", "price": 1299 });
    let product = call("collections/products/records", token, product).await?;
    Ok(product["id"].as_str().context("no id")?.to_owned())
}
