//! `konbini run SERVICE`: one service in its own process.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh::{Endpoints, Mesh, ZenohTransport};

use crate::cli::Shop;
use crate::services::{Running, ServiceName, stop_on_signal};

/// Runs `service` until told otherwise. It may be started before, after or
/// without the others.
pub(crate) async fn run(
    service: ServiceName,
    shop: &Shop,
    listen: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let (folder, config) = shop.open("info", listen)?;
    let sockets = folder.room("mesh")?;
    let endpoints = Endpoints::on_this_host(&sockets, Some(service.name()), &service.before())
        .and_then(|here| {
            here.and_beyond(
                &config.mesh.listen,
                &config.mesh.connect,
                config.mutual_tls(),
            )
        })
        .map_err(chassis::Error::from)?;
    let transport = Arc::new(
        ZenohTransport::open(&endpoints)
            .await
            .map_err(chassis::Error::from)?,
    );
    let mesh = Mesh::new(transport.clone(), folder.shop());
    let running = Running::start(&[service], &folder, config, &mesh, stop).await?;
    // Ready means that it serves. Whether it has caught up with the others is for
    // /readyz: under systemd they wait for one another's start otherwise.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let outcome = running.until_told().await;
    transport.close().await;
    Ok(outcome?)
}
