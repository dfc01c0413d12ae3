//! Answers to mesh queries about orders: what a message about one says, and whole orders as
//! `GET /v1/orders/{id}` shows them to their buyer, for webhooks that send them along.
//!
//! Other services ask when they write a text, because no event holds what was ordered, where it
//! goes, or why it was cancelled. **Invariants:** answers are in no log line; they are of the
//! moment of the query, and the asking service keeps none.

use std::collections::BTreeMap;

use chassis::Context;
use mesh::{
    GuestDetails, OrderBody, OrderBodyOf, OrderChange, OrderChargesDetails, OrderDetails,
    OrderLineDetails, OrderOf,
};
use model::{CustomerId, Money, OrderId, UserId};
use pricing::PriceBasis;
use store::Store;

use crate::domain::{Buyer, Charges, Order, OrderAddress, OrderLine, OrderNumber, StatusChange};
use crate::wire::OrderResponse;
use crate::{Error, tables};

/// Answers queries until the service stops.
pub(crate) async fn start(ctx: &Context) -> Result<(), chassis::Error> {
    let (mesh, tasks) = (&ctx.mesh, &ctx.tasks);
    let store = ctx.store.clone();
    let of_message = move |asked: OrderOf| {
        let details = or_none(details(&store, &asked));
        Box::pin(async move { details }) as _
    };
    mesh.answer(tasks, ctx.stop.clone(), of_message).await?;
    let store = ctx.store.clone();
    let whole = move |asked: OrderBodyOf| {
        let body = or_none(body(&store, asked.order_id));
        Box::pin(async move { body }) as _
    };
    Ok(mesh.answer(tasks, ctx.stop.clone(), whole).await?)
}

fn or_none<T>(answer: Result<T, Error>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::NotFound) => None,
        Err(error) => {
            tracing::error!(%error, "a query about an order failed");
            None
        }
    }
}

fn body(store: &Store, order_id: OrderId) -> Result<OrderBody, Error> {
    let stored = match tables::find(store, order_id) {
        Ok(stored) => stored,
        Err(Error::NotFound) => return Ok(OrderBody { json: None }),
        Err(error) => return Err(error),
    };
    let json = serde_json::to_string(&OrderResponse::new(&stored.order));
    Ok(OrderBody { json: json.ok() })
}

fn details(store: &Store, asked: &OrderOf) -> Result<OrderDetails, Error> {
    let stored = tables::find(store, asked.order_id)?;
    let order = &stored.order;
    let history = tables::history(store, order)?;
    // Of several changes of one moment the last one made the event.
    let of_moment = |change: &&StatusChange| Some(change.at) == asked.changed_at;
    let change = history.iter().rev().find(of_moment);
    Ok(OrderDetails {
        user_id: order.buyer.user_id(),
        guest: order.buyer.guest_contact().map(|contact| GuestDetails {
            email: contact.email.clone(),
            name: contact.name.clone(),
        }),
        number: order.number.as_ref().map(OrderNumber::to_string),
        status: order.status.name().into(),
        items: order.lines.iter().map(|line| item(order, line)).collect(),
        total: order.total,
        charges: charges(order),
        refunded_total: order.refunded_total,
        shipping_address: address(order.shipping_address.as_ref()),
        note: order.note.clone(),
        carrier: order.parcel.carrier.clone(),
        tracking: order.parcel.tracking.clone(),
        change: change.map(|change| OrderChange {
            by: by(change, &order.buyer),
            reason: change.reason.clone(),
        }),
        outcome_was_awaited: stored.accepted,
        language: order.language.clone(),
        placed_at: order.created_at,
    })
}

fn charges(order: &Order) -> OrderChargesDetails {
    let Charges { discount, shipping, tax, price_basis, shipping_method, .. } = &order.charges;
    let money = |amount: i64| (amount != 0).then_some(Money { amount, ..order.total });
    OrderChargesDetails {
        discount: money(*discount),
        shipping: money(*shipping),
        shipping_method: shipping_method.as_ref().map(|method| method.name.clone()),
        tax: money(*tax),
        has_net_prices: *price_basis == PriceBasis::Net,
    }
}

fn address(address: Option<&OrderAddress>) -> BTreeMap<String, String> {
    let fields = address.map(OrderAddress::fields);
    fields.into_iter().flatten().collect()
}

fn item(order: &Order, line: &OrderLine) -> OrderLineDetails {
    let OrderLine { product_id, sku, title, quantity, unit_price, line_total, .. } = line.clone();
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
fn by(change: &StatusChange, buyer: &Buyer) -> String {
    let is_guest = change.by.parse::<CustomerId>().is_ok();
    match change.by.parse::<UserId>() {
        Ok(user) if Some(user) == buyer.user_id() => "buyer".into(),
        Ok(_) => "staff".into(),
        Err(_) if is_guest => "buyer".into(),
        Err(_) => change.by.clone(),
    }
}
