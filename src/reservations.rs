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

/// The status of orders that wait for products.
const PENDING: &str = "pending";

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
    /// Orders that wait for an outcome of products, which has published it.
    pub(crate) waiting: Vec<String>,
}

impl Compared {
    /// Whether there is no difference.
    pub(crate) fn is_settled(&self) -> bool {
        self.faults().is_empty()
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
        let waiting = self
            .waiting
            .iter()
            .map(|id| format!("{id} is pending, and products has decided about its stock"));
        unknown.chain(ended).chain(without).chain(waiting).collect()
    }
}

/// Has orders publish what ends the differences.
pub(crate) async fn settle(shop: &ShopArgs, compared: &Compared) -> anyhow::Result<()> {
    let ended = compared
        .ended
        .iter()
        .chain(&compared.without)
        .map(|(id, _)| id);
    let ids: Vec<_> = compared
        .unknown
        .iter()
        .chain(&compared.waiting)
        .chain(ended)
        .collect();
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

/// Compares all orders that hold stock or wait for it with all reservations.
pub(crate) async fn compare(shop: &ShopArgs) -> anyhow::Result<Compared> {
    let (holding, pending) = control::with(ServiceName::Orders, shop, async |folder: &Folder| {
        let pending = with_statuses(folder, &[PENDING]).await?;
        Ok((with_statuses(folder, &HOLDING).await?, pending))
    })
    .await?;
    let reserved = control::with(ServiceName::Products, shop, reserved).await?;
    let mut at_odds: BTreeSet<_> = holding.symmetric_difference(&reserved).cloned().collect();
    let mut compared = Compared {
        count: holding.union(&reserved).count(),
        ..Compared::default()
    };
    at_odds.extend(pending);
    if at_odds.is_empty() {
        return Ok(compared);
    }
    let at_odds: Vec<_> = at_odds.into_iter().collect();
    let (statuses, of_orders) = statuses_and_position(shop, &at_odds).await?;
    let (of_products, still_reserved) =
        control::with(ServiceName::Products, shop, async |folder: &Folder| {
            let own = Position::of(folder, ServiceName::Products, ServiceName::Orders).await?;
            Ok((own, self::reserved(folder).await?))
        })
        .await?;
    // Products that is behind is about to reserve, to release or to decide.
    if of_products.applied < of_orders.published {
        compared.unknown = missing(statuses);
        return Ok(compared);
    }
    let mut waiting = Vec::new();
    for (id, status) in statuses {
        match status {
            None => compared.unknown.push(id),
            Some(status) if status == PENDING => waiting.push(id),
            Some(status) if HOLDING.contains(&status.as_str()) => {
                if !reserved.contains(&id) {
                    compared.without.push((id, status));
                }
            }
            Some(status) if still_reserved.contains(&id) => compared.ended.push((id, status)),
            Some(_) => {}
        }
    }
    if !waiting.is_empty() {
        let (statuses, of_orders) = statuses_and_position(shop, &waiting).await?;
        let is_pending = |(_, status): &(_, Option<String>)| status.as_deref() == Some(PENDING);
        if of_orders.applied >= of_products.published {
            let waiting = statuses.into_iter().filter(is_pending);
            compared.waiting = waiting.map(|(id, _)| id).collect();
        }
    }
    Ok(compared)
}

/// The orders without a status: those that do not exist.
fn missing(statuses: BTreeMap<String, Option<String>>) -> Vec<String> {
    let missing = statuses.into_iter().filter(|(_, status)| status.is_none());
    missing.map(|(id, _)| id).collect()
}

/// Where a service stands in its own log and in another's.
struct Position {
    /// The last event that it has published.
    published: u64,
    /// The last event of the other service that it has applied.
    applied: u64,
}

impl Position {
    async fn of(folder: &Folder, service: ServiceName, other: ServiceName) -> anyhow::Result<Self> {
        let own = positions(folder, service).await?;
        let followers = own["followers"].as_array().into_iter().flatten();
        let of_other = followers.filter(|follower| follower["source"] == other.name());
        let applied = of_other.filter_map(|follower| follower["seq"].as_u64());
        Ok(Self {
            published: own["log"]["seq"].as_u64().unwrap_or_default(),
            applied: applied.min().unwrap_or_default(),
        })
    }
}

/// The present statuses of orders, and where orders stood afterwards.
async fn statuses_and_position(
    shop: &ShopArgs,
    ids: &[String],
) -> anyhow::Result<(BTreeMap<String, Option<String>>, Position)> {
    control::with(ServiceName::Orders, shop, async |folder: &Folder| {
        let statuses = statuses(folder, ids).await?;
        let own = Position::of(folder, ServiceName::Orders, ServiceName::Products).await?;
        Ok((statuses, own))
    })
    .await
}

/// The orders that have one of the statuses.
async fn with_statuses(folder: &Folder, statuses: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for status in statuses {
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
