//! The delivery of calls to payment providers.
//!
//! **Invariant:** that a call is sent is durable before it is, and its outcome, with all that
//! follows from it, is one transaction.

use std::sync::Arc;

use ::store::{Error as StoreError, Store, Table};
use chassis::Context;
use chassis::delivery::{self, Delivery, QueueMetrics};
use model::{OrderId, Time, now};
use store::Tx;

use super::applying::{self, AppliedAnswer};
use super::calls::{self, CallRow, DUE, Lane, NextCall, ProviderRequest};
use super::{
    BegunPayment, CallFault, FetchedPayment, FetchedRefund, PaymentProvider, PaymentToBegin,
    Providers, RefundToMake,
};
use crate::domain::PaymentMethod;
use crate::payments::refunds::{self, RefundStatus};
use crate::payments::tables::{self, AttemptStatus, PaymentId};
use crate::sales::Ledger;
use crate::waiters::Waiters;
use crate::{Error, tables as orders};

struct ProviderWorker {
    store: Store,
    ledger: Ledger,
    providers: Providers,
    /// Requests that wait for a provider to say something about their order.
    fetches: Waiters<()>,
}

/// What a provider answered.
enum ProviderAnswer {
    Begun(BegunPayment),
    /// `None`: it does not know the payment.
    Fetched(Option<FetchedPayment>),
    Refunded(FetchedRefund),
    /// The payment with that id of the provider's.
    Cancelled(String),
    /// There is nothing to ask for.
    Obsolete,
}

/// Starts the worker, if a provider is set up. Without one its rows wait.
pub(crate) fn start(ctx: &Context, ledger: &Ledger, providers: &Providers, fetches: &Waiters<()>) {
    delivery::measure::<ProviderWorker>(ctx);
    let wake_up = ledger.calls.wake_up.clone();
    let worker = ProviderWorker {
        store: ctx.store.clone(),
        ledger: ledger.clone(),
        providers: providers.clone(),
        fetches: fetches.clone(),
    };
    delivery::spawn(ctx, worker, wake_up);
}

impl Delivery for ProviderWorker {
    /// The name of a lane.
    type Partition = String;
    type DeliveryId = String;
    type Row = ();
    const QUEUE: Table<(String, Time, String), ()> = DUE;
    const METRICS: QueueMetrics = QueueMetrics {
        service: "orders",
        waiting: "konbini_payment_calls",
        given_up: "konbini_payment_calls_given_up_total",
    };
    /// The lanes of two providers.
    const IN_FLIGHT_MAX: usize = Self::PARTITION_IN_FLIGHT_MAX * 4;
    /// A provider answers in some tenths of a second, and accepts a hundred calls in one.
    const PARTITION_IN_FLIGHT_MAX: usize = 4;

    fn store(&self) -> &Store {
        &self.store
    }

    fn partitions(&self) -> Result<Vec<String>, StoreError> {
        let lanes = |method| [Lane::of(method), Lane::unknown(method)];
        let lanes = self.providers.methods().flat_map(lanes);
        Ok(lanes.map(Lane::name).collect())
    }

    async fn deliver(
        self: Arc<Self>,
        (lane, _, id): (String, Time, String),
    ) -> Result<(), StoreError> {
        let Some(lane) = Lane::parse(&lane) else {
            return Ok(());
        };
        let Some(provider) = self.providers.find(lane.method) else {
            return Ok(());
        };
        let sending = move |tx: &mut Tx<'_>| calls::sending(tx, lane, &id, now());
        let Some(call) = self.store.write(sending).await? else {
            return Ok(());
        };
        let answer = self.ask(provider, &call).await;
        let failed = call.clone();
        if let Err(fault) = &answer {
            let provider = lane.method.name();
            tracing::warn!(provider, call = ?call.request, %fault, "a call to a payment provider failed");
        }
        let (ledger, fetches) = (self.ledger.clone(), self.fetches.clone());
        let apply = move |tx: &mut Tx<'_>| {
            let order_id = apply(tx, &ledger, lane, &call, answer, now())?;
            if let Some(order_id) = order_id {
                tx.on_visible(move || fetches.wake(order_id, ()));
            }
            Ok::<_, Error>(())
        };
        match self.store.write(apply).await {
            Err(Error::Store(error)) => Err(error),
            Err(error) => {
                tracing::error!(%error, "the answer of a payment provider could not be applied");
                let again = move |tx: &mut Tx<'_>| {
                    calls::end(tx, lane, &failed, NextCall::Again, now()).map(drop)
                };
                self.store.write(again).await
            }
            Ok(()) => Ok(()),
        }
    }
}

impl ProviderWorker {
    async fn ask(
        &self,
        provider: &dyn PaymentProvider,
        call: &CallRow,
    ) -> Result<ProviderAnswer, CallFault> {
        let unreadable = |error: Error| CallFault::Later(error.to_string());
        match &call.request {
            ProviderRequest::Begin { order_id, payment_id } => {
                let order = orders::find(&self.store, *order_id)
                    .map_err(unreadable)?
                    .order;
                let attempt = tables::attempt(&self.store, *order_id, *payment_id);
                let attempt = attempt.map_err(|error| unreadable(error.into()))?;
                let at_provider = attempt.and_then(|attempt| attempt.at_provider);
                let Some(return_url) = at_provider.and_then(|it| it.return_url) else {
                    return Ok(ProviderAnswer::Obsolete);
                };
                if !order.is_payable() {
                    let why = "the order waits for no payment any more";
                    return Err(CallFault::Refused(why.into()));
                }
                let name = order.number.as_ref().map(ToString::to_string);
                let name = name.unwrap_or_else(|| order_id.to_string());
                let payment = PaymentToBegin {
                    order_id: *order_id,
                    payment_id: *payment_id,
                    order_name: format!("Order {name}"),
                    amount: order.total,
                    return_url,
                };
                provider.begin(&payment).await.map(ProviderAnswer::Begun)
            }
            ProviderRequest::Fetch { id, .. } => {
                provider.fetch(id).await.map(ProviderAnswer::Fetched)
            }
            ProviderRequest::Refund { order_id, refund_id } => {
                let row = refunds::find(&self.store, *order_id, *refund_id);
                let row = row.map_err(|error| unreadable(error.into()))?;
                let Some(row) = row.filter(|row| row.status == RefundStatus::Pending) else {
                    return Ok(ProviderAnswer::Obsolete);
                };
                let refund = RefundToMake {
                    order_id: *order_id,
                    refund_id: *refund_id,
                    payment: row.payment,
                    amount: row.amount,
                };
                let made = refund_once(provider, &refund).await?;
                Ok(ProviderAnswer::Refunded(made))
            }
            ProviderRequest::Cancel { order_id, payment_id } => {
                let open = self.open_at_provider(*order_id, *payment_id);
                let Some(id) = open.map_err(unreadable)? else {
                    return Ok(ProviderAnswer::Obsolete);
                };
                provider.cancel(&id).await?;
                Ok(ProviderAnswer::Cancelled(id))
            }
        }
    }

    /// The provider's id of an attempt that is open although its order waits for no payment.
    fn open_at_provider(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<Option<String>, Error> {
        let order = orders::find(&self.store, order_id)?.order;
        let attempt = tables::attempt(&self.store, order_id, payment_id)?;
        let at_provider = attempt.and_then(|attempt| attempt.at_provider);
        let open = at_provider
            .filter(|attempt| attempt.status == AttemptStatus::Pending && !order.is_payable());
        Ok(open.and_then(|attempt| attempt.provider_id))
    }
}

/// Sends money back, unless that is done already: by an earlier call, also one that this copy of
/// the store does not know of.
async fn refund_once(
    provider: &dyn PaymentProvider,
    refund: &RefundToMake,
) -> Result<FetchedRefund, CallFault> {
    if let Some(payment) = provider.fetch(&refund.payment).await? {
        let mut made = payment.refunds.into_iter();
        if let Some(made) = made.find(|made| made.refund_id == Some(refund.refund_id)) {
            return Ok(made);
        }
    }
    provider.refund(refund).await
}

/// Applies the answer to a call, and returns the order that it is about.
fn apply(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    lane: Lane,
    call: &CallRow,
    answer: Result<ProviderAnswer, CallFault>,
    now: Time,
) -> Result<Option<OrderId>, Error> {
    let is_known = lane == Lane::of(lane.method);
    let (next, order_id, given_up) = match answer {
        Ok(answer) => {
            let applied = answered(tx, ledger, lane.method, call, answer, now)?;
            match applied.is_open && is_known {
                true => (NextCall::Again, applied.order_id, RefundStatus::Unknown),
                false => {
                    calls::end(tx, lane, call, NextCall::Done, now)?;
                    return Ok(applied.order_id);
                }
            }
        }
        Err(CallFault::Later(_)) => (NextCall::Again, None, RefundStatus::Unknown),
        Err(CallFault::Refused(_)) => (NextCall::Done, None, RefundStatus::Refused),
    };
    if calls::end(tx, lane, call, next, now)? {
        return Ok(order_id);
    }
    give_up(tx, ledger, &call.request, given_up, now)
}

fn answered(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    method: PaymentMethod,
    call: &CallRow,
    answer: ProviderAnswer,
    now: Time,
) -> Result<AppliedAnswer, Error> {
    let done = |order_id| AppliedAnswer { order_id, is_open: false };
    match (&call.request, answer) {
        (ProviderRequest::Begin { order_id, payment_id }, ProviderAnswer::Begun(begun)) => {
            applying::attempt_opened(tx, ledger, (*order_id, *payment_id), begun, now)?;
            Ok(done(Some(*order_id)))
        }
        (ProviderRequest::Fetch { .. }, ProviderAnswer::Fetched(Some(payment))) => {
            applying::fetched(tx, ledger, method, &payment, now)
        }
        (ProviderRequest::Refund { order_id, refund_id }, ProviderAnswer::Refunded(made)) => {
            let refund = (*order_id, *refund_id);
            applying::refund_made(tx, ledger, method, refund, &made, now)?;
            Ok(done(Some(*order_id)))
        }
        // What became of it is fetched: the buyer may have paid before.
        (ProviderRequest::Cancel { order_id, .. }, ProviderAnswer::Cancelled(id)) => {
            let order_id = Some(*order_id);
            let request = ProviderRequest::Fetch { id, order_id };
            ledger.calls.ask(tx, Lane::of(method), request, now)?;
            Ok(done(order_id))
        }
        (
            ProviderRequest::Begin { order_id, .. }
            | ProviderRequest::Refund { order_id, .. }
            | ProviderRequest::Cancel { order_id, .. },
            _,
        ) => Ok(done(Some(*order_id))),
        // The key may be that of another account for now.
        (ProviderRequest::Fetch { .. }, _) => Ok(AppliedAnswer { order_id: None, is_open: true }),
    }
}

/// Ends what waits for a call that will not be sent any more: without a word of the provider, or
/// with its refusal.
fn give_up(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    request: &ProviderRequest,
    status: RefundStatus,
    now: Time,
) -> Result<Option<OrderId>, Error> {
    match request {
        ProviderRequest::Begin { order_id, payment_id } => {
            applying::attempt_refused(tx, *order_id, *payment_id)?;
            Ok(Some(*order_id))
        }
        ProviderRequest::Refund { order_id, refund_id } => {
            tx.on_durable(|| delivery::given_up::<ProviderWorker>().increment(1));
            let refund = (*order_id, *refund_id);
            applying::settle(tx, ledger, refund, status, now)?;
            Ok(Some(*order_id))
        }
        ProviderRequest::Fetch { id, order_id: Some(order_id) } => {
            if applying::unanswered(tx, ledger, *order_id, id, now)? > 0 {
                tx.on_durable(|| delivery::given_up::<ProviderWorker>().increment(1));
            }
            Ok(Some(*order_id))
        }
        // Money that comes all the same is listed, or revives the order.
        ProviderRequest::Fetch { .. } | ProviderRequest::Cancel { .. } => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh::Event;
    use model::{Fact, Money, RefundFault};
    use store::Options;

    use super::*;
    use crate::domain::tests::order;
    use crate::domain::{Actor, Order, OrderCause, OrderStatus};
    use crate::payments::tables::{Attempt, ProviderAttempt, RefundId};
    use crate::payments::tests::ledger_of;

    const MONTHS: Duration = Duration::from_secs(60 * 24 * 60 * 60);

    /// A paid order with a pending attempt and a pending refund of the payment `tr_1`.
    fn pending(tx: &mut Tx<'_>, ledger: &Ledger) -> Result<(OrderId, RefundId), Error> {
        let mut order = order(1_000);
        order.status = OrderStatus::Paid;
        order.payment = Some("tr_1".into());
        order.settlement.received = Some(PaymentMethod::Mollie);
        let mut at_provider = ProviderAttempt::new("https://a".into());
        at_provider.provider_id = Some("tr_1".into());
        let attempt = Attempt {
            id: PaymentId::new(),
            method: PaymentMethod::Mollie,
            at_provider: Some(at_provider),
        };
        tables::put_attempt(tx, order.id, &attempt)?;
        let mut stored = orders::insert(tx, order)?;
        let cause = OrderCause::new(Time(1), Actor::Payments);
        refunds::request(tx, &ledger.calls, &mut stored.order, Some(300), &cause)?;
        orders::save(tx, &stored)?;
        let (refund_id, _) = refunds::all(tx, stored.order.id)?.remove(0);
        Ok((stored.order.id, refund_id))
    }

    /// What its provider says of it after a month.
    fn still_open(order: &Order, refund_id: RefundId) -> FetchedPayment {
        let amount = Money { amount: 300, ..order.total };
        let made = FetchedRefund {
            id: "re_1".into(),
            refund_id: Some(refund_id),
            status: RefundStatus::Pending,
            amount,
        };
        FetchedPayment {
            id: "tr_1".into(),
            reference: "tr_1".into(),
            status: AttemptStatus::Pending,
            amount: order.total,
            order_id: Some(order.id.to_string()),
            payment_id: None,
            refunds: vec![made],
            disputes: Vec::new(),
        }
    }

    /// Applies the last answer to a call about a pending payment; `None`: it is still open.
    /// Returns what became of its attempt and its refund, and of what is pending.
    fn end(
        tx: &mut Tx<'_>,
        ledger: &Ledger,
        call: &str,
        last_answer: Option<Result<ProviderAnswer, CallFault>>,
    ) -> Result<(AttemptStatus, RefundStatus, i64), Error> {
        let (order_id, refund_id) = pending(tx, ledger)?;
        let order = orders::find(tx, order_id)?.order;
        let (request, id) = if call == "fetch" {
            let (id, order_id) = ("tr_1".to_owned(), Some(order_id));
            (ProviderRequest::Fetch { id, order_id }, "fetch tr_1".into())
        } else {
            let id = refund_id.to_string();
            (ProviderRequest::Refund { order_id, refund_id }, id)
        };
        let lane = Lane::of(PaymentMethod::Mollie);
        ledger.calls.ask(tx, lane, request, Time(1))?;
        let sent = calls::sending(tx, lane, &id, Time(1))?.unwrap();
        let open = || Ok(ProviderAnswer::Fetched(Some(still_open(&order, refund_id))));
        let answer = last_answer.unwrap_or_else(open);
        let woken = apply(tx, ledger, lane, &sent, answer, Time(1).after(MONTHS))?;
        assert_eq!(woken, Some(order_id), "requests that wait for it");
        assert!(calls::sending(tx, lane, &id, Time(1))?.is_none());
        let order = orders::find(tx, order_id)?.order;
        let row = refunds::find(tx, order_id, refund_id)?.unwrap();
        let attempt = tables::attempts(tx, order_id)?.remove(0);
        let pending = order.settlement.refund_pending;
        Ok((attempt.status(&order), row.status, pending))
    }

    /// Why refunds did not go back, by the events of a log.
    fn faults(ledger: &Ledger) -> Vec<RefundFault> {
        let events = ledger.log.read(0).unwrap().into_iter();
        let facts = events.filter_map(|event| Event::decode(&event.body).unwrap().fact);
        let faults = facts.filter_map(|fact| match fact {
            Fact::RefundRefused { reason, .. } => reason,
            _ => None,
        });
        faults.collect()
    }

    #[tokio::test]
    async fn nothing_stays_pending_once_its_provider_is_asked_no_more() {
        use {AttemptStatus as A, RefundFault as F, RefundStatus as R};
        let later = || Some(Err(CallFault::Later("503".into())));
        let refused = || Some(Err(CallFault::Refused("400".into())));
        let unknown = || Some(Ok(ProviderAnswer::Fetched(None)));
        for (call, last_answer, attempt, refund, fault) in [
            ("fetch", None, A::Expired, R::Unknown, F::Unanswered),
            ("fetch", later(), A::Expired, R::Unknown, F::Unanswered),
            ("fetch", unknown(), A::Expired, R::Unknown, F::Unanswered),
            ("refund", later(), A::Pending, R::Unknown, F::Unanswered),
            ("refund", refused(), A::Pending, R::Refused, F::Refused),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), &Options::default()).unwrap();
            let ledger = ledger_of(&store).await;
            let asked = ledger.clone();
            let ended = store.write(move |tx| end(tx, &asked, call, last_answer));
            assert_eq!(ended.await.unwrap(), (attempt, refund, 0), "{call}");
            assert_eq!(faults(&ledger), [fault], "{call}");
        }
    }
}
