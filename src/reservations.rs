//! The comparison of orders with the reservations of products, which no service can make
//! alone.
//!
//! An order that is confirmed or paid holds stock, and no other does. Both services are read
//! one after the other, while they may be running.
//!
//! **Invariant:** what is reported was so at one moment: an order is read again after the
//! reservations, and reservations again once products has applied what orders had published.

use std::collections::{BTreeMap, BTreeSet};

use chassis::Folder;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control;
use crate::positions::positions;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;

/// The orders whose statuses are asked for at once.
const ASKED_AT_ONCE: usize = 5_000;

/// The statuses of orders that hold stock.
const HOLDING: [&str; 2] = ["confirmed", "paid"];

/// The differences between orders and reservations.
#[derive(Default)]
pub(crate) struct Compared {
    /// The orders and reservations that were compared.
    pub(crate) count: usize,
    /// Orders that have a reservation and do not exist.
    pub(crate) unknown: Vec<String>,
    /// Orders that have a reservation and, by their status, hold none.
    pub(crate) ended: Vec<(String, String)>,
    /// Orders that are confirmed or paid and have no reservation.
    pub(crate) without: Vec<(String, String)>,
}

impl Compared {
    /// Whether there is no difference.
    pub(crate) fn is_settled(&self) -> bool {
        self.unknown.is_empty() && self.ended.is_empty() && self.without.is_empty()
    }

    /// A line for each difference.
    pub(crate) fn faults(&self) -> Vec<String> {
        let unknown = self
            .unknown
            .iter()
            .map(|id| format!("products holds stock for {id}, which orders does not have"));
        let ended = self
            .ended
            .iter()
            .map(|(id, status)| format!("products holds stock for {id}, which is {status}"));
        let without = self
            .without
            .iter()
            .map(|(id, status)| format!("products holds no stock for {id}, which is {status}"));
        unknown.chain(ended).chain(without).collect()
    }
}

/// Has orders publish what ends the differences.
pub(crate) async fn settle(shop: &ShopArgs, compared: &Compared) -> anyhow::Result<()> {
    let ended = compared
        .ended
        .iter()
        .chain(&compared.without)
        .map(|(id, _)| id);
    let ids: Vec<_> = compared.unknown.iter().chain(ended).collect();
    control::with(ServiceName::Orders, shop, async |folder: &Folder| {
        let socket = folder.control_socket(ServiceName::Orders.name());
        for some in ids.chunks(ASKED_AT_ONCE) {
            let body = json!(some).to_string();
            let path = "/control/orders/settle";
            control::post(&socket, path, "application/json", body)
                .await?
                .accepted()?;
        }
        Ok(())
    })
    .await
}

/// Compares all orders that hold stock with all reservations.
pub(crate) async fn compare(shop: &ShopArgs) -> anyhow::Result<Compared> {
    let holding = control::with(ServiceName::Orders, shop, holding).await?;
    let reserved = control::with(ServiceName::Products, shop, reserved).await?;
    let at_odds: Vec<_> = holding.symmetric_difference(&reserved).cloned().collect();
    let mut compared = Compared {
        count: holding.union(&reserved).count(),
        ..Compared::default()
    };
    if at_odds.is_empty() {
        return Ok(compared);
    }
    let (statuses, published) =
        control::with(ServiceName::Orders, shop, async |folder: &Folder| {
            let statuses = statuses(folder, &at_odds).await?;
            let own = positions(folder, ServiceName::Orders).await?;
            Ok((statuses, own["log"]["seq"].as_u64().unwrap_or_default()))
        })
        .await?;
    let (applied, still_reserved) =
        control::with(ServiceName::Products, shop, async |folder: &Folder| {
            let own = positions(folder, ServiceName::Products).await?;
            Ok((applied_of_orders(&own), self::reserved(folder).await?))
        })
        .await?;
    for (id, status) in statuses {
        let is_holding = status
            .as_deref()
            .is_some_and(|status| HOLDING.contains(&status));
        let was_reserved = reserved.contains(&id);
        match status {
            None => compared.unknown.push(id),
            // Products that is behind is about to reserve it.
            Some(status) if is_holding && !was_reserved && applied >= published => {
                compared.without.push((id, status));
            }
            // A pending order is about to be confirmed, or to be rejected.
            Some(status) if status == "pending" => {}
            Some(status) if !is_holding && applied >= published && still_reserved.contains(&id) => {
                compared.ended.push((id, status));
            }
            Some(_) => {}
        }
    }
    Ok(compared)
}

/// The last event of orders that products has applied.
fn applied_of_orders(positions: &Value) -> u64 {
    let followers = positions["followers"].as_array().into_iter().flatten();
    let of_orders = followers.filter(|follower| follower["source"] == "orders");
    let applied = of_orders.filter_map(|follower| follower["seq"].as_u64());
    applied.min().unwrap_or_default()
}

/// The orders that hold stock by their status.
async fn holding(folder: &Folder) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for status in HOLDING {
        let path = format!("/control/orders?status={status}");
        ids.extend(all_ids(folder, ServiceName::Orders, &path, "&before=").await?);
    }
    Ok(ids)
}

/// The orders that have a reservation.
async fn reserved(folder: &Folder) -> anyhow::Result<BTreeSet<String>> {
    let path = "/control/reservations";
    let ids = all_ids(folder, ServiceName::Products, path, "?after=").await?;
    Ok(ids.into_iter().collect())
}

/// The ids of all pages of a list.
async fn all_ids(
    folder: &Folder,
    service: ServiceName,
    path: &str,
    continuation: &str,
) -> anyhow::Result<Vec<String>> {
    let socket = folder.control_socket(service.name());
    let mut ids: Vec<String> = Vec::new();
    loop {
        let path = match ids.last() {
            None => path.to_owned(),
            Some(last) => format!("{path}{continuation}{last}"),
        };
        let page = control::ask(&socket, Method::GET, &path).await?;
        let page: Vec<String> = read(page.accepted()?.body)?;
        if page.is_empty() {
            return Ok(ids);
        }
        ids.extend(page);
    }
}

/// The present status of each order; `None` for one that does not exist.
async fn statuses(
    folder: &Folder,
    ids: &[String],
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let socket = folder.control_socket(ServiceName::Orders.name());
    let mut statuses = BTreeMap::new();
    for some in ids.chunks(ASKED_AT_ONCE) {
        let body = json!(some).to_string();
        let path = "/control/orders/statuses";
        let asked = control::post(&socket, path, "application/json", body).await?;
        statuses.extend(read::<BTreeMap<_, _>>(asked.accepted()?.body)?);
    }
    Ok(statuses)
}

fn read<T: DeserializeOwned>(body: Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(body)?)
}
