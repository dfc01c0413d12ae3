//! The comparison of followers with the logs that they follow, which no service can make
//! alone.
//!
//! **Invariant:** a follower is reported only if its source was asked for the very event up to
//! which it follows: positions of a running shop are of different moments.

use chassis::Folder;
use hyper::Method;
use serde_json::Value;

use crate::control;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;

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
            let is_at = |place: &str| of_source[place]["hash"] == follower["hash"];
            if seq == 0 || is_at("log") || is_at("beginning") {
                continue;
            }
            // What it lacks was trimmed: it has stopped and says so itself.
            if Some(seq) < of_source["beginning"]["seq"].as_u64() {
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
