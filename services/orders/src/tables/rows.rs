//! The rows of the tables and their codecs.
//!
//! The field names and variant names are part of the stored format (MessagePack by
//! name): a renamed one needs `#[serde(rename)]`.

mod buyer;
mod charges;
mod history;
mod lines;
#[cfg(test)]
mod tests;

use model::{Address, Listing, Mismatch, Money, OrderId, Shortage, Time, UserId};
use serde::{Deserialize, Serialize};
use store::Record;

use self::buyer::{GuestRow, buyer};
use self::charges::ChargesRow;
pub(super) use self::charges::{TAX_LINES_OF_PART, TAX_LINES_OF_ROW, TaxLineRow};
pub(super) use self::history::StatusChangeRow;
pub(super) use self::lines::{
    LineRow, LinesRow, PART_LINES_BYTES_MAX, ROW_LINES_BYTES_MAX, fitting,
};
use super::settlement::SettlementRow;
use crate::domain::{
    BuyerErasure, FreeFormAddress, Order, OrderAddress, OrderLine, OrderNumber, OrderStatus,
    Parcel, PaymentMessage, PaymentMethod, PaymentOutcome, PaymentResult,
};

impl store::Key for OrderStatus {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        let [number] = <[u8; 1]>::read_from(bytes)?;
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }
}

/// A status in a row: its name.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
struct StatusName(OrderStatus);

impl From<StatusName> for &'static str {
    fn from(StatusName(status): StatusName) -> Self {
        status.name()
    }
}

impl TryFrom<String> for StatusName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let status = OrderStatus::parse(&name);
        status
            .map(Self)
            .ok_or_else(|| format!("no status of an order: {name}"))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrderRow {
    id: OrderId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// Absent for a guest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest: Option<GuestRow>,
    status: StatusName,
    lines: Vec<LineRow>,
    #[serde(default, skip_serializing_if = "is_default")]
    line_parts: u16,
    total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charges: Option<ChargesRow>,
    refunded_total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipping_address: Option<FreeFormAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ship_to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bill_to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shortages: Vec<Shortage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_until: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    #[serde(default, skip_serializing_if = "SettlementRow::is_absent")]
    settlement: SettlementRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracking: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erasure_due: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    accepted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    changes: u16,
    created_at: Time,
    updated_at: Time,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The address with which an order was placed, from before its first correction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlacedAddressRow {
    shipping_address: Option<FreeFormAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ship_to: Option<Address>,
}

impl From<Option<OrderAddress>> for PlacedAddressRow {
    fn from(address: Option<OrderAddress>) -> Self {
        let (shipping_address, ship_to) = columns(address);
        Self { shipping_address, ship_to }
    }
}

impl From<PlacedAddressRow> for Option<OrderAddress> {
    fn from(PlacedAddressRow { shipping_address, ship_to }: PlacedAddressRow) -> Self {
        address(shipping_address, ship_to)
    }
}

/// An address as a row has it: in the field of earlier versions, or in that of its own.
fn columns(address: Option<OrderAddress>) -> (Option<FreeFormAddress>, Option<Address>) {
    match address {
        None => (None, None),
        Some(OrderAddress::FreeForm(fields)) => (Some(fields), None),
        Some(OrderAddress::Typed(address)) => (None, Some(address)),
    }
}

fn address(free_form: Option<FreeFormAddress>, typed: Option<Address>) -> Option<OrderAddress> {
    let typed = typed.map(OrderAddress::Typed);
    typed.or_else(|| free_form.map(OrderAddress::FreeForm))
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ListingRow {
    pub(super) listing: Listing,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaymentRow {
    pub(super) at: Time,
    /// Absent for a message that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<PaymentMessageRow>,
    #[serde(with = "PaymentOutcomeRow")]
    pub(super) outcome: PaymentOutcome,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentMessageRow {
    succeeded: bool,
    /// What else it says than that the payment succeeded or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<PaymentReportRow>,
    order_id: Option<OrderId>,
    amount: Money,
    reference: String,
    /// The name of its provider's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentReportRow {
    Refunded,
    Disputed,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PaymentOutcome", rename_all = "snake_case")]
enum PaymentOutcomeRow {
    Paid,
    Awaiting,
    Repeated,
    Reviving,
    Failed,
    Reported,
    Unmatched(Mismatch),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ErasureRow {
    /// The orders older than this one are not erased yet; `None`: no order is.
    pub(crate) before: Option<OrderId>,
}

impl Record for OrderRow {}
impl Record for PlacedAddressRow {}
impl Record for ListingRow {}
impl Record for PaymentRow {}
impl Record for ErasureRow {}

/// An order with the bookkeeping of its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredOrder {
    pub(crate) order: Order,
    /// The response to its placing was 202.
    pub(crate) accepted: bool,
    pub(super) line_parts: u16,
    /// The number of its stored history entries.
    pub(crate) history_rows: u16,
}

impl StoredOrder {
    pub(super) fn to_row(&self) -> OrderRow {
        let order = &self.order;
        let lines = &order.lines[..fitting(&order.lines, ROW_LINES_BYTES_MAX)];
        let (shipping_address, ship_to) = columns(order.shipping_address.clone());
        OrderRow {
            id: order.id,
            number: order.number.as_ref().map(OrderNumber::to_string),
            user_id: order.buyer.user_id(),
            guest: GuestRow::of(&order.buyer),
            status: StatusName(order.status),
            lines: lines.iter().map(LineRow::from).collect(),
            line_parts: self.line_parts,
            total: order.total,
            charges: ChargesRow::of(&order.charges),
            refunded_total: order.refunded_total,
            shipping_address,
            ship_to,
            bill_to: order.billing_address.clone(),
            note: order.note.clone(),
            language: order.language.clone(),
            request_id: order.request_id.clone(),
            settled_at: order.stock_outcome_at,
            shortages: order.shortages.clone(),
            reserved_until: order.reserved_until,
            payment: order.payment.clone(),
            settlement: order.settlement.into(),
            carrier: order.parcel.carrier.clone(),
            tracking: order.parcel.tracking.clone(),
            erasure_due: order.erasure == BuyerErasure::Due,
            erased: order.erasure == BuyerErasure::Done,
            accepted: self.accepted,
            changes: self.history_rows,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<OrderRow> for StoredOrder {
    fn from(row: OrderRow) -> Self {
        let order = Order {
            id: row.id,
            number: row.number.and_then(|number| number.parse().ok()),
            buyer: buyer(row.user_id, row.guest),
            status: row.status.0,
            lines: row.lines.into_iter().map(OrderLine::from).collect(),
            total: row.total,
            charges: row
                .charges
                .map(|charges| charges.into_charges(row.total.currency))
                .unwrap_or_default(),
            refunded_total: row.refunded_total,
            shipping_address: address(row.shipping_address, row.ship_to),
            billing_address: row.bill_to,
            note: row.note,
            language: row.language,
            request_id: row.request_id,
            stock_outcome_at: row.settled_at,
            shortages: row.shortages,
            reserved_until: row.reserved_until,
            payment: row.payment,
            settlement: row.settlement.into(),
            parcel: Parcel { carrier: row.carrier, tracking: row.tracking },
            erasure: match (row.erased, row.erasure_due) {
                (true, _) => BuyerErasure::Done,
                (false, true) => BuyerErasure::Due,
                (false, false) => BuyerErasure::No,
            },
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let OrderRow { accepted, line_parts, changes, .. } = row;
        Self { order, accepted, line_parts, history_rows: changes }
    }
}

impl PaymentRow {
    pub(super) fn new(at: Time, message: Option<PaymentMessage>, outcome: PaymentOutcome) -> Self {
        let message = message.map(|message| PaymentMessageRow {
            succeeded: message.result == PaymentResult::Succeeded,
            report: match message.result {
                PaymentResult::Succeeded | PaymentResult::Failed => None,
                PaymentResult::Refunded => Some(PaymentReportRow::Refunded),
                PaymentResult::Disputed => Some(PaymentReportRow::Disputed),
            },
            order_id: message.order_id,
            amount: message.amount,
            reference: message.reference,
            method: message.method.map(|method| method.name().to_owned()),
        });
        Self { at, message, outcome }
    }

    /// The message, if it could be read.
    pub(super) fn message(self) -> Option<PaymentMessage> {
        let PaymentMessageRow { succeeded, report, order_id, amount, reference, method } =
            self.message?;
        let method = method.and_then(|name| PaymentMethod::parse(&name));
        let result = match report {
            Some(PaymentReportRow::Refunded) => PaymentResult::Refunded,
            Some(PaymentReportRow::Disputed) => PaymentResult::Disputed,
            None if succeeded => PaymentResult::Succeeded,
            None => PaymentResult::Failed,
        };
        Some(PaymentMessage { result, order_id, amount, reference, method })
    }
}
