//! `konbini run SERVICE`: one service in its own process.

use std::net::SocketAddr;

use mesh::ZenohEndpoints;

use crate::cli::Shop;
use crate::services::{Running, ServiceName, join, stop_on_signal};

/// Runs `service` until told otherwise. It may be started before, after or
/// without the others.
pub(crate) async fn run(
    service: ServiceName,
    shop: &Shop,
    listen: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let (folder, config) = shop.open("info", listen)?;
    let sockets = folder.data_dir("mesh")?;
    let here = ZenohEndpoints::on_this_host(&sockets, Some(service.name()), &service.before())
        .map_err(chassis::Error::from)?;
    let joined = join(here, &config, &folder).await?;
    let running = Running::start(&[service], &folder, &config, &joined.mesh, stop).await?;
    // Ready means that it serves. Whether it has caught up with the others is for
    // /readyz: under systemd they wait for one another's start otherwise.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let outcome = running.until_told().await;
    joined.leave().await;
    Ok(outcome?)
}
