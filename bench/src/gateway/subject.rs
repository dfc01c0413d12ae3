//! The gateway under test: `konbini run users` and `konbini run gateway` on a mesh where
//! the upstream is announced in the place of the other services.
//!
//! **Invariant:** it is measured only once it serves from its cache.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh::{Instance, Log, Mesh, Presence, Source, ZenohEndpoints, ZenohTransport};
use reqwest::Url;
use reqwest::header::AGE;
use serde_json::Value;
use store::Store;
use tempfile::TempDir;
use testkit::shop::Shop;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{Endpoint, EndpointName, PRODUCT, upstream};
use crate::client::{Credentials, ShopClient};

const EMAIL: &str = "endpoints@shop.example";
const PASSWORD: &str = "a kettle and three lamps";

/// Everything a gateway can be asked to do for a request, with bounds that are
/// counted and never reached.
const EVERYTHING: &str = "[gateway]
access_log = true

[gateway.limits]
user_per_second = 1000000
user_burst = 1000000
";

/// The work of a gateway for each request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GatewayWork {
    /// No token, no limits and no access log.
    Bare,
    /// A token, and everything in [`EVERYTHING`].
    Full,
}

/// A gateway and the services behind it. Dropping it ends them.
pub(super) struct GatewaySubject {
    shop: Shop,
    address: SocketAddr,
    token: Option<String>,
    _unchanged: Unchanged,
    // Gone with the mesh if that is dropped first.
    _played: Vec<Presence>,
    _mesh: Mesh,
}

impl GatewaySubject {
    /// Opens a shop of which only users and the gateway are real.
    pub(super) async fn open(
        binary: Option<PathBuf>,
        upstream: SocketAddr,
        work: GatewayWork,
    ) -> anyhow::Result<Self> {
        let mut shop = Shop::new(binary)?;
        shop.add_user(EMAIL, "customer", PASSWORD)?;
        if work == GatewayWork::Full {
            shop.configure(EVERYTHING)?;
        }
        shop.start("users")?;
        let mesh = join(&shop.data()).await?;
        let mut played = Vec::new();
        for service in ["products", "orders", "notifications"] {
            played.push(Presence::declare(&mesh, &Instance::new(service, upstream)).await?);
        }
        let unchanged = Unchanged::begin(&mesh).await?;
        shop.start("gateway")?;
        shop.ready().await?;
        kept(shop.url(upstream::CACHEABLE)).await?;
        let address = shop.address();
        let client = ShopClient::new(shop.url("/"))?;
        let account = Credentials::new(EMAIL.into(), PASSWORD.into());
        let token = if work == GatewayWork::Full {
            Some(client.renew(&account, "").await?)
        } else {
            None
        };
        Ok(Self {
            shop,
            address,
            token,
            _unchanged: unchanged,
            _played: played,
            _mesh: mesh,
        })
    }

    /// Its endpoints.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let pids: Vec<u32> = self.shop.pid("gateway").into_iter().collect();
        let endpoint = |name, path, token| Endpoint {
            name,
            address: self.address,
            path,
            token,
            pids: pids.clone(),
        };
        match self.token.clone() {
            Some(token) => vec![endpoint(EndpointName::Full, PRODUCT, Some(token))],
            None => vec![
                endpoint(EndpointName::Bare, PRODUCT, None),
                endpoint(EndpointName::Cached, upstream::CACHEABLE, None),
            ],
        }
    }
}

/// An announced log of products without events: while it is followed, the gateway serves
/// from its cache.
struct Unchanged {
    _stop: DropGuard,
    _folder: TempDir,
}

impl Unchanged {
    async fn begin(mesh: &Mesh) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(folder.path(), &store::Options::default())?;
        let log = Log::open(store, "products", model::now()).await?;
        let stop = CancellationToken::new();
        let source = Source::new(log, mesh.clone());
        source.start(&TaskTracker::new(), stop.clone()).await?;
        Ok(Self { _stop: stop.drop_guard(), _folder: folder })
    }
}

/// Returns when the gateway answers from its cache: only such an answer has an age.
async fn kept(url: Url) -> anyhow::Result<()> {
    let asking = async {
        while !reqwest::get(url.clone()).await?.headers().contains_key(AGE) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), asking).await;
    asked.context("the gateway answers nothing from its cache")?
}

/// Joins the shop's mesh where products would.
async fn join(data: &Path) -> anyhow::Result<Mesh> {
    let marker = std::fs::read(data.join("SHOP")).context("the shop's folder has no marker")?;
    let marker: Value = serde_json::from_slice(&marker)?;
    let name = marker["shop"]
        .as_str()
        .context("the marker names no shop")?;
    // The first process to join the mesh makes the folder, for its owner alone.
    let sockets = data.join("mesh");
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&sockets);
    made.with_context(|| format!("cannot make {}", sockets.display()))?;
    let here = ZenohEndpoints::on_this_host(&sockets, Some("products"), &["users"])?;
    let transport = ZenohTransport::open(&here).await?;
    Ok(Mesh::new(Arc::new(transport), name))
}
