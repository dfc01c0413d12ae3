//! Other shops, each by a small adapter: how it is started, filled and asked.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use http::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Measurement, WARM_UP, YardstickRow};
use crate::cost::Subject;
use crate::daemon::{Daemon, free_address, skip};
use crate::load::{Judgement, LoadOperation, LoadPlan, LoadRequest, LoadTarget, Requests};

const EMAIL: &str = "staff@bench.example";
/// It protects nothing: the shop is gone with this program.
const PASSWORD: &str = "a kettle and three lamps";

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
        measurement: &Measurement,
    ) -> anyhow::Result<Vec<YardstickRow>> {
        match self {
            Self::Pocketbase => pocketbase(measurement).await,
        }
    }
}

async fn pocketbase(measurement: &Measurement) -> anyhow::Result<Vec<YardstickRow>> {
    let data = format!("--dir={}", measurement.path().join("data").display());
    let made = Command::new("pocketbase")
        .args([&data, "superuser", "upsert", EMAIL, PASSWORD])
        .output();
    let made = match made {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip("pocketbase");
            return Ok(Vec::new());
        }
        made => made?,
    };
    let complaint = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "pocketbase failed: {complaint}");
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
    for (operation, path, body) in [
        ("product", read.as_str(), None),
        (
            "order as one row",
            "/api/collections/orders/records",
            Some(order),
        ),
    ] {
        for connections in [1, measurement.connections] {
            let plan = LoadPlan {
                warm_up: WARM_UP,
                measured: Some(measurement.lasting),
                subject: subject.clone(),
                ..LoadPlan::closed(LoadTarget::plain(address), connections.into())
            };
            let requests = PeerRequests { path: path.to_owned(), body: body.clone() };
            let (_, measured) = plan.run(requests).await?;
            measured.ensure_expected(operation)?;
            let run = measured.result("yardsticks", None);
            rows.push(YardstickRow::of_run("pocketbase", operation, &run)?);
        }
    }
    Ok(rows)
}

/// Makes collections that everybody may read and order from, and a product; its id.
async fn fill(address: SocketAddr) -> anyhow::Result<String> {
    let http = Client::builder().no_proxy().build()?;
    let call = async |path: &str, token: &str, body: Value| -> anyhow::Result<Value> {
        let request = http
            .request(Method::POST, format!("http://{address}/api/{path}"))
            .header(CONTENT_TYPE, "application/json")
            .header("authorization", token)
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

/// The same request again and again.
struct PeerRequests {
    path: String,
    body: Option<String>,
}

impl Requests for PeerRequests {
    fn kinds(&self) -> Vec<String> {
        vec!["peer".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        match &self.body {
            None => request.get(&self.path),
            Some(body) => request.post(&self.path, format_args!("{body}")),
        };
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let response = operation.response.as_ref();
        Judgement::of(response.is_ok_and(|answer| answer.status == 200))
    }
}
