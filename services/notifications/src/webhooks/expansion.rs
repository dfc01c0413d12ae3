//! Expansion: a message with the whole order that its event is about.
//!
//! The order is asked of orders at each attempt, as contacts are asked of users, so it is as it
//! was then and in no row here. The delivery log has the message as it is stored.
//!
//! **Invariant:** a message goes out whole or not at all: while orders does not answer, the
//! attempt fails and is repeated.

use std::time::Duration;

use mesh::{Mesh, OrderBodyOf};
use model::OrderId;
use serde_json::Value;

use super::Expansion;

/// Timeout of a query to orders.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The body of a message for a webhook with these expansions.
///
/// # Errors
/// Why it cannot be made now.
pub(super) async fn expanded(
    mesh: &Mesh,
    payload: String,
    expansions: &[Expansion],
) -> Result<String, String> {
    if !expansions.contains(&Expansion::Order) {
        return Ok(payload);
    }
    let mut body: Value = serde_json::from_str(&payload).map_err(|error| error.to_string())?;
    let order_id = body["data"]["order_id"].as_str();
    let Some(order_id) = order_id.and_then(|id| id.parse::<OrderId>().ok()) else {
        return Ok(payload);
    };
    let answer = mesh.ask(&OrderBodyOf { order_id }, QUERY_TIMEOUT).await;
    let answer = answer.flatten();
    let answer = answer.ok_or("orders did not answer the query for the order")?;
    let order = answer.json.map(|json| serde_json::from_str(&json));
    let order: Option<Value> = order.transpose().map_err(|error| error.to_string())?;
    body["data"]["order"] = order.unwrap_or_default();
    Ok(body.to_string())
}
