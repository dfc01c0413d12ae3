//! The control socket's routes, with which `konbini check` compares orders with the
//! reservations of products.
//!
//! | route | response |
//! | --- | --- |
//! | `GET /control/orders?status=paid&before=ID` | at most [`IDS_MAX`] ids, the newest first |
//! | `POST /control/orders/settle` | publishes for the ids of the body what ends a disagreement with products about their stock |
//! | `POST /control/orders/statuses` | the ids of the body with their status, or `null` |

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use chassis::{Json, Problem};
use model::OrderId;
use serde::Deserialize;

use crate::domain::OrderStatus;
use crate::{OrdersState, lists, rollback, tables};

/// The ids in a response.
const IDS_MAX: usize = 10_000;

/// The orders that are settled in one transaction.
const SETTLED_AT_ONCE: usize = 100;

/// The operator's routes.
pub(crate) fn control(state: OrdersState) -> Router {
    Router::new()
        .route("/control/orders", get(ids))
        .route("/control/orders/settle", post(settle))
        .route("/control/orders/statuses", post(statuses))
        .with_state(state)
}

#[derive(Deserialize)]
struct Selection {
    status: String,
    before: Option<OrderId>,
}

async fn ids(
    State(state): State<OrdersState>,
    Query(selection): Query<Selection>,
) -> Result<Json<Vec<OrderId>>, Problem> {
    let unknown = || Problem::bad_request("status is none of an order");
    let status = OrderStatus::parse(&selection.status).ok_or_else(unknown)?;
    let ids = lists::ids(
        &state.store,
        &state.ledger.runs,
        None,
        Some(status),
        selection.before,
    )?;
    Ok(Json(ids.take(IDS_MAX).collect::<Result<_, _>>()?))
}

async fn settle(
    State(state): State<OrdersState>,
    axum::Json(ids): axum::Json<Vec<OrderId>>,
) -> Result<Json<()>, Problem> {
    for some in ids.chunks(SETTLED_AT_ONCE) {
        let (log, some) = (state.ledger.log.clone(), some.to_vec());
        let settled = state.store.write_when_free(move |tx| {
            some.into_iter()
                .try_for_each(|id| rollback::settle(tx, &log, id, model::now()))
        });
        settled.await?;
    }
    Ok(Json(()))
}

async fn statuses(
    State(state): State<OrdersState>,
    axum::Json(ids): axum::Json<Vec<OrderId>>,
) -> Result<Json<BTreeMap<OrderId, Option<&'static str>>>, Problem> {
    let mut statuses = BTreeMap::new();
    for id in ids {
        let status = tables::status(&state.store, id)?;
        statuses.insert(id, status.map(OrderStatus::name));
    }
    Ok(Json(statuses))
}
