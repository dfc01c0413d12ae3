//! Orders: their data, limits and status machine. Pure: no I/O, no clock.
//!
//! | from | command | to |
//! | --- | --- | --- |
//! | – | place | pending |
//! | pending | confirm (a total of 0: paid at once) · reject · cancel | confirmed (paid) · rejected · cancelled |
//! | confirmed | pay · cancel | paid · cancelled |
//! | confirmed, to be paid by transfer or on delivery | ship | shipped |
//! | paid | ship · cancel (refunds in full, at a provider later) | shipped · cancelled |
//! | shipped | deliver | delivered |
//! | shipped, delivered, not paid yet | pay | unchanged |
//! | paid, shipped, delivered, of what was paid | refund of a part · refund of the rest | unchanged · refunded |
//! | paid, shipped, delivered, cancelled, refunded, of which a refund counts | fail a refund | unchanged |
//! | cancelled, refunded, of whose payment the shop or a provider has some | refund | unchanged |
//! | cancelled by expiry, paid after that | revive | confirmed |
//! | delivered · shipped · paid | undo the last step | shipped · paid (confirmed, if it is not paid) · confirmed |
//! | shipped, delivered, paid after that | undo the payment | unchanged |
//!
//! Rejected is final, and so is any other cancelled or refunded order.
//!
//! **Invariant:** an order changes its status in [`Order::apply`] only, which returns
//! the history entry and the event of the transition together.

mod address;
mod buyer;
mod cause;
mod charges;
mod correction;
mod number;
mod payment;
mod refund;
mod settlement;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod undo;

use model::{Address, Fact, Money, OrderField, OrderId, ProductId, Shortage, Time, UndoneStep};

pub(crate) use address::{FreeFormAddress, OrderAddress};
pub(crate) use buyer::{Buyer, BuyerContact, BuyerErasure, Guest};
pub(crate) use cause::{Actor, OrderCause};
pub(crate) use charges::{Charges, ChosenMethod, GivenCode};
pub(crate) use correction::{Correction, Parcel, require_room};
pub(crate) use number::OrderNumber;
pub(crate) use payment::{PaymentDetails, PaymentMessage, PaymentOutcome, PaymentResult};
pub(crate) use settlement::{ChosenPayment, PaidCancellation, PaymentMethod, Revival, Settlement};
pub(crate) use status::{OrderStatus, Transition};
pub(crate) use undo::{PastStep, last_step};

/// Units of one product in an order.
pub(crate) const QUANTITY_MAX: u32 = 1000;
/// Lines of an order. Bounds the work of one reservation and the size of one event.
pub(crate) const LINES_MAX: usize = 100;
/// Characters of a note.
pub(crate) const NOTE_CHARS_MAX: usize = 1000;
/// Characters of the reason of a cancellation or a refund.
pub(crate) const REASON_CHARS_MAX: usize = 500;
/// Characters of a carrier's name and of its tracking number.
pub(crate) const CARRIER_CHARS_MAX: usize = 200;
/// Bytes of a payment's reference.
pub(crate) const REFERENCE_BYTES_MAX: usize = 255;
/// Characters of the name of a payment method.
pub(crate) const METHOD_CHARS_MAX: usize = 50;
/// Entries of one order's history up to which notes, corrections and failed payments are added
/// to it: enough for any order, and one response holds them all.
pub(crate) const HISTORY_ROWS_MAX: u16 = 200;

/// The reason in the history of a rejected order.
const OUT_OF_STOCK: &str = "out of stock";
/// The reason in the history of an order whose total is 0.
const NOTHING_TO_PAY: &str = "nothing to pay";
/// The reason in the history of a guest's order that became an account's.
pub(crate) const CLAIMED: &str = "claimed by the account of its e-mail address";

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// `None` for one of an earlier version that has not got its number yet.
    pub(crate) number: Option<OrderNumber>,
    pub(crate) buyer: Buyer,
    pub(crate) status: OrderStatus,
    pub(crate) lines: Vec<OrderLine>,
    /// What the buyer pays.
    pub(crate) total: Money,
    /// What of that is no line.
    pub(crate) charges: Charges,
    pub(crate) refunded_total: Money,
    pub(crate) shipping_address: Option<OrderAddress>,
    pub(crate) billing_address: Option<Address>,
    pub(crate) note: Option<String>,
    /// The language it was placed in, as a BCP 47 tag, if the client named one.
    pub(crate) language: Option<String>,
    /// The request that placed it.
    pub(crate) request_id: String,
    /// When products reserved or refused its stock; `None` until then.
    pub(crate) stock_outcome_at: Option<Time>,
    /// The lines that products had too little stock of.
    pub(crate) shortages: Vec<Shortage>,
    /// When an unpaid order is cancelled and its stock released, unless the payment method
    /// that its buyer chose says otherwise ([`Order::unpaid_until`]).
    pub(crate) reserved_until: Option<Time>,
    /// The reference of the payment that paid for it, or that will once it is confirmed.
    pub(crate) payment: Option<String>,
    pub(crate) settlement: Settlement,
    /// What was handed to the carrier.
    pub(crate) parcel: Parcel,
    pub(crate) erasure: BuyerErasure,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

/// A line of an order, with title and price as they were when it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
    /// What promotions take off it, in minor units.
    pub(crate) discount: i64,
    /// Basis points; 0 also where no rate is charged.
    pub(crate) tax_rate_bp: u32,
    /// Its share of the tax of its rate, in minor units.
    pub(crate) tax: i64,
}

/// A command to an order: a transition with its parameters.
#[derive(Debug, Clone)]
pub(crate) enum OrderCommand {
    /// Every line is reserved, until then if nothing is paid.
    Confirm { reserved_until: Option<Time> },
    /// No line is reserved, for lack of these.
    Reject { shortages: Vec<Shortage> },
    /// The whole total was received.
    Pay(PaymentDetails),
    /// The carrier has it.
    Ship(Parcel),
    /// The customer has it.
    Deliver,
    /// A payment is refunded in full.
    Cancel,
    /// `amount` in minor units is refunded, or all that is left.
    Refund { amount: Option<i64> },
    /// A refund of `amount` in minor units came back, of the payment with that reference.
    FailRefund { amount: i64, payment: String },
    /// Its stock is reserved again, after it had expired.
    Revive,
    /// The last step was recorded by mistake; `None` if it is none that can be undone.
    Undo { step: Option<PastStep> },
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
    /// An earlier refund that failed.
    pub(crate) refund_failed: Option<Money>,
    /// The parcel as it was shipped, or after a correction of it.
    pub(crate) parcel: Parcel,
    /// What is known of a payment that staff recorded.
    pub(crate) payment: PaymentDetails,
    /// The fields that staff corrected.
    pub(crate) corrected: Vec<OrderField>,
    /// A note of staff's, which only staff see.
    pub(crate) note: Option<String>,
    /// The step that this entry undoes.
    pub(crate) undone: Option<UndoneStep>,
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
            refund_failed: None,
            parcel: Parcel::default(),
            payment: PaymentDetails::default(),
            corrected: Vec::new(),
            note: None,
            undone: None,
        }
    }

    /// An entry that leaves the status as it is.
    pub(crate) fn within(status: OrderStatus, cause: &OrderCause) -> Self {
        Self::new(Some(status), status, cause)
    }
}

/// An applied transition or correction: its history entry and its events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppliedChange {
    pub(crate) change: StatusChange,
    pub(crate) fact: Fact,
    /// What happened with it: an order without anything to pay is paid.
    pub(crate) also: Option<Fact>,
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
    /// The refund exceeds `left`, the part of what was paid that is not refunded yet.
    #[error("at most {left} can still be refunded")]
    RefundTooLarge { left: Money },
    /// Its stock is not decided yet, or it is beyond correction.
    #[error("the order is {}; it can be changed from `confirmed` until it is `delivered`", .status.name())]
    Uncorrectable { status: OrderStatus },
    /// Its last step is no shipping, no delivery and no payment that staff recorded.
    #[error("the order is {}, and its last step cannot be undone: only shipping, delivery and a payment that staff recorded can be, and no payment of which something was refunded", .status.name())]
    NotUndoable { status: OrderStatus },
    /// Its buyer is erased, and with them where it goes.
    #[error(
        "the buyer of the order is erased, and with them the address that it was sent to, so its shipping cannot be undone; for a parcel that is back, refund the order and book its units into stock"
    )]
    BuyerErased,
    /// Its history has as many entries as it may have.
    #[error("the order's history has {HISTORY_ROWS_MAX} entries; no more are added")]
    HistoryFull,
}

impl Order {
    /// Applies a command: changes the order and returns its history entry and event.
    pub(crate) fn apply(
        &mut self,
        command: OrderCommand,
        cause: &OrderCause,
    ) -> Result<AppliedChange, TransitionError> {
        let status = self.status;
        let left = self.refundable();
        let transition = self.transition(&command)?;
        let forbidden = TransitionError::Forbidden { status, transition };
        let to = status
            .after(transition)
            .filter(|_| self.settlement.allows(status, transition))
            .ok_or(forbidden)?;
        let mut change = StatusChange::new(Some(status), to, cause);
        let (order_id, user_id) = (self.id, self.buyer.user_id());
        let mut also = None;
        let fact = match command {
            OrderCommand::Confirm { reserved_until } => {
                self.stock_outcome_at = Some(cause.at);
                if transition == Transition::ConfirmFree {
                    self.settlement.at_once = true;
                    change.reason = Some(NOTHING_TO_PAY.into());
                    also = Some(Fact::OrderPaid { order_id, user_id });
                } else {
                    self.reserved_until = reserved_until;
                }
                Fact::OrderConfirmed { order_id, user_id }
            }
            OrderCommand::Reject { shortages } => {
                self.stock_outcome_at = Some(cause.at);
                self.shortages = shortages;
                change.reason = Some(OUT_OF_STOCK.into());
                Fact::OrderRejected { order_id, user_id }
            }
            OrderCommand::Pay(details) => {
                change.payment = self.receive(details, cause.by);
                Fact::OrderPaid { order_id, user_id }
            }
            OrderCommand::Ship(parcel) => {
                self.settlement.owed = transition == Transition::ShipUnpaid;
                self.parcel = parcel.clone();
                change.parcel = parcel;
                Fact::OrderShipped { order_id, user_id }
            }
            OrderCommand::Deliver => Fact::OrderDelivered { order_id, user_id },
            OrderCommand::Cancel => {
                let returned = (status == OrderStatus::Paid).then_some(left);
                let (refunded, refund_pending) = self.give_back(returned);
                change.refunded = refunded;
                if cause.by == Actor::Expiry {
                    self.settlement.revival = Revival::Possible;
                }
                Fact::OrderCancelled { order_id, user_id, refunded, refund_pending }
            }
            OrderCommand::Refund { amount } => self.refund(amount, transition, &mut change)?,
            OrderCommand::FailRefund { amount, payment } => {
                self.fail_refund(amount, payment, &mut change)?
            }
            OrderCommand::Revive => {
                self.settlement.revival = Revival::No;
                Fact::OrderConfirmed { order_id, user_id }
            }
            OrderCommand::Undo { step } => self.undo(step, &mut change)?,
        };
        (self.status, self.updated_at) = (to, cause.at);
        Ok(AppliedChange { change, fact, also })
    }

    /// The transition of a command to this order.
    fn transition(&self, command: &OrderCommand) -> Result<Transition, TransitionError> {
        Ok(match command {
            OrderCommand::Confirm { .. } if self.total.amount == 0 => Transition::ConfirmFree,
            OrderCommand::Confirm { .. } => Transition::Confirm,
            OrderCommand::Reject { .. } => Transition::Reject,
            OrderCommand::Pay(_) if self.settlement.owed => Transition::PayLate,
            OrderCommand::Pay(_) => Transition::Pay,
            OrderCommand::Ship(_) if self.is_shipped_unpaid() => Transition::ShipUnpaid,
            OrderCommand::Ship(_) => Transition::Ship,
            OrderCommand::Deliver => Transition::Deliver,
            OrderCommand::Cancel => Transition::Cancel,
            OrderCommand::Refund { amount } => {
                let amount = amount.unwrap_or(self.refundable().amount);
                match amount < self.unreturned().amount {
                    true => Transition::RefundPart,
                    false => Transition::RefundRest,
                }
            }
            OrderCommand::FailRefund { .. } => Transition::FailRefund,
            OrderCommand::Revive => Transition::Revive,
            OrderCommand::Undo { step } => return self.undoing(*step),
        })
    }

    /// The order as it was at its stock outcome, before any later transition, but for a
    /// correction of its address; `None` without a stock outcome.
    pub(crate) fn at_stock_outcome(&self) -> Option<Self> {
        Some(Self {
            updated_at: self.stock_outcome_at?,
            status: self.stock_outcome_status(),
            refunded_total: Money::zero(self.total.currency),
            settlement: self.settlement.at_stock_outcome(),
            parcel: Parcel::default(),
            ..self.clone()
        })
    }

    /// The first entries of the history, made from the order's own fields: the placing
    /// and the stock outcome.
    pub(crate) fn first_changes(&self) -> Vec<StatusChange> {
        let placed = OrderCause::new(self.created_at, Actor::of(&self.buyer));
        let mut changes = vec![StatusChange::new(None, OrderStatus::Pending, &placed)];
        if let Some(at) = self.stock_outcome_at {
            let to = self.stock_outcome_status();
            let mut cause = OrderCause::new(at, Actor::Products);
            cause.reason = match to {
                OrderStatus::Rejected => Some(OUT_OF_STOCK.into()),
                OrderStatus::Paid => Some(NOTHING_TO_PAY.into()),
                _ => None,
            };
            changes.push(StatusChange::new(Some(OrderStatus::Pending), to, &cause));
        }
        changes
    }

    /// The status right after the stock outcome: rejected is final, and every other
    /// status is reached through confirmed, or through paid if there was nothing to pay.
    fn stock_outcome_status(&self) -> OrderStatus {
        match self.status {
            OrderStatus::Rejected => OrderStatus::Rejected,
            _ if self.settlement.at_once => OrderStatus::Paid,
            _ => OrderStatus::Confirmed,
        }
    }
}
