//! `konbini up`: the whole shop in one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use chassis::Folder;
use mesh::ZenohEndpoints;
use owo_colors::OwoColorize;

use crate::config::ShopConfig;
use crate::control;
use crate::demo::{self, Plan};
use crate::output;
use crate::service_name::ServiceName;
use crate::services::{Running, Signals, handle_signals, join};
use crate::shop::{ServeArgs, ShopArgs, check_owner};
use crate::systemd;
use crate::upgrade;

/// Runs the shop until a stop is requested.
pub(crate) async fn up(serve: &ServeArgs, demo: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let Signals { stop, hangup } = handle_signals()?;
    upgrade::at_start(&serve.shop).await?;
    let (folder, mut config) = serve.shop.open_or_create("info", serve.listen)?;
    check_owner(&folder)?;
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
        systemd::ready(running.supervision(), hangup);
        greet(&running, scheme, &folder, started);
        output::line!("{}", demo.message(&folder).trim_end());
        let listen = running.address().unwrap_or(config.gateway.listen);
        print_set_up_link(&folder, &config, listen).await;
    }
    let outcome = running.until_stopped().await;
    joined.leave().await;
    Ok(outcome?)
}

fn greet(running: &Running, scheme: &str, folder: &Folder, started: Instant) {
    let url = running
        .address()
        .map(|address| format!("{scheme}://{address}"))
        .unwrap_or_default();
    let took = started.elapsed().as_millis();
    let data = folder.path().display();
    output::line!(
        "{} {} {}",
        "The shop is open at".bold(),
        url.green().bold(),
        format!("(ready after {took} ms, data in {data})").dimmed(),
    );
}

/// Prints the link with which the first admin is made, as long as there is none.
///
/// It goes to standard output and not through the log, which may be sent elsewhere. Under
/// systemd that is the journal, where the operator of a new shop looks first; its readers can
/// use the link for half an hour, and once.
async fn print_set_up_link(folder: &Folder, config: &ShopConfig, listen: SocketAddr) {
    let users = folder.control_socket("users");
    let made = control::post(&users, "/control/setup-link", "application/json", "").await;
    let token = made
        .as_ref()
        .ok()
        .and_then(|made| made.body["token"].as_str());
    match (token, &made) {
        (Some(token), _) => output::line!(
            "  {}  {}/_/#setup={token}  {}",
            "make the first admin".bold(),
            config.web_address(reachable(listen)),
            "(good once, for 30 minutes)".dimmed(),
        ),
        // There is an admin.
        (None, Ok(_)) => {}
        (None, Err(error)) => tracing::warn!(%error, "no set-up link could be made"),
    }
}

/// The address as a browser on this host can use it.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

/// `konbini init`: makes a shop, for hosts on which `konbini run` starts it.
pub(crate) fn init(shop: &ShopArgs) -> anyhow::Result<()> {
    let (folder, _) = shop.open_or_create("warn", None)?;
    output::line!("the data folder of the shop is {}", folder.path().display());
    Ok(())
}

/// `konbini run SERVICE`: runs one service in this process until it is stopped. The order
/// in which the services start does not matter.
pub(crate) async fn run(service: ServiceName, serve: &ServeArgs) -> anyhow::Result<()> {
    let Signals { stop, hangup } = handle_signals()?;
    upgrade::at_start(&serve.shop).await?;
    let (folder, config) = serve.shop.open("info", serve.listen)?;
    check_owner(&folder)?;
    let sockets = folder.data_dir("mesh")?;
    let here = ZenohEndpoints::on_this_host(&sockets, Some(service.name()), &service.before())
        .map_err(chassis::Error::from)?;
    let joined = join(here, &config, &folder).await?;
    let running = Running::start(&[service], &folder, &config, &joined.mesh, stop).await?;
    // Ready means that the service listens. Whether it has caught up is for /readyz: under
    // systemd the services would otherwise wait for one another.
    systemd::ready(running.supervision(), hangup);
    if service == ServiceName::Users {
        print_set_up_link(&folder, &config, config.gateway.listen).await;
    }
    let outcome = running.until_stopped().await;
    joined.leave().await;
    Ok(outcome?)
}
