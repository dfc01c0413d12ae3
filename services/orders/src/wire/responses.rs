//! Response bodies: an order, its history, and a customer.

use model::{Address, CustomerId, Money, OrderField, OrderId, ProductId, Time, UndoneStep, UserId};
use serde::Serialize;

use crate::buyers::KnownBuyers;
use crate::customers::Customer;
use crate::domain::{
    FreeFormAddress, Order, OrderAddress, OrderStatus, PaymentDetails, StatusChange,
};
use crate::sales::SpentRow;
use crate::wire::charges::ChargesResponse;

/// An order, as its owner sees it.
#[derive(Debug, Serialize)]
pub(crate) struct OrderResponse<'a> {
    id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// Absent for a guest's.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    status: &'static str,
    payment_status: &'static str,
    /// The method that its buyer chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method: Option<&'static str>,
    items: Vec<LineResponse<'a>>,
    total: Money,
    #[serde(flatten)]
    charges: ChargesResponse<'a>,
    refunded_total: Money,
    /// What came in parts that do not add up to the total yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    partly_paid: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_pending: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<AddressResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking: Option<&'a str>,
    /// The page that follows the parcel.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<Time>,
    /// What opens a guest's order, in answers to who ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_token: Option<String>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Serialize)]
struct LineResponse<'a> {
    product_id: ProductId,
    sku: &'a str,
    title: &'a str,
    quantity: u32,
    unit_price: Money,
    line_total: Money,
    discount: Money,
    tax_rate_bp: u32,
    tax: Money,
}

impl<'a> OrderResponse<'a> {
    pub(crate) fn new(order: &'a Order) -> Self {
        let lines = order.lines.iter().map(|line| LineResponse {
            product_id: line.product_id,
            sku: &line.sku,
            title: &line.title,
            quantity: line.quantity,
            unit_price: line.unit_price,
            line_total: line.line_total,
            discount: Money { amount: line.discount, ..order.total },
            tax_rate_bp: line.tax_rate_bp,
            tax: Money { amount: line.tax, ..order.total },
        });
        let is_unpaid = order.status == OrderStatus::Confirmed;
        let settlement = &order.settlement;
        let positive = |amount| (amount > 0).then_some(Money { amount, ..order.total });
        Self {
            id: order.id,
            number: order.number.as_ref().map(ToString::to_string),
            user_id: order.buyer.user_id(),
            status: order.status.name(),
            payment_status: order.payment_status().name(),
            payment_method: settlement.chosen.map(|chosen| chosen.method.name()),
            items: lines.collect(),
            total: order.total,
            charges: ChargesResponse::of(order),
            refunded_total: order.refunded_total,
            partly_paid: positive(settlement.partly_paid).filter(|_| order.is_payable()),
            refund_pending: positive(settlement.refund_pending),
            shipping_address: order.shipping_address.as_ref().map(AddressResponse::from),
            billing_address: order.billing_address.as_ref(),
            note: order.note.as_deref(),
            carrier: order.parcel.carrier.as_deref(),
            tracking: order.parcel.tracking.as_deref(),
            tracking_url: order.parcel.tracking_url(),
            reserved_until: order.unpaid_until().filter(|_| is_unpaid),
            cancel_requested_at: settlement.cancel_requested_at,
            order_token: None,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl OrderResponse<'_> {
    /// The same with the token that opens it.
    pub(crate) fn opened_by(self, order_token: Option<String>) -> Self {
        Self { order_token, ..self }
    }
}

/// An address, with the fields that it has.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AddressResponse<'a> {
    Typed(&'a Address),
    FreeForm(&'a FreeFormAddress),
}

impl<'a> From<&'a OrderAddress> for AddressResponse<'a> {
    fn from(address: &'a OrderAddress) -> Self {
        match address {
            OrderAddress::Typed(address) => Self::Typed(address),
            OrderAddress::FreeForm(fields) => Self::FreeForm(fields),
        }
    }
}

/// An order with its buyer, as staff read it, and a guest their own. The contact is no part of
/// what a command responds, which may be stored.
#[derive(Debug, Serialize)]
pub(crate) struct OrderWithBuyer<'a> {
    #[serde(flatten)]
    order: OrderResponse<'a>,
    /// Absent while users does not answer, and after the buyer was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<BuyerResponse<'a>>,
}

#[derive(Debug, Serialize)]
struct BuyerResponse<'a> {
    /// The id under which staff find the customer.
    id: CustomerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    name: &'a str,
    email: &'a str,
}

impl<'a> OrderWithBuyer<'a> {
    pub(crate) fn new(order: &'a Order, buyers: &'a KnownBuyers) -> Self {
        let buyer = buyers.of(order).map(|(name, email)| BuyerResponse {
            id: order.buyer.customer_id(),
            user_id: order.buyer.user_id(),
            name,
            email,
        });
        Self { order: OrderResponse::new(order), buyer }
    }
}

/// `GET /v1/orders/{id}/history`.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryResponse {
    items: Vec<HistoryEntryResponse>,
}

/// An entry of a history.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryEntryResponse {
    at: Time,
    from: Option<&'static str>,
    to: &'static str,
    by: String,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_failed: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentDetailsResponse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    corrected: Vec<OrderField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undone: Option<UndoneStep>,
}

#[derive(Debug, Serialize)]
struct PaymentDetailsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
}

impl HistoryResponse {
    pub(crate) fn new(changes: impl IntoIterator<Item = StatusChange>) -> Self {
        let items = changes.into_iter().map(HistoryEntryResponse::new);
        Self { items: items.collect() }
    }
}

impl HistoryEntryResponse {
    pub(crate) fn new(change: StatusChange) -> Self {
        let is_known = change.payment != PaymentDetails::default();
        let PaymentDetails { reference, method, amount } = change.payment;
        Self {
            at: change.at,
            from: change.from.map(OrderStatus::name),
            to: change.to.name(),
            by: change.by,
            reason: change.reason,
            refunded: change.refunded,
            refund_failed: change.refund_failed,
            carrier: change.parcel.carrier,
            tracking: change.parcel.tracking,
            payment: is_known.then_some(PaymentDetailsResponse { reference, method, amount }),
            corrected: change.corrected,
            note: change.note,
            undone: change.undone,
        }
    }
}

/// A customer, as staff see them.
#[derive(Debug, Serialize)]
pub(crate) struct CustomerResponse {
    /// A guest's own, or the account's id under another prefix.
    id: CustomerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    name: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<Time>,
    /// The orders that were paid.
    orders: i64,
    /// What was paid and not returned, in each currency.
    spent: Vec<Money>,
}

impl CustomerResponse {
    pub(crate) fn new(customer: Customer, SpentRow { orders, spent }: SpentRow) -> Self {
        let spent = spent.into_iter().filter_map(|(currency, amount)| {
            Some(Money { amount, currency: currency.parse().ok()? })
        });
        let Customer { id, user_id, contact, registered_at } = customer;
        Self {
            id,
            user_id,
            name: contact.name,
            email: contact.email,
            registered_at,
            orders,
            spent: spent.collect(),
        }
    }
}
