//! What an order is. Pure: no I/O, no clock.
//!
//! `life` says how it may go on, `placing` how a request becomes one.

mod life;
mod placing;
#[cfg(test)]
mod walks;

use std::collections::BTreeMap;

use model::{Id, Money, Shortage, Time, kinds};
use serde::{Deserialize, Serialize};

pub(crate) use life::{By, Cause, Change, Refused, Status, Taken};
pub(crate) use placing::{ItemWanted, Placing, is_for_sale, price};

/// Pieces of one line.
pub(crate) const QUANTITY_MAX: u32 = 1000;

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: Id<kinds::Order>,
    pub(crate) user_id: Id<kinds::User>,
    pub(crate) status: Status,
    pub(crate) lines: Vec<Line>,
    /// How many rows hold the lines that are not stored with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) line_parts: u16,
    pub(crate) total: Money,
    pub(crate) refunded_total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shipping_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// The request that placed it.
    pub(crate) request_id: String,
    /// When products said whether its lines are held; `None` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settled_at: Option<Time>,
    /// What was short, if something was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shortages: Vec<Shortage>,
    /// Until when its stock is held although nobody paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_until: Option<Time>,
    /// The payment that paid for it, or will once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payment: Option<String>,
    /// Placing it was answered with 202.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) accepted: bool,
    /// How many changes are written down beyond those its fields tell of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) changes: u16,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

/// Where it is sent: whatever fields the shop's front end uses.
pub(crate) type Address = BTreeMap<String, String>;

/// One line, with title and price as they were when it was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) product_id: Id<kinds::Product>,
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u16) -> bool {
    *value == 0
}
