//! Answers to mesh queries about orders: what a message about one says.
//!
//! Other services ask when they write a text, because no event holds what was ordered, where it
//! goes, or why it was cancelled. **Invariant:** answers are in no log line.

use chassis::Context;
use mesh::{OrderChange, OrderDetails, OrderLineDetails, OrderOf};
use model::UserId;
use store::Store;

use crate::domain::{Order, OrderLine, StatusChange};
use crate::{Error, tables};

/// Answers queries until the service stops.
pub(crate) async fn start(ctx: &Context) -> Result<(), chassis::Error> {
    let store = ctx.store.clone();
    let answer = move |asked: OrderOf| {
        let details = match details(&store, &asked) {
            Ok(details) => Some(details),
            Err(Error::NotFound) => None,
            Err(error) => {
                tracing::error!(order = %asked.order_id, %error, "a query about an order failed");
                None
            }
        };
        Box::pin(async move { details }) as _
    };
    Ok(ctx
        .mesh
        .answer(&ctx.tasks, ctx.stop.clone(), answer)
        .await?)
}

fn details(store: &Store, asked: &OrderOf) -> Result<OrderDetails, Error> {
    let stored = tables::find(store, asked.order_id)?;
    let order = &stored.order;
    let history = tables::history(store, order)?;
    // Of several changes of one moment the last one made the event.
    let of_moment = |change: &&StatusChange| Some(change.at) == asked.changed_at;
    let change = history.iter().rev().find(of_moment);
    Ok(OrderDetails {
        user_id: order.user_id,
        status: order.status.name().into(),
        items: order.lines.iter().map(|line| item(order, line)).collect(),
        total: order.total,
        refunded_total: order.refunded_total,
        shipping_address: order.shipping_address.clone().unwrap_or_default(),
        note: order.note.clone(),
        carrier: order.parcel.carrier.clone(),
        tracking: order.parcel.tracking.clone(),
        change: change.map(|change| OrderChange {
            by: by(change, order.user_id),
            reason: change.reason.clone(),
        }),
        outcome_was_awaited: stored.accepted,
        language: order.language.clone(),
        placed_at: order.created_at,
    })
}

fn item(order: &Order, line: &OrderLine) -> OrderLineDetails {
    let OrderLine { product_id, sku, title, quantity, unit_price, line_total } = line.clone();
    let mut shortages = order.shortages.iter();
    let shortage = shortages.find(|short| short.product_id == product_id);
    let available = shortage.map(|short| short.available);
    OrderLineDetails {
        product_id,
        sku,
        title,
        quantity,
        unit_price,
        line_total,
        available,
    }
}

/// Who made a change, without an id of a person.
fn by(change: &StatusChange, owner: UserId) -> String {
    match change.by.parse::<UserId>() {
        Ok(user) if user == owner => "buyer".into(),
        Ok(_) => "staff".into(),
        Err(_) => change.by.clone(),
    }
}
