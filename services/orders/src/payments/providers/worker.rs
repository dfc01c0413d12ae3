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
use crate::payments::tables;
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
        let sending = move |tx: &mut Tx<'_>| calls::sending(tx, lane, &id);
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
            ProviderRequest::Fetch { id } => provider.fetch(id).await.map(ProviderAnswer::Fetched),
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
        }
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
    let next = match answer {
        Ok(answer) => {
            let applied = answered(tx, ledger, lane.method, call, answer, now)?;
            let next = match applied.is_open && is_known {
                true => NextCall::Again,
                false => NextCall::Done,
            };
            calls::end(tx, lane, call, next, now)?;
            return Ok(applied.order_id);
        }
        Err(CallFault::Later(_)) => NextCall::Again,
        Err(CallFault::Refused(_)) => NextCall::Done,
    };
    match calls::end(tx, lane, call, next, now)? {
        true => Ok(None),
        false => given_up(tx, ledger, &call.request, now),
    }
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
            applying::begun(tx, ledger, (*order_id, *payment_id), begun, now)?;
            Ok(done(Some(*order_id)))
        }
        (ProviderRequest::Fetch { .. }, ProviderAnswer::Fetched(Some(payment))) => {
            applying::fetched(tx, ledger, method, &payment, now)
        }
        (ProviderRequest::Refund { order_id, refund_id }, ProviderAnswer::Refunded(made)) => {
            let refund = (*order_id, *refund_id);
            applying::made(tx, ledger, method, refund, &made, now)?;
            Ok(done(Some(*order_id)))
        }
        (ProviderRequest::Begin { order_id, .. } | ProviderRequest::Refund { order_id, .. }, _) => {
            Ok(done(Some(*order_id)))
        }
        // The key may be that of another account for now.
        (ProviderRequest::Fetch { .. }, _) => Ok(AppliedAnswer { order_id: None, is_open: true }),
    }
}

/// Takes in that a call will not be sent any more.
fn given_up(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    request: &ProviderRequest,
    now: Time,
) -> Result<Option<OrderId>, Error> {
    match request {
        ProviderRequest::Begin { order_id, payment_id } => {
            applying::not_begun(tx, *order_id, *payment_id)?;
            Ok(Some(*order_id))
        }
        ProviderRequest::Refund { order_id, refund_id } => {
            tx.on_durable(|| delivery::given_up::<ProviderWorker>().increment(1));
            let refund = (*order_id, *refund_id);
            applying::settle(tx, ledger, refund, RefundStatus::Failed, now)?;
            Ok(Some(*order_id))
        }
        ProviderRequest::Fetch { .. } => Ok(None),
    }
}
