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

/// A follower that has applied events which its source no longer has.
pub(crate) struct Ahead {
    pub(crate) service: &'static str,
    /// Its name and its source, `main/orders`.
    pub(crate) follower: String,
    pub(crate) source: ServiceName,
    /// The last event that it applied.
    pub(crate) seq: u64,
}

/// The services that have run on this folder.
pub(crate) fn with_data(folder: &Folder) -> impl Iterator<Item = ServiceName> {
    let has_data =
        |service: &ServiceName| folder.path().join(service.name()).join("store").exists();
    ServiceName::ALL.into_iter().filter(has_data)
}

/// Accepts the rollback and prints what was lost.
pub(crate) async fn accept(accept: AcceptRollback) -> anyhow::Result<()> {
    let (service, shop) = (accept.service, &accept.shop);
    let (folder, _) = shop.open("warn", None)?;
    let mut known = Vec::new();
    for one in with_data(&folder) {
        let asked = control::with(one, shop, async |folder: &Folder| {
            positions(folder, one).await
        });
        known.push((one, asked.await?));
    }
    let own = known.iter().find(|(one, _)| *one == service);
    let end = own.and_then(|(_, own)| own["log"]["seq"].as_u64());
    let end = end.with_context(|| format!("{} has no data in this folder", service.name()))?;
    let (_, mut ahead) = ahead(shop, &known).await?;
    ahead.retain(|one| one.source == service);
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

/// Compares the cursor of each follower with its source's log: the number of cursors, and
/// those that the log does not have. Positions of a running shop are of different moments, so
/// a cursor that is not at the known end is looked up in the source's log.
pub(crate) async fn ahead(
    shop: &ShopArgs,
    positions: &[(ServiceName, Value)],
) -> anyhow::Result<(usize, Vec<Ahead>)> {
    let (mut compared, mut ahead) = (0, Vec::new());
    for (service, own) in positions {
        for follower in own["followers"].as_array().into_iter().flatten() {
            let is_source =
                |(source, _): &&(ServiceName, Value)| follower["source"] == source.name();
            let Some((source, of_source)) = positions.iter().find(is_source) else {
                continue;
            };
            compared += 1;
            let (source, seq) = (*source, follower["seq"].as_u64().unwrap_or_default());
            if seq == 0 || of_source["log"]["hash"] == follower["hash"] {
                continue;
            }
            let hash = control::with(source, shop, async |folder: &Folder| {
                hash_at(folder, source, seq).await
            });
            if hash.await? != follower["hash"] {
                let follower = follower["follower"].as_str().unwrap_or_default().to_owned();
                ahead.push(Ahead { service: service.name(), follower, source, seq });
            }
        }
    }
    Ok((compared, ahead))
}

/// The positions of a service.
pub(crate) async fn positions(folder: &Folder, service: ServiceName) -> anyhow::Result<Value> {
    let socket = folder.control_socket(service.name());
    let response = control::ask(&socket, Method::GET, "/control/positions").await?;
    Ok(response.accepted()?.body)
}

/// The hash of an event of a service's log, or `null`.
async fn hash_at(folder: &Folder, service: ServiceName, seq: u64) -> anyhow::Result<Value> {
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
