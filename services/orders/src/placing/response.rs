//! The responses to a placing: made from the order as it was at its stock outcome.

use axum::http::StatusCode;
use chassis::Problem;
use chassis::idempotency::StoredResponse;
use serde_json::json;

use crate::domain::{Order, OrderStatus};
use crate::holder::OrderTokens;
use crate::quoting::Quote;
use crate::tables::StoredOrder;
use crate::wire::{OrderContent, OrderResponse};

/// The placing response; `None` while it is not decided.
pub(super) fn response(stored: &StoredOrder, tokens: &OrderTokens) -> Option<StoredResponse> {
    let StoredOrder { order, accepted, .. } = stored;
    let resource = |status, order: &Order| {
        let location = format!("/v1/orders/{}", order.id);
        StoredResponse::new(status, &opened(order, tokens)).at(location)
    };
    if *accepted {
        return Some(resource(StatusCode::ACCEPTED, order));
    }
    let problem = match order.at_stock_outcome() {
        Some(order) if order.status == OrderStatus::Rejected => out_of_stock(&order),
        Some(order) => return Some(resource(StatusCode::CREATED, &order)),
        None if order.status == OrderStatus::Cancelled => {
            let detail = "the order was cancelled before its stock was reserved";
            Problem::conflict("order-cancelled", detail).member("order_id", order.id)
        }
        None => return None,
    };
    let problem = match tokens.token(order) {
        Some(token) => problem.member("order_token", token),
        None => problem,
    };
    Some(StoredResponse::refusal(&problem, &order.request_id))
}

fn out_of_stock(order: &Order) -> Problem {
    let short = order.lines.iter().filter_map(|line| {
        let mut shortages = order.shortages.iter();
        let shortage = shortages.find(|short| short.product_id == line.product_id)?;
        Some((line, shortage))
    });
    let titles: Vec<_> = short.clone().map(|(line, _)| line.title.as_str()).collect();
    let items = short.map(|(line, shortage)| {
        json!({
            "product_id": line.product_id,
            "sku": line.sku,
            "title": line.title,
            "requested": shortage.requested,
            "available": shortage.available,
        })
    });
    let detail = format!("not enough in stock: {}", titles.join(", "));
    Problem::conflict("out-of-stock", detail)
        .member("order_id", order.id)
        .member("items", items.collect::<Vec<_>>())
}

/// An order with what opens it, for who ordered it.
pub(super) fn opened<'a>(order: &'a Order, tokens: &OrderTokens) -> OrderResponse<'a> {
    OrderResponse::new(order).opened_by(tokens.token(order))
}

/// The refusal of an order that costs something else than its buyer agreed to.
pub(super) fn total_changed(content: &OrderContent, quote: &Quote) -> Option<Problem> {
    let expected = content.expected_total?;
    if expected.is(quote.total) {
        return None;
    }
    let refused = quote.charges.codes.iter();
    let refused = refused.filter_map(|code| Some((code, code.refusal.as_deref()?)));
    let refused: Vec<_> = refused
        .map(|(code, why)| format!("{}: {why}", code.code))
        .collect();
    let mut detail = format!("the total is {} now", quote.total);
    if !refused.is_empty() {
        detail = format!("{detail} ({})", refused.join("; "));
    }
    Some(Problem::conflict("total-changed", detail).member("total", quote.total))
}
