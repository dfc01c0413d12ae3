//! The answer to placing an order, told from the order as products left it: the
//! same to the last byte whenever it is asked for, whatever became of the order
//! since.

use axum::http::StatusCode;
use chassis::Problem;
use chassis::idempotency::StoredResponse;
use serde_json::json;

use crate::domain::{Order, Status};
use crate::http::OrderView;

/// The one answer to placing this order; `None` while there is none.
pub(crate) fn placed(order: &Order) -> Option<StoredResponse> {
    if order.accepted {
        return Some(resource(StatusCode::ACCEPTED, order));
    }
    if let Some(settled) = order.as_settled() {
        return Some(match settled.status {
            Status::Rejected => StoredResponse::refusal(&out_of_stock(&settled), &order.request_id),
            _ => resource(StatusCode::CREATED, &settled),
        });
    }
    (order.status == Status::Cancelled).then(|| {
        let problem = Problem::conflict(
            "order-cancelled",
            "the order was cancelled before its stock was settled",
        );
        StoredResponse::refusal(&problem.member("order_id", order.id), &order.request_id)
    })
}

fn resource(status: StatusCode, order: &Order) -> StoredResponse {
    StoredResponse::new(status, &OrderView::new(order)).at(format!("/v1/orders/{}", order.id))
}

fn out_of_stock(order: &Order) -> Problem {
    let short = order.lines.iter().filter_map(|line| {
        let mut shortages = order.shortages.iter();
        let shortage = shortages.find(|short| short.product_id == line.product_id)?;
        Some((line, shortage))
    });
    let names: Vec<_> = short.clone().map(|(line, _)| line.title.as_str()).collect();
    let items: Vec<_> = short
        .map(|(line, shortage)| {
            json!({
                "product_id": line.product_id,
                "sku": line.sku,
                "title": line.title,
                "requested": shortage.requested,
                "available": shortage.available,
            })
        })
        .collect();
    let detail = format!("not enough in stock: {}", names.join(", "));
    Problem::conflict("out-of-stock", detail)
        .member("order_id", order.id)
        .member("items", items)
}
