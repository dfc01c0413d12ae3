//! `konbini accept-rollback`: goes on with a service whose data is older than what other
//! services have seen of it.
//!
//! A service that was put back from a copy lacks its newest events, and the services that
//! had applied them stop following it. Restoring the newer data mends that; without it, this
//! command does: followers go back to where both histories agree, and what hangs is settled.

use anyhow::{Context, bail};
use chassis::Folder;
use clap::Args;
use hyper::Method;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::control;
use crate::output;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::print_json;

/// Go on with a service that was restored from an older copy and whose newer data is gone.
///
/// Other services may have seen events that it no longer has; they stopped following it and
/// go on now. Reservations of orders that it lost are released. When users was rolled back,
/// all signing keys are replaced, so that everybody logs in again.
#[derive(Debug, Args)]
pub(crate) struct AcceptRollback {
    /// The service that was rolled back.
    service: ServiceName,
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// A follower that has seen events which its source no longer has.
struct Ahead {
    service: &'static str,
    follower: String,
    seq: u64,
}

/// Accepts the rollback and prints what was lost.
pub(crate) async fn accept(accept: AcceptRollback) -> anyhow::Result<()> {
    let (service, shop) = (accept.service, &accept.shop);
    let end = control::with(service, shop, async |folder: &Folder| {
        Ok(positions(folder, service).await?["log"]["seq"].clone())
    });
    let end = end
        .await?
        .as_u64()
        .context("the service told no position")?;
    let ahead = ahead(shop, service).await?;
    if ahead.is_empty() {
        bail!(
            "no service has seen more of {} than it has (its log ends at event {end}); nothing was changed",
            service.name()
        );
    }
    control::with(service, shop, async |folder: &Folder| {
        let path = "/control/accept-rollback";
        let socket = folder.control_socket(service.name());
        control::ask(&socket, Method::POST, path)
            .await?
            .accepted()?;
        if service == ServiceName::Users {
            let body = json!({ "at_once": true });
            let path = "/control/keys/rotate";
            control::ask_users(folder, Method::POST, path, Some(body))
                .await?
                .accepted()?;
        }
        Ok(())
    })
    .await?;
    report(&accept, end, &ahead)
}

/// The followers of `source` whose cursor its log does not have.
async fn ahead(shop: &ShopArgs, source: ServiceName) -> anyhow::Result<Vec<Ahead>> {
    let mut ahead = Vec::new();
    for service in ServiceName::ALL {
        let positions = control::with(service, shop, async |folder: &Folder| {
            positions(folder, service).await
        });
        let positions = positions.await?;
        for follower in positions["followers"].as_array().into_iter().flatten() {
            if follower["source"] != source.name() {
                continue;
            }
            let seq = follower["seq"].as_u64().unwrap_or_default();
            let hash = control::with(source, shop, async |folder: &Folder| {
                hash_at(folder, source, seq).await
            });
            if seq > 0 && hash.await? != follower["hash"] {
                let follower = follower["follower"].as_str().unwrap_or_default().to_owned();
                ahead.push(Ahead { service: service.name(), follower, seq });
            }
        }
    }
    Ok(ahead)
}

/// The positions of a service.
pub(crate) async fn positions(folder: &Folder, service: ServiceName) -> anyhow::Result<Value> {
    let socket = folder.control_socket(service.name());
    let response = control::ask(&socket, Method::GET, "/control/positions").await?;
    Ok(response.accepted()?.body)
}

/// The hash of an event of a service's log, or `null`.
pub(crate) async fn hash_at(
    folder: &Folder,
    service: ServiceName,
    seq: u64,
) -> anyhow::Result<Value> {
    let socket = folder.control_socket(service.name());
    let path = format!("/control/log/{seq}");
    Ok(control::ask(&socket, Method::GET, &path)
        .await?
        .accepted()?
        .body)
}

fn report(accept: &AcceptRollback, end: u64, ahead: &[Ahead]) -> anyhow::Result<()> {
    let service = accept.service.name();
    if accept.json {
        let ahead = ahead
            .iter()
            .map(|one| json!({ "service": one.service, "follower": one.follower, "seq": one.seq }));
        let ahead: Vec<_> = ahead.collect();
        return print_json(&json!({ "service": service, "end": end, "ahead": ahead }));
    }
    output::line!("{} goes on from event {end}", service.bold());
    for one in ahead {
        output::line!(
            "  {} ({}) had seen events of it up to {}",
            one.service.bold(),
            one.follower,
            one.seq
        );
    }
    if accept.service == ServiceName::Users {
        output::line!("  all signing keys were replaced; everybody logs in again");
    }
    Ok(())
}
