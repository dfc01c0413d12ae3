//! The question for an order: what a message about it says, and no event holds.

use std::collections::BTreeMap;

use model::{Money, OrderId, ProductId, Time, UserId};
use serde::{Deserialize, Serialize};

use super::Ask;

/// Asks orders for an order; `None` for one that does not exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderOf {
    /// The order.
    pub order_id: OrderId,
    /// The time of the event that the message is about: the answer has the change of that
    /// moment.
    #[serde(default)]
    pub changed_at: Option<Time>,
}

/// How a guest is reached. Personal data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDetails {
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: String,
}

/// An order as it is now, as its owner and staff see it. Personal data: never in an event,
/// never in a log line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDetails {
    /// Its owner; `None` for a guest's.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The contact of a guest that is not erased.
    #[serde(default)]
    pub guest: Option<GuestDetails>,
    /// What people call it by, once it has that.
    #[serde(default)]
    pub number: Option<String>,
    /// The status, by its name in responses.
    pub status: String,
    /// Its lines.
    pub items: Vec<OrderLineDetails>,
    /// What it costs.
    pub total: Money,
    /// What of that is no line.
    #[serde(default)]
    pub charges: OrderChargesDetails,
    /// What of that was refunded.
    pub refunded_total: Money,
    /// Texts under the names that the shop's front end uses; empty for none.
    #[serde(default)]
    pub shipping_address: BTreeMap<String, String>,
    /// The buyer's note.
    #[serde(default)]
    pub note: Option<String>,
    /// Who carries it, as staff named them.
    #[serde(default)]
    pub carrier: Option<String>,
    /// The number of the parcel.
    #[serde(default)]
    pub tracking: Option<String>,
    /// The change of the moment asked for, if there was one.
    #[serde(default)]
    pub change: Option<OrderChange>,
    /// Whether the response to its placing came before its stock outcome, so that its buyer
    /// knows the outcome from messages only.
    #[serde(default)]
    pub outcome_was_awaited: bool,
    /// The language it was placed in, as a BCP 47 tag, if the client named one.
    #[serde(default)]
    pub language: Option<String>,
    /// When it was placed.
    pub placed_at: Time,
}

/// What an order charges besides its lines. Each is absent where it is nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChargesDetails {
    /// What promotions take off the lines.
    pub discount: Option<Money>,
    /// What shipping costs.
    pub shipping: Option<Money>,
    /// The name of the shipping method.
    pub shipping_method: Option<String>,
    /// All tax.
    pub tax: Option<Money>,
    /// Whether the tax is added to the prices, and not a part of them.
    pub has_net_prices: bool,
}

/// A line of an order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLineDetails {
    /// The product.
    pub product_id: ProductId,
    /// The shop's own number of it.
    pub sku: String,
    /// Its title when it was ordered.
    pub title: String,
    /// Units.
    pub quantity: u32,
    /// The price of one unit.
    pub unit_price: Money,
    /// The price of all.
    pub line_total: Money,
    /// The units that there were, of a line that could not be reserved.
    #[serde(default)]
    pub available: Option<i64>,
}

/// A change of an order's status.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChange {
    /// `buyer`, `staff`, or what of the shop it was: `products`, `payments`, `expiry`.
    pub by: String,
    /// The reason that was given.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Ask for OrderOf {
    const OF: &'static str = "orders";
    const WHAT: &'static str = "order";
    type Answer = Option<OrderDetails>;
}
