//! How an order may go on.
//!
//! | from | step | to |
//! | --- | --- | --- |
//! | – | place | pending |
//! | pending | stock reserved · stock refused · cancel | confirmed · rejected · cancelled |
//! | confirmed | pay · cancel | paid · cancelled |
//! | paid | ship · cancel (refunds in full) | shipped · cancelled |
//! | shipped | deliver | delivered |
//! | paid, shipped, delivered | refund of a part · refund of the rest | unchanged · refunded |
//!
//! Rejected, cancelled and refunded are ends.
//!
//! **Invariant:** a step is taken here or nowhere, and each one gives the order
//! after it, the line of its history and the fact that others hear of, together.

use model::{Fact, Id, Money, Shortage, Time, kinds};
use serde::{Deserialize, Serialize};

use super::Order;

/// Why an order is rejected.
const OUT_OF_STOCK: &str = "out of stock";

/// Where an order is in its life. The numbers are part of stored keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// Placed; stock is not settled yet.
    Pending = 0,
    /// Stock is held for it.
    Confirmed = 1,
    /// Stock could not be held.
    Rejected = 2,
    /// Paid in full; stock is still held.
    Paid = 3,
    /// It left the house, and the shelf.
    Shipped = 4,
    /// It arrived.
    Delivered = 5,
    /// It is off, and what was held and paid is given back.
    Cancelled = 6,
    /// All its money went back.
    Refunded = 7,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// products holds every line.
    Reserve,
    /// products holds none.
    Refuse,
    /// All its money came.
    Pay,
    /// It leaves the house.
    Ship,
    /// It arrives.
    Deliver,
    /// It is called off.
    Cancel,
    /// Some of its money goes back.
    RefundPart,
    /// The rest of its money goes back.
    RefundRest,
}

impl Status {
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

    /// The state after a step; `None` when this state does not allow it.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        use Step::{Cancel, Deliver, Pay, RefundPart, RefundRest, Refuse, Reserve, Ship};
        match (self, step) {
            (Self::Pending, Reserve) => Some(Self::Confirmed),
            (Self::Pending, Refuse) => Some(Self::Rejected),
            (Self::Pending | Self::Confirmed | Self::Paid, Cancel) => Some(Self::Cancelled),
            (Self::Confirmed, Pay) => Some(Self::Paid),
            (Self::Paid, Ship) => Some(Self::Shipped),
            (Self::Shipped, Deliver) => Some(Self::Delivered),
            (Self::Paid | Self::Shipped | Self::Delivered, RefundPart) => Some(self),
            (Self::Paid | Self::Shipped | Self::Delivered, RefundRest) => Some(Self::Refunded),
            (Self::Pending, Pay | Ship | Deliver | RefundPart | RefundRest)
            | (Self::Confirmed, Reserve | Refuse | Ship | Deliver | RefundPart | RefundRest)
            | (Self::Paid, Reserve | Refuse | Pay | Deliver)
            | (Self::Shipped, Reserve | Refuse | Pay | Ship | Cancel)
            | (Self::Delivered, Reserve | Refuse | Pay | Ship | Deliver | Cancel)
            | (
                Self::Rejected | Self::Cancelled | Self::Refunded,
                Reserve | Refuse | Pay | Ship | Deliver | Cancel | RefundPart | RefundRest,
            ) => None,
        }
    }

    /// Its name on the wire.
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

    /// The state of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl Step {
    /// What is done to an order in it.
    pub(crate) fn participle(self) -> &'static str {
        match self {
            Self::Reserve => "confirmed",
            Self::Refuse => "rejected",
            Self::Pay => "paid",
            Self::Ship => "shipped",
            Self::Deliver => "delivered",
            Self::Cancel => "cancelled",
            Self::RefundPart | Self::RefundRest => "refunded",
        }
    }
}

/// Who does something to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    User(Id<kinds::User>),
    /// products answered.
    Products,
    /// Nobody paid in time.
    Expiry,
    /// The payment provider said so.
    Payments,
}

impl By {
    /// The user, if it was one.
    pub(crate) fn user(self) -> Option<Id<kinds::User>> {
        match self {
            Self::User(id) => Some(id),
            Self::Products | Self::Expiry | Self::Payments => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::User(id) => id.to_string(),
            Self::Products => "products".into(),
            Self::Expiry => "expiry".into(),
            Self::Payments => "payments".into(),
        }
    }
}

/// When something is done, by whom, why, and in which request.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) at: Time,
    pub(crate) by: By,
    pub(crate) reason: Option<String>,
    pub(crate) trace: Option<String>,
}

impl Cause {
    pub(crate) fn new(at: Time, by: By) -> Self {
        Self { at, by, reason: None, trace: None }
    }

    /// The same for this reason.
    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

/// A line of an order's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) at: Time,
    pub(crate) from: Option<Status>,
    pub(crate) to: Status,
    pub(crate) by: String,
    pub(crate) reason: Option<String>,
    /// What went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refunded: Option<Money>,
    /// Who carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) carrier: Option<String>,
    /// By which number it can be followed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracking: Option<String>,
}

/// A step that was taken: what is written down and what is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    pub(crate) change: Change,
    pub(crate) fact: Fact,
}

/// Why a step is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The state does not allow it.
    #[error("the order is {}; it cannot be {}", .status.name(), .step.participle())]
    Forbidden {
        /// The state it is in.
        status: Status,
        /// What was asked for.
        step: Step,
    },
    /// More was to be given back than is left.
    #[error("at most {} {} can still be refunded", .left.amount, .left.currency)]
    MoreThanLeft {
        /// What can still be refunded.
        left: Money,
    },
}

impl Order {
    /// Products holds every line, until `until` if nobody pays.
    pub(crate) fn reserve(&mut self, at: Time, until: Option<Time>) -> Result<Taken, Refused> {
        let change = self.step(Step::Reserve, Cause::new(at, By::Products))?;
        self.settled_at = Some(at);
        self.reserved_until = until;
        let fact = Fact::OrderConfirmed { order_id: self.id, user_id: self.user_id };
        Ok(Taken { change, fact })
    }

    /// Products holds none of the lines.
    pub(crate) fn refuse(&mut self, at: Time, shortages: Vec<Shortage>) -> Result<Taken, Refused> {
        let cause = Cause::new(at, By::Products).because(OUT_OF_STOCK);
        let change = self.step(Step::Refuse, cause)?;
        self.settled_at = Some(at);
        self.shortages = shortages;
        let fact = Fact::OrderRejected { order_id: self.id, user_id: self.user_id };
        Ok(Taken { change, fact })
    }

    pub(crate) fn pay(&mut self, cause: Cause) -> Result<Taken, Refused> {
        let change = self.step(Step::Pay, cause)?;
        let fact = Fact::OrderPaid { order_id: self.id, user_id: self.user_id };
        Ok(Taken { change, fact })
    }

    pub(crate) fn ship(
        &mut self,
        cause: Cause,
        carrier: Option<String>,
        tracking: Option<String>,
    ) -> Result<Taken, Refused> {
        let change = Change { carrier, tracking, ..self.step(Step::Ship, cause)? };
        let fact = Fact::OrderShipped { order_id: self.id, user_id: self.user_id };
        Ok(Taken { change, fact })
    }

    pub(crate) fn deliver(&mut self, cause: Cause) -> Result<Taken, Refused> {
        let change = self.step(Step::Deliver, cause)?;
        let fact = Fact::OrderDelivered { order_id: self.id, user_id: self.user_id };
        Ok(Taken { change, fact })
    }

    /// Calls it off; what was paid goes back.
    pub(crate) fn cancel(&mut self, cause: Cause) -> Result<Taken, Refused> {
        let refunded = (self.status == Status::Paid).then(|| self.left());
        let change = Change { refunded, ..self.step(Step::Cancel, cause)? };
        if refunded.is_some() {
            self.refunded_total = self.total;
        }
        let (order_id, user_id) = (self.id, self.user_id);
        let fact = Fact::OrderCancelled { order_id, user_id, refunded };
        Ok(Taken { change, fact })
    }

    /// Gives money back: `amount` in minor units, or all that is left.
    pub(crate) fn refund(&mut self, cause: Cause, amount: Option<i64>) -> Result<Taken, Refused> {
        let left = self.left();
        let amount = Money { amount: amount.unwrap_or(left.amount), ..left };
        let in_full = amount.amount >= left.amount;
        let step = if in_full { Step::RefundRest } else { Step::RefundPart };
        let refunded_total = self
            .refunded_total
            .checked_add(amount)
            .filter(|sum| sum.amount <= self.total.amount);
        // The state is what a client hears of first.
        if self.status.after(step).is_some() && refunded_total.is_none() {
            return Err(Refused::MoreThanLeft { left });
        }
        let change = Change { refunded: Some(amount), ..self.step(step, cause)? };
        self.refunded_total = refunded_total.unwrap_or(self.total);
        let (order_id, user_id) = (self.id, self.user_id);
        let fact = Fact::OrderRefunded { order_id, user_id, amount, in_full };
        Ok(Taken { change, fact })
    }

    /// What was not given back yet.
    fn left(&self) -> Money {
        let amount = self.total.amount - self.refunded_total.amount;
        Money { amount, ..self.total }
    }

    fn step(&mut self, step: Step, cause: Cause) -> Result<Change, Refused> {
        let status = self.status;
        let forbidden = Refused::Forbidden { status, step };
        let change = Change::new(Some(status), status.after(step).ok_or(forbidden)?, cause);
        self.status = change.to;
        self.updated_at = change.at;
        Ok(change)
    }

    /// The order as products left it, before anything else happened to it; `None`
    /// if products never did.
    pub(crate) fn as_settled(&self) -> Option<Self> {
        let settled_at = self.settled_at?;
        Some(Self {
            status: self.settled_as(),
            refunded_total: Money::zero(self.total.currency),
            updated_at: settled_at,
            ..self.clone()
        })
    }

    /// The beginning of its history, which its own fields tell: that it was placed,
    /// and what products said.
    pub(crate) fn first_changes(&self) -> Vec<Change> {
        let placed = Cause::new(self.created_at, By::User(self.user_id));
        let mut changes = vec![Change::new(None, Status::Pending, placed)];
        if let Some(at) = self.settled_at {
            let (status, cause) = (self.settled_as(), Cause::new(at, By::Products));
            let cause = match status {
                Status::Rejected => cause.because(OUT_OF_STOCK),
                _ => cause,
            };
            changes.push(Change::new(Some(Status::Pending), status, cause));
        }
        changes
    }

    /// What products made of it, once it did: what was rejected stays so.
    fn settled_as(&self) -> Status {
        match self.status {
            Status::Rejected => Status::Rejected,
            _ => Status::Confirmed,
        }
    }
}

impl Change {
    pub(crate) fn new(from: Option<Status>, to: Status, cause: Cause) -> Self {
        let Cause { at, by, reason, trace: _ } = cause;
        let by = by.name();
        Self {
            at,
            from,
            to,
            by,
            reason,
            refunded: None,
            carrier: None,
            tracking: None,
        }
    }
}
