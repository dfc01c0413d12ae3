//! `konbini up`: the whole shop in one process.

use std::net::SocketAddr;
use std::time::Instant;

use chassis::Folder;
use mesh::ZenohEndpoints;
use owo_colors::OwoColorize;

use crate::cli::Shop;
use crate::demo::{self, Plan};
use crate::services::{Running, ServiceName, join, stop_on_signal};

/// Opens the shop and keeps it open until told otherwise.
pub(crate) async fn up(shop: &Shop, listen: Option<SocketAddr>, demo: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let stop = stop_on_signal()?;
    let (folder, mut config) = shop.open("info", listen)?;
    let joined = join(ZenohEndpoints::alone(), &config, &folder).await?;
    let demo = if demo { demo::plan(&folder)? } else { Plan::Leave };
    config.mail.print_codes |= demo.is_tried_out();
    let scheme = if config.gateway.is_secure() { "https" } else { "http" };
    let mut running = Running::start(
        &ServiceName::ALL,
        &folder,
        &config,
        &joined.mesh,
        stop.clone(),
    )
    .await?;
    if let Some(seeded) = stop.run_until_cancelled(demo::follow(&demo, &folder)).await {
        seeded?;
    }
    running.ready().await?;
    if !stop.is_cancelled() {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        greet(&running, scheme, &folder, started);
        anstream::print!("{}", demo.words(&folder));
    }
    let outcome = running.until_told().await;
    joined.leave().await;
    Ok(outcome?)
}

fn greet(running: &Running, scheme: &str, folder: &Folder, started: Instant) {
    let door = running
        .door()
        .map(|door| format!("{scheme}://{door}"))
        .unwrap_or_default();
    let took = started.elapsed().as_millis();
    let data = folder.path().display();
    anstream::println!(
        "{} {} {}",
        "The shop is open at".bold(),
        door.green().bold(),
        format!("(ready after {took} ms, data in {data})").dimmed(),
    );
}
