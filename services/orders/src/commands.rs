//! Commands to an order: pay, ship, deliver, cancel, refund, undo, and the stock outcome; and what
//! staff change without a command: corrections and notes.
//!
//! **Invariant:** [`apply`] changes the order, its indexes, its history, the sums of sales and
//! its event in one transaction. The stock outcome of a pending order comes before a request's command.

use std::iter;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use chassis::fields::CheckedBody;
use chassis::idempotency::{IdempotencyGuard, Reply, StoredResponse};
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::request_id::request_id;
use chassis::{Caller, FieldError, Problem, etag};
use model::{Fact, Mismatch, OrderField, OrderId};
use store::{Read, Tx};

use crate::domain::{
    Actor, AppliedChange, BuyerErasure, Correction, Order, OrderCause, OrderCommand, OrderStatus,
    PaymentDetails, StatusChange, last_step, require_room,
};
use crate::holder::OrderRequester;
use crate::payments::unmatched::{SUCCEEDED, UnmatchedPayment};
use crate::payments::{parts, refunds};
use crate::sales::{Ledger, SalesState};
use crate::tables::{self, StoredOrder};
use crate::terms::uses;
use crate::wire::{CommandRequest, HistoryEntryResponse, OrderResponse};
use crate::{Error, OrdersState};

/// How long a cancellation waits for its stock to be released.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

impl OrdersState {
    /// Applies the command of a request to the order of its holder, if it is the version that
    /// `If-Match` names. A cancellation responds after products has released the stock, so that
    /// the next order can have it.
    pub(crate) async fn command(
        &self,
        who: OrderRequester,
        id: OrderId,
        headers: HeaderMap,
        guard: &IdempotencyGuard,
        mut body: CheckedBody<CommandRequest>,
    ) -> Result<Reply, Problem> {
        // Before a refusal is kept under the key: a stranger's request writes nothing.
        let current = self.current_order(&who, id).await?.order;
        if let Some(request) = &body.value {
            body.faults.extend(amount_fault(request, &current));
        }
        let CommandRequest { mut command, reason, by_hand, .. } = match body.valid() {
            Ok(request) => request,
            Err(faults) => return guard.refuse(&self.store, Error::Invalid(faults)).await,
        };
        if let OrderCommand::Pay(details) = &mut command {
            details.amount = Some(current.total);
        }
        let is_cancel = matches!(command, OrderCommand::Cancel);
        let release = is_cancel.then(|| self.stock_releases.register(id));
        let by_buyer = is_cancel && !who.is_staff();
        let paid_cancellation = self.paid_cancellation;
        let trace = Some(guard.request_id.clone());
        let ledger = self.ledger.clone();
        let work = move |tx: &mut Tx<'_>| {
            let stored = find_for(tx, &who, id)?;
            let cause = OrderCause { reason, trace, ..who.cause(&stored.order) };
            etag::require_match(&headers, &OrderResponse::new(&stored.order))?;
            if by_buyer && paid_cancellation.is_request(&stored.order) {
                let stored = request_cancellation(tx, &ledger, stored, &cause)?;
                let response = OrderResponse::new(&stored.order);
                return Ok(StoredResponse::new(StatusCode::ACCEPTED, &response));
            }
            let stored = match command {
                OrderCommand::Refund { amount }
                    if !by_hand && stored.order.paid_by_provider().is_some() =>
                {
                    request_refund(tx, &ledger, stored, amount, &cause)?
                }
                command => apply(tx, &ledger, stored, command, &cause)?,
            };
            let response = OrderResponse::new(&stored.order);
            Ok(StoredResponse::new(StatusCode::OK, &response))
        };
        let reply = guard.once(&self.store, work).await?;
        if let Some(mut release) = release
            && reply.answer.status() == StatusCode::OK
            && !reply.replayed
        {
            release.wait(RELEASE_TIMEOUT).await;
        }
        Ok(reply)
    }

    /// Corrects an order, if it is the version that `If-Match` names.
    pub(crate) async fn correct(
        &self,
        caller: Caller,
        id: OrderId,
        headers: HeaderMap,
        correction: Correction,
    ) -> Result<Order, Problem> {
        let who = OrderRequester::from(caller);
        self.current_order(&who, id).await?;
        let log = self.ledger.log.clone();
        let work = move |tx: &mut Tx<'_>| {
            let mut stored = tables::find(tx, id)?;
            let trace = Some(request_id(&headers).0);
            let cause = OrderCause { trace, ..who.cause(&stored.order) };
            etag::require_match(&headers, &OrderResponse::new(&stored.order))?;
            let address = stored.order.shipping_address.clone();
            let applied = stored.order.correct(correction, &cause);
            let Some(AppliedChange { change, fact, .. }) = applied.map_err(Error::from)? else {
                return Ok::<_, Problem>(stored.order);
            };
            require_room(stored.history_rows).map_err(Error::from)?;
            if change.corrected.contains(&OrderField::ShippingAddress) {
                tables::keep_placed_address(tx, id, address)?;
            }
            append(tx, &mut stored, &change)?;
            tables::append_event(tx, &log, &stored.order, fact, &cause)?;
            Ok(stored.order)
        };
        self.store.write(work).await
    }

    /// Adds a note of staff's to the history of an order.
    pub(crate) async fn note(
        &self,
        caller: Caller,
        id: OrderId,
        guard: &IdempotencyGuard,
        text: String,
    ) -> Result<Reply, Problem> {
        let who = OrderRequester::from(caller);
        let work = move |tx: &mut Tx<'_>| {
            let mut stored = tables::find(tx, id)?;
            let cause = who.cause(&stored.order);
            require_room(stored.history_rows).map_err(Error::from)?;
            let change = stored.order.note(text, &cause);
            append(tx, &mut stored, &change)?;
            let entry = HistoryEntryResponse::new(change);
            let location = format!("/v1/orders/{id}/history");
            Ok(StoredResponse::new(StatusCode::CREATED, &entry).at(location))
        };
        guard.once(&self.store, work).await
    }

    /// An order for who holds it. The stock outcome of a pending one may be in products' log
    /// and not in this store yet, and a process before this one may have responded from
    /// it, so that log is caught up with first.
    pub(crate) async fn current_order(
        &self,
        who: &OrderRequester,
        id: OrderId,
    ) -> Result<StoredOrder, Error> {
        let stored = find_for(&self.store, who, id)?;
        let is_pending = stored.order.status == OrderStatus::Pending;
        if !is_pending || self.products.state().is_caught_up() {
            return Ok(stored);
        }
        self.products.catch_up(CATCH_UP_TIMEOUT).await;
        find_for(&self.store, who, id)
    }
}

/// Writes an entry of the history that leaves the status as it is.
fn append(
    tx: &mut Tx<'_>,
    stored: &mut StoredOrder,
    change: &StatusChange,
) -> Result<(), store::Error> {
    tables::append_history(tx, stored, change)?;
    tables::save(tx, stored)
}

/// The fault of an amount that does not fit the order.
fn amount_fault(request: &CommandRequest, order: &Order) -> Option<FieldError> {
    let total = order.total;
    if request
        .currency
        .is_some_and(|currency| currency != total.currency)
    {
        let detail = "must be the currency of the order";
        return Some(FieldError::new("/amount/currency", detail));
    }
    let is_other = request.total.is_some_and(|amount| amount != total.amount);
    let detail = || format!("must be the total of the order, {total}");
    is_other.then(|| FieldError::new("/amount", detail()))
}

/// The order, for who holds it.
pub(crate) fn find_for(
    from: &impl Read,
    who: &OrderRequester,
    id: OrderId,
) -> Result<StoredOrder, Error> {
    let stored = tables::find(from, id)?;
    match who.holds(&stored.order) {
        true => Ok(stored),
        false => Err(Error::NotFound),
    }
}

/// Applies a command and writes everything that follows from it.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    mut command: OrderCommand,
    cause: &OrderCause,
) -> Result<StoredOrder, Error> {
    if let OrderCommand::Undo { step } = &mut command {
        // What can be undone can be done again, without an end.
        require_room(stored.history_rows)?;
        *step = last_step(&tables::history(tx, &stored.order)?);
    }
    let (before, sales) = (stored.order.status, SalesState::of(&stored.order));
    let was_payable = stored.order.is_payable();
    // The history entry of a stock outcome is derived from the order.
    let is_stock_outcome = matches!(
        command,
        OrderCommand::Confirm { .. } | OrderCommand::Reject { .. }
    );
    let AppliedChange { change, fact, also } = stored.order.apply(command, cause)?;
    let is_moved = stored.order.status != before;
    match stored.order.status {
        _ if !is_moved => {}
        OrderStatus::Rejected | OrderStatus::Cancelled => uses::give_back(tx, &stored.order)?,
        // It is revived.
        _ if before == OrderStatus::Cancelled => uses::spend(tx, &stored.order)?,
        _ => {}
    }
    refunds::after_cancel(tx, &ledger.calls, &mut stored, &fact, cause)?;
    let has_attempts = stored.order.settlement.chosen.is_some();
    if has_attempts && was_payable && !stored.order.is_payable() {
        ledger
            .calls
            .cancel_attempts(tx, stored.order.id, cause.at)?;
    }
    ledger.sums.record(tx, sales, &stored, &change)?;
    if !is_stock_outcome {
        tables::append_history(tx, &mut stored, &change)?;
    }
    erase_if_overdue(tx, &mut stored.order)?;
    tables::update(tx, &stored, before)?;
    for fact in iter::once(fact).chain(also) {
        tables::append_event(tx, &ledger.log, &stored.order, fact, cause)?;
    }
    if is_moved && matches!(before, OrderStatus::Pending | OrderStatus::Cancelled) {
        return apply_early_payment(tx, ledger, stored, cause);
    }
    Ok(stored)
}

/// Erases what an order, its history, its refunds and its placing have of its buyer; the order
/// itself has to be written after it. Prices, products and payments are accounting records and
/// stay. An order that may still be sent keeps until then what that needs: the address it goes to,
/// the notes, and the reasons.
pub(crate) fn erase_person(tx: &mut Tx<'_>, order: &mut Order) -> Result<(), store::Error> {
    order.erase_contact();
    if order.erasure == BuyerErasure::Done {
        tables::erase_buyer(tx, order)?;
        refunds::erase_buyer(tx, order)?;
    }
    Ok(())
}

/// As [`erase_person`], if that waited for the order to be shipped or over.
pub(crate) fn erase_if_overdue(tx: &mut Tx<'_>, order: &mut Order) -> Result<(), store::Error> {
    match order.is_erasure_overdue() {
        true => erase_person(tx, order),
        false => Ok(()),
    }
}

/// Asks the provider that has an order's money to send some of it back; it counts once that is
/// done.
fn request_refund(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    amount: Option<i64>,
    cause: &OrderCause,
) -> Result<StoredOrder, Error> {
    refunds::request(tx, &ledger.calls, &mut stored.order, amount, cause)?;
    tables::save(tx, &stored)?;
    Ok(stored)
}

/// Records a buyer's request to cancel a paid order, if it is the first: it changes no status and
/// promises no money, and staff are told.
fn request_cancellation(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    cause: &OrderCause,
) -> Result<StoredOrder, Error> {
    let order = &mut stored.order;
    if order.settlement.cancel_requested_at.is_some() {
        return Ok(stored);
    }
    require_room(stored.history_rows)?;
    order.settlement.cancel_requested_at = Some(cause.at);
    order.updated_at = cause.at;
    let change = StatusChange::within(order.status, cause);
    let fact = Fact::OrderCancelRequested { order_id: order.id, user_id: order.buyer.user_id() };
    tables::append_history(tx, &mut stored, &change)?;
    tables::save(tx, &stored)?;
    tables::append_event(tx, &ledger.log, &stored.order, fact, cause)?;
    Ok(stored)
}

/// Applies a payment that was received while the order was pending or had expired: it pays a
/// confirmed order, and matches no other.
fn apply_early_payment(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    mut stored: StoredOrder,
    cause: &OrderCause,
) -> Result<StoredOrder, Error> {
    let order = &mut stored.order;
    if order.is_paid_in_parts() && order.status == OrderStatus::Confirmed {
        order.payment = parts::complete(tx, order)?;
    }
    let Some(reference) = order.payment.clone() else {
        return Ok(stored);
    };
    let cause = OrderCause::new(cause.at, Actor::Payments).because(&reference);
    match order.status {
        OrderStatus::Confirmed => {
            let pay = OrderCommand::Pay(PaymentDetails::by(order.settlement.received));
            return apply(tx, ledger, stored, pay, &cause);
        }
        // There was nothing to pay, and it was nothing that was paid.
        OrderStatus::Paid => {}
        _ => {
            let unmatched = UnmatchedPayment {
                message_id: &reference,
                kind: SUCCEEDED,
                named: None,
                order: Some(order),
                amount: order.total,
                reference: &reference,
                reason: Mismatch::OrderOver,
            };
            unmatched.record(tx, ledger, cause.at)?;
        }
    }
    Ok(stored)
}
