//! `konbini up`: the whole shop in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mesh::{Endpoints, Mesh, ZenohTransport};
use owo_colors::OwoColorize;

use crate::cli::Shop;
use crate::demo;
use crate::services::{Running, ServiceName};

/// Opens the shop and keeps it open until told otherwise.
pub(crate) async fn up(shop: &Shop, listen: Option<SocketAddr>, demo: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let (folder, config) = shop.open("info", listen)?;
    let endpoints = Endpoints::alone()
        .and_beyond(
            &config.mesh.listen,
            &config.mesh.connect,
            config.mutual_tls(),
        )
        .map_err(chassis::Error::from)?;
    let transport = Arc::new(
        ZenohTransport::open(&endpoints)
            .await
            .map_err(chassis::Error::from)?,
    );
    let mesh = Mesh::new(transport.clone(), folder.shop());
    let mut running = Running::start(&ServiceName::ALL, &folder, config, &mesh).await?;
    let seeded = if demo { Some(demo::seed(&folder).await?) } else { None };
    running.ready().await;
    let door = running
        .door()
        .map(|door| format!("http://{door}"))
        .unwrap_or_default();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    anstream::println!(
        "{} {} {}",
        "The shop is open at".bold(),
        door.green().bold(),
        format!(
            "(ready after {} ms, data in {})",
            started.elapsed().as_millis(),
            folder.path().display()
        )
        .dimmed(),
    );
    if let Some(seeded) = seeded {
        anstream::println!("{seeded}");
    }
    let outcome = running.until_told().await;
    transport.close().await;
    Ok(outcome?)
}
