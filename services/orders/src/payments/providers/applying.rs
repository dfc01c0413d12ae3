//! The transactions that apply what a provider answered.
//!
//! What was fetched may be older than what is known, or be applied again: a payment, a refund and
//! a dispute take effect once by their ids at the provider, and what is final stays.

use mesh::{Cause, Draft};
use model::{Fact, Money, OrderId, RefundFault, Time};
use store::{Read, Tx};

use super::calls::{Lane, ProviderRequest, first_fetch};
use super::{BegunPayment, FetchedPayment, FetchedRefund};
use crate::domain::{
    Actor, OrderCause, OrderCommand, PaymentMessage, PaymentMethod, PaymentResult,
};
use crate::payments::refunds::{self, RefundStatus};
use crate::payments::tables::{self, Attempt, AttemptStatus, PaymentId, ProviderAttempt, RefundId};
use crate::payments::webhook::{self, SignedMessage};
use crate::sales::Ledger;
use crate::{Error, commands, tables as orders};

/// An applied answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AppliedAnswer {
    /// The order that it is about, if there is one.
    pub(super) order_id: Option<OrderId>,
    /// Whether more is to come of it, so that it is asked about again.
    pub(super) is_open: bool,
}

/// Records that a provider opened an attempt, and asks about it from then on.
pub(super) fn attempt_opened(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    (order_id, payment_id): (OrderId, PaymentId),
    begun: BegunPayment,
    now: Time,
) -> Result<(), Error> {
    let Some(mut attempt) = tables::attempt(tx, order_id, payment_id)? else {
        return Ok(());
    };
    let lane = Lane::of(attempt.method);
    let request = ProviderRequest::Fetch { id: begun.id.clone(), order_id: Some(order_id) };
    if let Some(at_provider) = &mut attempt.at_provider {
        at_provider.provider_id = Some(begun.id);
        at_provider.redirect_url = begun.redirect_url;
        // It may hold a buyer's secret, and is not needed any more.
        at_provider.return_url = None;
    }
    tables::put_attempt(tx, order_id, &attempt)?;
    ledger.calls.ask(tx, lane, request, first_fetch(now))?;
    // The order was cancelled, or paid otherwise, while the call was in flight.
    if !orders::find(tx, order_id)?.order.is_payable() {
        ledger.calls.cancel_attempts(tx, order_id, now)?;
    }
    Ok(())
}

/// Records that a provider does not open an attempt.
pub(super) fn attempt_refused(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    payment_id: PaymentId,
) -> Result<(), store::Error> {
    let Some(mut attempt) = tables::attempt(tx, order_id, payment_id)? else {
        return Ok(());
    };
    if let Some(at_provider) = &mut attempt.at_provider {
        at_provider.status = latest(at_provider.status, AttemptStatus::Failed);
        at_provider.return_url = None;
    }
    tables::put_attempt(tx, order_id, &attempt)
}

/// Applies a payment as its provider has it.
pub(super) fn fetched(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    method: PaymentMethod,
    payment: &FetchedPayment,
    now: Time,
) -> Result<AppliedAnswer, Error> {
    let known = find(tx, method, payment)?;
    // What it names is the shop's own writing, also where an older copy of the store has no such
    // attempt.
    let named = payment.order_id.as_ref().and_then(|id| id.parse().ok());
    let order_id = known.as_ref().map(|(order_id, _)| *order_id).or(named);
    if let Some((order_id, mut attempt)) = known
        && let Some(at_provider) = &mut attempt.at_provider
    {
        // The provider may have opened two payments for it, of which the buyer knows one.
        let is_this = at_provider
            .provider_id
            .as_ref()
            .is_none_or(|id| *id == payment.id);
        if is_this {
            note(at_provider, payment, now);
            tables::put_attempt(tx, order_id, &attempt)?;
        }
    }
    let report = ProviderReport { ledger, method, payment, order_id, now };
    match payment.status {
        AttemptStatus::Succeeded => {
            report.message(
                tx,
                PaymentResult::Succeeded,
                &payment.reference,
                payment.amount,
            )?;
        }
        AttemptStatus::Failed => {
            report.message(
                tx,
                PaymentResult::Failed,
                &payment.reference,
                payment.amount,
            )?;
        }
        AttemptStatus::Pending | AttemptStatus::Cancelled | AttemptStatus::Expired => {}
    }
    let mut is_open = payment.status == AttemptStatus::Pending;
    for made in &payment.refunds {
        is_open |= made.status == RefundStatus::Pending;
        if !settle_fetched(tx, ledger, order_id, made, now)?
            && made.status == RefundStatus::Succeeded
        {
            report.message(tx, PaymentResult::Refunded, &made.id, made.amount)?;
        }
    }
    for dispute in &payment.disputes {
        report.message(tx, PaymentResult::Disputed, &dispute.id, dispute.amount)?;
    }
    Ok(AppliedAnswer { order_id, is_open })
}

/// The attempt that a payment is of: by the provider's ids, or by what it names, if the answer to
/// opening it was lost.
fn find(
    from: &impl Read,
    method: PaymentMethod,
    payment: &FetchedPayment,
) -> Result<Option<(OrderId, Attempt)>, store::Error> {
    let mut known = None;
    for id in [&payment.id, &payment.reference] {
        known = match known {
            None => tables::find_at_provider(from, method, id)?,
            known => known,
        };
    }
    let named = payment.order_id.as_ref().and_then(|id| id.parse().ok());
    let Some((order_id, payment_id)) = known.or(named.zip(payment.payment_id)) else {
        return Ok(None);
    };
    let attempt = tables::attempt(from, order_id, payment_id)?;
    let attempt = attempt.filter(|attempt| attempt.method == method);
    Ok(attempt.map(|attempt| (order_id, attempt)))
}

fn note(at_provider: &mut ProviderAttempt, payment: &FetchedPayment, now: Time) {
    at_provider.status = latest(at_provider.status, payment.status);
    at_provider.provider_id = Some(payment.id.clone());
    at_provider.fetched_at = Some(now);
    if payment.status == AttemptStatus::Succeeded {
        at_provider.reference = Some(payment.reference.clone());
    }
}

/// A payment that succeeded stays so, and nothing becomes pending again.
fn latest(known: AttemptStatus, fetched: AttemptStatus) -> AttemptStatus {
    match (known, fetched) {
        (AttemptStatus::Succeeded, _) => known,
        (_, AttemptStatus::Pending) => known,
        _ => fetched,
    }
}

/// What a provider says, to be applied as a message of the signed webhook is.
struct ProviderReport<'a> {
    ledger: &'a Ledger,
    method: PaymentMethod,
    payment: &'a FetchedPayment,
    order_id: Option<OrderId>,
    now: Time,
}

impl ProviderReport<'_> {
    /// `reference` is the provider's id of what it is about, under which it takes effect once.
    fn message(
        &self,
        tx: &mut Tx<'_>,
        result: PaymentResult,
        reference: &str,
        amount: Money,
    ) -> Result<(), Error> {
        let kind = match result {
            PaymentResult::Succeeded => "payment.succeeded",
            PaymentResult::Failed => "payment.failed",
            PaymentResult::Refunded => "payment.refunded",
            PaymentResult::Disputed => "payment.disputed",
        };
        let message = PaymentMessage {
            result,
            order_id: self.order_id,
            amount,
            reference: reference.to_owned(),
            method: Some(self.method),
        };
        let signed = SignedMessage {
            id: format!("{} {reference} {kind}", self.method.name()),
            kind: Some(kind.to_owned()),
            named: self.payment.order_id.clone(),
            message: Some(message),
        };
        webhook::receive(tx, self.ledger, signed, self.now).map(drop)
    }
}

/// Records that a provider made a refund, and asks about it until it is done.
pub(super) fn refund_made(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    method: PaymentMethod,
    (order_id, refund_id): (OrderId, RefundId),
    made: &FetchedRefund,
    now: Time,
) -> Result<(), Error> {
    let made = FetchedRefund { refund_id: Some(refund_id), ..made.clone() };
    settle_fetched(tx, ledger, Some(order_id), &made, now)?;
    let row = refunds::find(tx, order_id, refund_id)?;
    if made.status == RefundStatus::Pending
        && let Some(row) = row
    {
        let request = ProviderRequest::Fetch { id: row.payment, order_id: Some(order_id) };
        ledger
            .calls
            .ask(tx, Lane::of(method), request, first_fetch(now))?;
    }
    Ok(())
}

/// Records what became of a refund, if it is one that was asked for here.
fn settle_fetched(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    order_id: Option<OrderId>,
    made: &FetchedRefund,
    now: Time,
) -> Result<bool, Error> {
    let Some((order_id, id)) = order_id.zip(made.refund_id) else {
        return Ok(false);
    };
    let Some(mut row) = refunds::find(tx, order_id, id)? else {
        return Ok(false);
    };
    if row.reference.is_none() {
        row.reference = Some(made.id.clone());
        refunds::put(tx, order_id, id, &row)?;
    }
    settle(tx, ledger, (order_id, id), made.status, now)?;
    Ok(true)
}

/// Records that a provider did not say in time what became of a payment and of its refunds.
/// Returns the number of refunds that were pending.
pub(super) fn unanswered(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    order_id: OrderId,
    id: &str,
    now: Time,
) -> Result<usize, Error> {
    for mut attempt in tables::attempts(tx, order_id)? {
        let Some(at_provider) = &mut attempt.at_provider else {
            continue;
        };
        let is_this = at_provider.provider_id.as_deref() == Some(id);
        if is_this && at_provider.status == AttemptStatus::Pending {
            at_provider.status = AttemptStatus::Expired;
            tables::put_attempt(tx, order_id, &attempt)?;
        }
    }
    let mut pending = refunds::all(tx, order_id)?;
    pending.retain(|(_, row)| row.payment == id && row.status == RefundStatus::Pending);
    for (refund_id, _) in &pending {
        let refund = (order_id, *refund_id);
        settle(tx, ledger, refund, RefundStatus::Unknown, now)?;
    }
    Ok(pending.len())
}

/// Records what became of a refund that was asked for here, if that is news. Staff are notified
/// of one that did not go back.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    (order_id, id): (OrderId, RefundId),
    status: RefundStatus,
    now: Time,
) -> Result<(), Error> {
    let Some(mut row) = refunds::find(tx, order_id, id)? else {
        return Ok(());
    };
    if status <= row.status {
        return Ok(());
    }
    let mut stored = orders::find(tx, order_id)?;
    if row.status == RefundStatus::Pending {
        stored.order.settlement.refund_pending -= row.amount.amount;
        stored.order.updated_at = now;
        orders::save(tx, &stored)?;
    }
    let (amount, reference) = (row.amount, row.payment.clone());
    let was_made = row.status == RefundStatus::Succeeded;
    let (command, cause, fact) = match status {
        RefundStatus::Pending | RefundStatus::Succeeded => (
            Some(OrderCommand::Refund { amount: Some(amount.amount) }),
            row.cause(now),
            Fact::PaymentRefunded { order_id: Some(order_id), amount, reference },
        ),
        RefundStatus::Unknown | RefundStatus::Refused | RefundStatus::Failed => {
            let reason = match status {
                RefundStatus::Unknown => RefundFault::Unanswered,
                _ if was_made => RefundFault::Returned,
                _ => RefundFault::Refused,
            };
            let has_counted = was_made && !row.uncounted;
            let failed =
                OrderCommand::FailRefund { amount: amount.amount, payment: reference.clone() };
            let reason = Some(reason);
            (
                has_counted.then_some(failed),
                OrderCause::new(now, Actor::Payments),
                Fact::RefundRefused { order_id, amount, reference, reason },
            )
        }
    };
    row.status = status;
    row.uncounted = status == RefundStatus::Succeeded;
    if let Some(command) = command {
        match commands::apply(tx, ledger, stored, command, &cause) {
            Ok(_) => {
                row.uncounted = false;
                return Ok(refunds::put(tx, order_id, id, &row)?);
            }
            // Staff have sent the money themselves, since this refund was given up.
            Err(Error::Transition(_)) => {}
            Err(error) => return Err(error),
        }
    }
    refunds::put(tx, order_id, id, &row)?;
    let draft = Draft { key: order_id.to_string(), fact, cause: Cause::own(now) };
    ledger.log.append(tx, draft)?;
    Ok(())
}
