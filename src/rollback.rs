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
use serde_json::json;

use crate::control;
use crate::output;
use crate::positions::{Ahead, ahead, positions, with_data};
use crate::reservations::{self, Compared};
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
    let of_stock = [ServiceName::Orders, ServiceName::Products];
    let has_data = |service: &ServiceName| known.iter().any(|(one, _)| one == service);
    let hanging = match of_stock.contains(&service) && of_stock.iter().all(has_data) {
        true => reservations::compare(shop).await?,
        false => Compared::default(),
    };
    if ahead.is_empty() && hanging.is_settled() {
        bail!(
            "no service has seen more of {} than it has (its log ends at event {end}), and its stock agrees; nothing was changed",
            service.name()
        );
    }
    if !ahead.is_empty() {
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
    }
    if !hanging.is_settled() {
        reservations::settle(shop, &hanging).await?;
    }
    report(&accept, end, &ahead, &hanging)
}

fn report(
    accept: &AcceptRollback,
    end: u64,
    ahead: &[Ahead],
    hanging: &Compared,
) -> anyhow::Result<()> {
    let service = accept.service.name();
    if accept.json {
        let ahead = ahead
            .iter()
            .map(|one| json!({ "service": one.service, "follower": one.follower, "seq": one.seq }));
        let ahead: Vec<_> = ahead.collect();
        return print_json(
            &json!({ "service": service, "end": end, "ahead": ahead, "settled": hanging.faults() }),
        );
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
    for order in &hanging.unknown {
        output::line!("  {order} is lost; its stock is released");
    }
    for (order, status) in &hanging.ended {
        let what = match status.as_str() {
            "shipped" | "delivered" => "products still holds its stock: adjust that by hand",
            _ => "its stock is released",
        };
        output::line!("  {order} is {status}; {what}");
    }
    for (order, status) in &hanging.without {
        output::line!("  {order} is {status}; its stock is to be reserved again");
    }
    if accept.service == ServiceName::Users {
        output::line!("  all signing keys were replaced; everybody logs in again");
    }
    Ok(())
}
