//! The row part of a [`Settlement`], within the row of its order: absent for an order whose
//! buyer chose no method and that was paid as it was confirmed, as most are.

use std::time::Duration;

use model::Time;
use serde::{Deserialize, Serialize};

use crate::domain::{ChosenPayment, PaymentMethod, Revival, Settlement};

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SettlementRow {
    /// The name of the method that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    owed: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    at_once: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revival: Option<RevivalRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncounted_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund_pending: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partly_paid: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RevivalRow {
    Possible,
    Awaited,
}

impl SettlementRow {
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Settlement> for SettlementRow {
    fn from(settlement: Settlement) -> Self {
        let Settlement {
            chosen,
            received,
            owed,
            at_once,
            revival,
            cancel_requested_at,
            uncounted,
            refund_pending,
            partly_paid,
            kept,
        } = settlement;
        let name = |method: PaymentMethod| method.name().to_owned();
        Self {
            method: chosen.map(|chosen| name(chosen.method)),
            until: chosen.and_then(|chosen| chosen.until),
            received: received.map(name),
            owed,
            at_once,
            revival: match revival {
                Revival::No => None,
                Revival::Possible => Some(RevivalRow::Possible),
                Revival::Awaited => Some(RevivalRow::Awaited),
            },
            cancel_requested_at,
            uncounted_ms: (!uncounted.is_zero())
                .then(|| u64::try_from(uncounted.as_millis()).unwrap_or(u64::MAX)),
            refund_pending: Some(refund_pending).filter(|pending| *pending > 0),
            partly_paid: Some(partly_paid).filter(|paid| *paid > 0),
            kept,
        }
    }
}

impl From<SettlementRow> for Settlement {
    fn from(row: SettlementRow) -> Self {
        let known = |name: Option<String>| PaymentMethod::parse(name?.as_str());
        let until = row.until;
        Self {
            chosen: known(row.method).map(|method| ChosenPayment { method, until }),
            received: known(row.received),
            owed: row.owed,
            at_once: row.at_once,
            revival: match row.revival {
                None => Revival::No,
                Some(RevivalRow::Possible) => Revival::Possible,
                Some(RevivalRow::Awaited) => Revival::Awaited,
            },
            cancel_requested_at: row.cancel_requested_at,
            uncounted: Duration::from_millis(row.uncounted_ms.unwrap_or(0)),
            refund_pending: row.refund_pending.unwrap_or(0),
            partly_paid: row.partly_paid.unwrap_or(0),
            kept: row.kept,
        }
    }
}
