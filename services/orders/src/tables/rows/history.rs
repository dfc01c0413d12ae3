//! An entry of an order's history as a row.

use model::{Money, OrderField, Time, UndoneStep};
use serde::{Deserialize, Serialize};
use store::Record;

use super::StatusName;
use crate::domain::{Parcel, PaymentDetails, StatusChange};

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::tables) struct StatusChangeRow {
    at: Time,
    from: Option<StatusName>,
    to: StatusName,
    by: String,
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund_failed: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracking: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentDetailsRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    corrected: Vec<OrderField>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undone: Option<UndoneStep>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentDetailsRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
}

impl Record for StatusChangeRow {}

impl From<&StatusChange> for StatusChangeRow {
    fn from(change: &StatusChange) -> Self {
        let StatusChange {
            at,
            from,
            to,
            by,
            reason,
            refunded,
            refund_failed,
            parcel,
            payment,
            corrected,
            note,
            undone,
        } = change.clone();
        let is_known = payment != PaymentDetails::default();
        let PaymentDetails { reference, method, amount } = payment;
        Self {
            at,
            from: from.map(StatusName),
            to: StatusName(to),
            by,
            reason,
            refunded,
            refund_failed,
            carrier: parcel.carrier,
            tracking: parcel.tracking,
            payment: is_known.then_some(PaymentDetailsRow { reference, method, amount }),
            corrected,
            note,
            undone,
        }
    }
}

impl From<StatusChangeRow> for StatusChange {
    fn from(row: StatusChangeRow) -> Self {
        let payment = row.payment.map(|details| {
            let PaymentDetailsRow { reference, method, amount } = details;
            PaymentDetails { reference, method, amount }
        });
        Self {
            at: row.at,
            from: row.from.map(|name| name.0),
            to: row.to.0,
            by: row.by,
            reason: row.reason,
            refunded: row.refunded,
            refund_failed: row.refund_failed,
            parcel: Parcel { carrier: row.carrier, tracking: row.tracking },
            payment: payment.unwrap_or_default(),
            corrected: row.corrected,
            note: row.note,
            undone: row.undone,
        }
    }
}
