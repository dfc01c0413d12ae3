//! The answer to placing an order, as bytes: made once, so that a replay is the
//! same to the last byte.

use chassis::Problem;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Line, Order, Status};
use crate::http::OrderView;

/// An HTTP answer without the headers that differ from request to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The order.
    Resource,
    /// A problem document.
    Problem,
}

impl Answer {
    /// 201 for a confirmed order, 202 for one that is not settled, 409 for one
    /// that was rejected.
    pub(crate) fn placed(order: &Order, lines: &[Line]) -> Self {
        match order.status {
            Status::Confirmed => Self::resource(201, order, lines),
            Status::Pending => Self::resource(202, order, lines),
            Status::Rejected => Self::problem(&out_of_stock(order, lines), &order.request_id),
        }
    }

    /// The order as it is, under the 202 that was promised first.
    pub(crate) fn accepted(order: &Order, lines: &[Line]) -> Self {
        Self::resource(202, order, lines)
    }

    /// A refusal that was decided.
    pub(crate) fn problem(problem: &Problem, request_id: &str) -> Self {
        Self {
            kind: Kind::Problem,
            status: problem.status().as_u16(),
            body: problem.document(request_id).to_string().into_bytes(),
        }
    }

    fn resource(status: u16, order: &Order, lines: &[Line]) -> Self {
        let body = serde_json::to_vec(&OrderView::new(order, lines))
            .expect("plain structs of strings and numbers encode");
        Self { kind: Kind::Resource, status, body }
    }
}

fn out_of_stock(order: &Order, lines: &[Line]) -> Problem {
    let items: Vec<_> = order
        .shortages
        .iter()
        .map(|shortage| {
            let line = lines
                .iter()
                .find(|line| line.product_id == shortage.product_id);
            json!({
                "product_id": shortage.product_id,
                "sku": line.map(|line| &line.sku),
                "title": line.map(|line| &line.title),
                "requested": shortage.requested,
                "available": shortage.available,
            })
        })
        .collect();
    let names: Vec<_> = lines
        .iter()
        .filter(|line| {
            order
                .shortages
                .iter()
                .any(|short| short.product_id == line.product_id)
        })
        .map(|line| line.title.as_str())
        .collect();
    Problem::conflict(
        "out-of-stock",
        format!("not enough in stock: {}", names.join(", ")),
    )
    .member("order_id", order.id)
    .member("items", items)
}
