//! Orders: their data, limits and status machine. Pure: no I/O, no clock.
//!
//! | from | command | to |
//! | --- | --- | --- |
//! | – | place | pending |
//! | pending | confirm · reject · cancel | confirmed · rejected · cancelled |
//! | confirmed | pay · cancel | paid · cancelled |
//! | paid | ship · cancel (refunds in full) | shipped · cancelled |
//! | shipped | deliver | delivered |
//! | paid, shipped, delivered | refund of a part · refund of the rest | unchanged · refunded |
//!
//! Rejected, cancelled and refunded are final.
//!
//! **Invariant:** an order changes its status in [`Order::apply`] only, which returns
//! the history entry and the event of the transition together.

mod cause;
mod payment;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use model::{Fact, Money, OrderId, ProductId, Shortage, Time, UserId};

pub(crate) use cause::{Actor, OrderCause};
pub(crate) use payment::{PaymentMessage, PaymentOutcome, PaymentResult};

/// Units of one product in an order.
pub(crate) const QUANTITY_MAX: u32 = 1000;
/// Lines of an order. Bounds the work of one reservation and the size of one event.
pub(crate) const LINES_MAX: usize = 100;
/// Characters of a note.
pub(crate) const NOTE_CHARS_MAX: usize = 1000;
/// Fields of a shipping address and characters of their names and values. Together
/// with the note they keep an order's row below the largest stored value.
pub(crate) const ADDRESS_FIELDS_MAX: usize = 20;
pub(crate) const ADDRESS_NAME_CHARS_MAX: usize = 40;
pub(crate) const ADDRESS_VALUE_CHARS_MAX: usize = 200;
/// Characters of the reason of a cancellation or a refund.
pub(crate) const REASON_CHARS_MAX: usize = 500;
/// Characters of a carrier's name and of its tracking number.
pub(crate) const CARRIER_CHARS_MAX: usize = 200;

/// The reason in the history of a rejected order.
const OUT_OF_STOCK: &str = "out of stock";

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) user_id: UserId,
    pub(crate) status: OrderStatus,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total: Money,
    pub(crate) refunded_total: Money,
    pub(crate) shipping_address: Option<Address>,
    pub(crate) note: Option<String>,
    /// The language it was placed in, as a BCP 47 tag, if the client named one.
    pub(crate) language: Option<String>,
    /// The request that placed it.
    pub(crate) request_id: String,
    /// When products reserved or refused its stock; `None` until then.
    pub(crate) stock_outcome_at: Option<Time>,
    /// The lines that products had too little stock of.
    pub(crate) shortages: Vec<Shortage>,
    /// When an unpaid order is cancelled and its stock released.
    pub(crate) reserved_until: Option<Time>,
    /// The reference of the payment that paid for it, or that will once it is confirmed.
    pub(crate) payment: Option<String>,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

/// A shipping address: any fields that the shop's front end uses.
pub(crate) type Address = BTreeMap<String, String>;

/// A line of an order, with title and price as they were when it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

/// The status of an order. The numbers are part of stored keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OrderStatus {
    /// Placed; products has not decided about its stock yet.
    Pending = 0,
    /// Its stock is reserved.
    Confirmed = 1,
    /// Its stock could not be reserved.
    Rejected = 2,
    /// Paid in full; its stock is still reserved.
    Paid = 3,
    /// Handed to the carrier; its stock has left the warehouse.
    Shipped = 4,
    /// Received by the customer.
    Delivered = 5,
    /// Cancelled; its stock is released and its payment refunded.
    Cancelled = 6,
    /// Refunded in full.
    Refunded = 7,
}

/// A transition of the status machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    Confirm,
    Reject,
    Pay,
    Ship,
    Deliver,
    Cancel,
    RefundPart,
    RefundRest,
}

impl OrderStatus {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pending,
        Self::Confirmed,
        Self::Rejected,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The status after a transition, if this status allows it.
    pub(crate) fn after(self, transition: Transition) -> Option<Self> {
        use Transition::{Cancel, Confirm, Deliver, Pay, RefundPart, RefundRest, Reject, Ship};
        match (self, transition) {
            (Self::Pending, Confirm) => Some(Self::Confirmed),
            (Self::Pending, Reject) => Some(Self::Rejected),
            (Self::Pending | Self::Confirmed | Self::Paid, Cancel) => Some(Self::Cancelled),
            (Self::Confirmed, Pay) => Some(Self::Paid),
            (Self::Paid, Ship) => Some(Self::Shipped),
            (Self::Shipped, Deliver) => Some(Self::Delivered),
            (Self::Paid | Self::Shipped | Self::Delivered, RefundPart) => Some(self),
            (Self::Paid | Self::Shipped | Self::Delivered, RefundRest) => Some(Self::Refunded),
            (_, Confirm | Reject | Pay | Ship | Deliver | Cancel | RefundPart | RefundRest) => None,
        }
    }

    /// Whether products holds stock for an order of this status; for a pending one it is about
    /// to.
    pub(crate) fn holds_stock(self) -> bool {
        matches!(self, Self::Confirmed | Self::Paid)
    }

    /// The name in responses and in stored rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl Transition {
    /// For the text of a refusal.
    fn participle(self) -> &'static str {
        match self {
            Self::Confirm => "confirmed",
            Self::Reject => "rejected",
            Self::Pay => "paid",
            Self::Ship => "shipped",
            Self::Deliver => "delivered",
            Self::Cancel => "cancelled",
            Self::RefundPart | Self::RefundRest => "refunded",
        }
    }
}

/// A command to an order: a transition with its parameters.
#[derive(Debug, Clone)]
pub(crate) enum OrderCommand {
    /// Every line is reserved, until then if nothing is paid.
    Confirm { reserved_until: Option<Time> },
    /// No line is reserved, for lack of these.
    Reject { shortages: Vec<Shortage> },
    /// The whole total was received.
    Pay,
    /// The carrier has it.
    Ship {
        carrier: Option<String>,
        tracking: Option<String>,
    },
    /// The customer has it.
    Deliver,
    /// A payment is refunded in full.
    Cancel,
    /// `amount` in minor units is refunded, or all that is left.
    Refund { amount: Option<i64> },
}

/// An entry of an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusChange {
    pub(crate) at: Time,
    /// `None` for the entry of the placing.
    pub(crate) from: Option<OrderStatus>,
    pub(crate) to: OrderStatus,
    pub(crate) by: String,
    pub(crate) reason: Option<String>,
    pub(crate) refunded: Option<Money>,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking: Option<String>,
}

impl StatusChange {
    pub(crate) fn new(from: Option<OrderStatus>, to: OrderStatus, cause: &OrderCause) -> Self {
        Self {
            at: cause.at,
            from,
            to,
            by: cause.by.name(),
            reason: cause.reason.clone(),
            refunded: None,
            carrier: None,
            tracking: None,
        }
    }
}

/// An applied transition: its history entry and its event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppliedTransition {
    pub(crate) change: StatusChange,
    pub(crate) fact: Fact,
}

/// The refusal of a command. The order is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransitionError {
    /// The status does not allow it.
    #[error("the order is {}; it cannot be {}", .status.name(), .transition.participle())]
    Forbidden {
        status: OrderStatus,
        transition: Transition,
    },
    /// The refund exceeds `left`, the part of the total that is not refunded yet.
    #[error("at most {} {} can still be refunded", .left.amount, .left.currency)]
    RefundTooLarge { left: Money },
}

impl Order {
    /// Applies a command: changes the order and returns its history entry and event.
    pub(crate) fn apply(
        &mut self,
        command: OrderCommand,
        cause: &OrderCause,
    ) -> Result<AppliedTransition, TransitionError> {
        let status = self.status;
        let left = Money {
            amount: self.total.amount - self.refunded_total.amount,
            ..self.total
        };
        let transition = transition(&command, left);
        let forbidden = TransitionError::Forbidden { status, transition };
        let to = status.after(transition).ok_or(forbidden)?;
        let mut change = StatusChange::new(Some(status), to, cause);
        let (order_id, user_id) = (self.id, self.user_id);
        let fact = match command {
            OrderCommand::Confirm { reserved_until } => {
                self.stock_outcome_at = Some(cause.at);
                self.reserved_until = reserved_until;
                Fact::OrderConfirmed { order_id, user_id }
            }
            OrderCommand::Reject { shortages } => {
                self.stock_outcome_at = Some(cause.at);
                self.shortages = shortages;
                change.reason = Some(OUT_OF_STOCK.into());
                Fact::OrderRejected { order_id, user_id }
            }
            OrderCommand::Pay => Fact::OrderPaid { order_id, user_id },
            OrderCommand::Ship { carrier, tracking } => {
                (change.carrier, change.tracking) = (carrier, tracking);
                Fact::OrderShipped { order_id, user_id }
            }
            OrderCommand::Deliver => Fact::OrderDelivered { order_id, user_id },
            OrderCommand::Cancel => {
                let refunded = (status == OrderStatus::Paid).then_some(left);
                self.refunded_total.amount += refunded.map_or(0, |refund| refund.amount);
                change.refunded = refunded;
                Fact::OrderCancelled { order_id, user_id, refunded }
            }
            OrderCommand::Refund { amount } => {
                let amount = Money { amount: amount.unwrap_or(left.amount), ..left };
                if amount.amount > left.amount {
                    return Err(TransitionError::RefundTooLarge { left });
                }
                self.refunded_total.amount += amount.amount;
                change.refunded = Some(amount);
                let in_full = transition == Transition::RefundRest;
                Fact::OrderRefunded { order_id, user_id, amount, in_full }
            }
        };
        (self.status, self.updated_at) = (to, cause.at);
        Ok(AppliedTransition { change, fact })
    }

    /// The order as it was at its stock outcome, before any later transition; `None`
    /// without a stock outcome.
    pub(crate) fn at_stock_outcome(&self) -> Option<Self> {
        Some(Self {
            updated_at: self.stock_outcome_at?,
            status: self.stock_outcome_status(),
            refunded_total: Money::zero(self.total.currency),
            ..self.clone()
        })
    }

    /// The first entries of the history, made from the order's own fields: the placing
    /// and the stock outcome.
    pub(crate) fn first_changes(&self) -> Vec<StatusChange> {
        let placed = OrderCause::new(self.created_at, Actor::User(self.user_id));
        let mut changes = vec![StatusChange::new(None, OrderStatus::Pending, &placed)];
        if let Some(at) = self.stock_outcome_at {
            let to = self.stock_outcome_status();
            let mut cause = OrderCause::new(at, Actor::Products);
            cause.reason = (to == OrderStatus::Rejected).then(|| OUT_OF_STOCK.into());
            changes.push(StatusChange::new(Some(OrderStatus::Pending), to, &cause));
        }
        changes
    }

    /// The status right after the stock outcome: rejected is final, and every other
    /// status is reached through confirmed.
    fn stock_outcome_status(&self) -> OrderStatus {
        match self.status {
            OrderStatus::Rejected => OrderStatus::Rejected,
            _ => OrderStatus::Confirmed,
        }
    }
}

/// The transition of a command to an order of which `left` is not refunded yet.
fn transition(command: &OrderCommand, left: Money) -> Transition {
    match command {
        OrderCommand::Confirm { .. } => Transition::Confirm,
        OrderCommand::Reject { .. } => Transition::Reject,
        OrderCommand::Pay => Transition::Pay,
        OrderCommand::Ship { .. } => Transition::Ship,
        OrderCommand::Deliver => Transition::Deliver,
        OrderCommand::Cancel => Transition::Cancel,
        OrderCommand::Refund { amount: Some(amount) } if *amount < left.amount => {
            Transition::RefundPart
        }
        OrderCommand::Refund { .. } => Transition::RefundRest,
    }
}
