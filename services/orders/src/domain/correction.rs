//! Corrections by staff: the parcel and the address of an order that is not delivered yet, and
//! notes about it.
//!
//! **Invariant:** a correction changes no status and no money, and each is an entry of the
//! history. An address stands in no entry, so that erasing a person has one place to erase it
//! from.

use model::{Fact, OrderField};

use super::{
    AppliedChange, HISTORY_ROWS_MAX, Order, OrderAddress, OrderCause, OrderStatus, StatusChange,
    TransitionError,
};

/// What was handed to the carrier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) carrier: Option<String>,
    /// The carrier's number of it.
    pub(crate) tracking: Option<String>,
}

impl Parcel {
    /// The page that follows the parcel, if its carrier is a known one.
    pub(crate) fn tracking_url(&self) -> Option<String> {
        model::tracking_url(self.carrier.as_deref()?, self.tracking.as_deref()?)
    }
}

/// A correction: each field that is given replaces the order's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Correction {
    pub(crate) shipping_address: Option<Option<OrderAddress>>,
    pub(crate) carrier: Option<Option<String>>,
    pub(crate) tracking: Option<Option<String>>,
}

impl Order {
    /// Corrects the order; `None` if that changes nothing. The order must have a stock outcome,
    /// because the response to its placing is made from what it was then, and must not be
    /// delivered or over.
    pub(crate) fn correct(
        &mut self,
        correction: Correction,
        cause: &OrderCause,
    ) -> Result<Option<AppliedChange>, TransitionError> {
        let status = self.status;
        let is_open = matches!(
            status,
            OrderStatus::Confirmed | OrderStatus::Paid | OrderStatus::Shipped
        );
        if !is_open {
            return Err(TransitionError::Uncorrectable { status });
        }
        let Correction { shipping_address, carrier, tracking } = correction;
        let mut change = StatusChange::within(status, cause);
        let fields = &mut change.corrected;
        if replace(&mut self.shipping_address, shipping_address) {
            fields.push(OrderField::ShippingAddress);
        }
        if replace(&mut self.parcel.carrier, carrier) {
            fields.push(OrderField::Carrier);
        }
        if replace(&mut self.parcel.tracking, tracking) {
            fields.push(OrderField::Tracking);
        }
        if fields.is_empty() {
            return Ok(None);
        }
        if fields.contains(&OrderField::Carrier) || fields.contains(&OrderField::Tracking) {
            change.parcel = self.parcel.clone();
        }
        self.updated_at = cause.at;
        let fact = Fact::OrderCorrected {
            order_id: self.id,
            user_id: self.buyer.user_id(),
            corrected: change.corrected.clone(),
            shipped: status == OrderStatus::Shipped,
        };
        Ok(Some(AppliedChange { change, fact, also: None }))
    }

    /// A note of staff's, as an entry of the history.
    pub(crate) fn note(&self, text: String, cause: &OrderCause) -> StatusChange {
        StatusChange { note: Some(text), ..StatusChange::within(self.status, cause) }
    }
}

/// Refuses a further entry of a history of that many.
pub(crate) fn require_room(history_rows: u16) -> Result<(), TransitionError> {
    match history_rows < HISTORY_ROWS_MAX {
        true => Ok(()),
        false => Err(TransitionError::HistoryFull),
    }
}

/// Replaces a value, and returns whether it differs.
fn replace<T: PartialEq>(value: &mut Option<T>, by: Option<Option<T>>) -> bool {
    match by {
        Some(by) if *value != by => {
            *value = by;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use model::Time;

    use super::*;
    use crate::domain::tests::order;
    use crate::domain::{Actor, OrderCommand, PaymentDetails};

    #[test]
    fn what_can_be_corrected_until_when() {
        let cause = |at| OrderCause::new(Time(at), Actor::Expiry);
        let correction = || Correction {
            tracking: Some(Some("124".into())),
            carrier: Some(None),
            ..Correction::default()
        };
        let mut order = order(100);
        let status = OrderStatus::Pending;
        let early = order.correct(correction(), &cause(2));
        assert_eq!(early, Err(TransitionError::Uncorrectable { status }));
        for command in [
            OrderCommand::Confirm { reserved_until: None },
            OrderCommand::Pay(PaymentDetails::default()),
            OrderCommand::Ship(Parcel { carrier: None, tracking: Some("123".into()) }),
        ] {
            order.apply(command, &cause(3)).unwrap();
        }
        let placed = order.at_stock_outcome();
        let applied = order.correct(correction(), &cause(4)).unwrap().unwrap();
        let AppliedChange { change, fact, .. } = applied;
        let (order_id, user_id) = (order.id, order.buyer.user_id());
        let corrected = vec![OrderField::Tracking];
        assert_eq!(
            fact,
            Fact::OrderCorrected { order_id, user_id, corrected, shipped: true }
        );
        assert_eq!(change.corrected, [OrderField::Tracking]);
        assert_eq!(change.parcel, order.parcel);
        assert_eq!(
            (change.from, change.to),
            (Some(OrderStatus::Shipped), OrderStatus::Shipped)
        );
        assert_eq!(order.updated_at, Time(4));
        assert_eq!(order.correct(correction(), &cause(5)), Ok(None));
        assert_eq!(order.updated_at, Time(4));
        assert_eq!(
            order.at_stock_outcome(),
            placed,
            "the response to placing stays"
        );
        order.apply(OrderCommand::Deliver, &cause(6)).unwrap();
        let status = OrderStatus::Delivered;
        let late = order.correct(correction(), &cause(7));
        assert_eq!(late, Err(TransitionError::Uncorrectable { status }));
    }
}
