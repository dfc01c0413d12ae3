//! The queue of calls to payment providers: rows of the delivery queue of this service.
//!
//! A call has an id, so a second request for it moves its row forward and adds none. A request
//! that comes while the call is in flight is sent once more, since the answer may be older.
//!
//! **Invariant:** a pending attempt and a pending refund have a row here until they are neither,
//! so a hint that is lost costs a delay; and with the row they end.

use std::sync::Arc;
use std::time::Duration;

use chassis::delivery::Backoff;
use model::{OrderId, Time};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};
use tokio::sync::Notify;

use crate::domain::PaymentMethod;
use crate::payments::tables::{self, AttemptStatus, PaymentId, RefundId};

/// By lane, then by id.
const CALLS: Table<(String, String), CallRow> = Table::new("provider_calls");
/// When each is due.
pub(super) const DUE: Table<(String, Time, String), ()> = Table::new("provider_calls_due");

/// Hints about unknown payments that wait in a provider's lane of them. Anybody can send those
/// of a provider that signs none, and each costs a call.
const UNKNOWN_MAX: usize = 1_000;

const MINUTE: Duration = Duration::from_secs(60);

/// For how long a payment is not fetched again, whoever asks for it: anybody can send hints of a
/// provider that signs none. A buyer waits as long for a hint that comes right after a fetch.
const FETCH_PAUSE: Duration = Duration::from_secs(2);

/// A buyer waits for an attempt to open, and makes a new one once it is given up.
const BEGIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    pause_max: MINUTE,
    give_up_after: Duration::from_secs(15 * 60),
};
/// What no hint says is found out by asking. The slowest payments, by bank transfer at the
/// provider, take two weeks, and refunds some days.
const FETCH: Backoff = Backoff {
    first: MINUTE,
    pause_max: Duration::from_secs(60 * 60),
    give_up_after: Duration::from_secs(30 * 24 * 60 * 60),
};
/// A key that is not accepted is corrected within days.
const REFUND: Backoff = Backoff {
    first: Duration::from_secs(10),
    pause_max: Duration::from_secs(60 * 60),
    give_up_after: Duration::from_secs(7 * 24 * 60 * 60),
};

/// A session that nobody pays ends by itself within a day.
const CANCEL: Backoff = Backoff {
    first: Duration::from_secs(10),
    pause_max: Duration::from_secs(60 * 60),
    give_up_after: Duration::from_secs(24 * 60 * 60),
};

/// What a provider is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProviderRequest {
    /// To open an attempt.
    Begin {
        order_id: OrderId,
        payment_id: PaymentId,
    },
    /// For a payment as the provider has it, by one of its ids.
    Fetch {
        id: String,
        /// The order of a payment that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<OrderId>,
    },
    Refund {
        order_id: OrderId,
        refund_id: RefundId,
    },
    /// To end an open attempt, whose order waits for no payment any more.
    Cancel {
        order_id: OrderId,
        payment_id: PaymentId,
    },
}

impl ProviderRequest {
    fn id(&self) -> String {
        match self {
            Self::Begin { payment_id, .. } => payment_id.to_string(),
            Self::Fetch { id, .. } => format!("fetch {id}"),
            Self::Refund { refund_id, .. } => refund_id.to_string(),
            Self::Cancel { payment_id, .. } => format!("cancel {payment_id}"),
        }
    }

    fn backoff(&self) -> Backoff {
        match self {
            Self::Begin { .. } => BEGIN,
            Self::Fetch { .. } => FETCH,
            Self::Refund { .. } => REFUND,
            Self::Cancel { .. } => CANCEL,
        }
    }
}

/// A call that waits or is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallRow {
    pub(super) request: ProviderRequest,
    due: Time,
    began: Time,
    /// The times it was sent.
    #[serde(default)]
    sent: u32,
    /// When it was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent_at: Option<Time>,
    /// The times it was asked for.
    #[serde(default)]
    asked: u32,
}

impl Record for CallRow {}

/// A provider's calls that do not delay those of other lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) method: PaymentMethod,
    /// Whether it is of hints about payments that are not known here.
    is_unknown: bool,
}

impl Lane {
    pub(crate) fn of(method: PaymentMethod) -> Self {
        Self { method, is_unknown: false }
    }

    /// That of hints about payments that are not known here.
    pub(super) fn unknown(method: PaymentMethod) -> Self {
        Self { method, is_unknown: true }
    }

    pub(super) fn name(self) -> String {
        let name = self.method.name();
        match self.is_unknown {
            true => format!("{name} unknown"),
            false => name.to_owned(),
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let method = name.strip_suffix(" unknown");
        Some(Self {
            method: PaymentMethod::parse(method.unwrap_or(name))?,
            is_unknown: method.is_some(),
        })
    }
}

/// The queue: asks for calls, and wakes its worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallQueue {
    pub(super) wake_up: Arc<Notify>,
}

impl CallQueue {
    /// Asks for a call, due at `at` or when it was due before, whichever is earlier. It is given up
    /// as late as if it were the first.
    pub(crate) fn ask(
        &self,
        tx: &mut Tx<'_>,
        lane: Lane,
        request: ProviderRequest,
        at: Time,
    ) -> Result<(), store::Error> {
        let known = tx.get(CALLS, &(lane.name(), request.id()))?;
        let row = CallRow {
            request,
            due: known.as_ref().map_or(at, |known| known.due.min(at)),
            began: at,
            sent: 0,
            sent_at: known.as_ref().and_then(|known| known.sent_at),
            asked: known
                .as_ref()
                .map_or(1, |known| known.asked.saturating_add(1)),
        };
        self.put(tx, lane, known, &row)
    }

    /// Asks to end the open attempts of an order that waits for no payment any more.
    pub(crate) fn cancel_attempts(
        &self,
        tx: &mut Tx<'_>,
        order_id: OrderId,
        now: Time,
    ) -> Result<(), store::Error> {
        for attempt in tables::attempts(tx, order_id)? {
            let is_open = attempt.at_provider.as_ref().is_some_and(|at_provider| {
                at_provider.status == AttemptStatus::Pending && at_provider.provider_id.is_some()
            });
            if is_open {
                let request = ProviderRequest::Cancel { order_id, payment_id: attempt.id };
                self.ask(tx, Lane::of(attempt.method), request, now)?;
            }
        }
        Ok(())
    }

    /// Asks for a fetch because the payment, which was fetched last at `fetched_at`, may have
    /// changed: now, or once it was not fetched for a while.
    pub(super) fn hint(
        &self,
        tx: &mut Tx<'_>,
        lane: Lane,
        request: ProviderRequest,
        fetched_at: Option<Time>,
        now: Time,
    ) -> Result<(), store::Error> {
        let Some(known) = tx.get(CALLS, &(lane.name(), request.id()))? else {
            return self.ask(tx, lane, request, after_pause(fetched_at, now));
        };
        let due = after_pause(fetched_at.max(known.sent_at), now);
        let row = CallRow {
            due: known.due.min(due),
            asked: known.asked.saturating_add(1),
            ..known.clone()
        };
        self.put(tx, lane, Some(known), &row)
    }

    fn put(
        &self,
        tx: &mut Tx<'_>,
        lane: Lane,
        known: Option<CallRow>,
        row: &CallRow,
    ) -> Result<(), store::Error> {
        let (lane, id) = (lane.name(), row.request.id());
        if let Some(known) = known {
            tx.delete(DUE, &(lane.clone(), known.due, id.clone()))?;
        }
        tx.put(DUE, &(lane.clone(), row.due, id.clone()), &())?;
        tx.put(CALLS, &(lane, id), row)?;
        let wake_up = self.wake_up.clone();
        tx.on_visible(move || wake_up.notify_one());
        Ok(())
    }
}

/// Whether the lane of unknown payments has room.
pub(super) fn has_room(from: &impl Read, method: PaymentMethod) -> Result<bool, store::Error> {
    let waiting = from.scan(DUE.prefix(&Lane::unknown(method).name()))?;
    Ok(waiting.take(UNKNOWN_MAX).count() < UNKNOWN_MAX)
}

/// When a payment that was fetched last at `last` may be fetched again.
pub(super) fn after_pause(last: Option<Time>, now: Time) -> Time {
    // The clock may have been set back since.
    let latest = now.after(FETCH_PAUSE);
    last.map_or(now, |last| last.after(FETCH_PAUSE).clamp(now, latest))
}

/// A call that is about to be sent, and counts as sent; `None` if there is none.
pub(super) fn sending(
    tx: &mut Tx<'_>,
    lane: Lane,
    id: &str,
    now: Time,
) -> Result<Option<CallRow>, store::Error> {
    let key = (lane.name(), id.to_owned());
    let Some(mut row) = tx.get(CALLS, &key)? else {
        return Ok(None);
    };
    (row.sent, row.sent_at) = (row.sent.saturating_add(1), Some(now));
    tx.put(CALLS, &key, &row)?;
    Ok(Some(row))
}

/// What becomes of a call after an answer, or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextCall {
    /// None follows.
    Done,
    /// It is sent again, later and later.
    Again,
}

/// Ends a call as it was `sent`, or has it due again. Returns whether there is a next one.
pub(super) fn end(
    tx: &mut Tx<'_>,
    lane: Lane,
    sent: &CallRow,
    next: NextCall,
    now: Time,
) -> Result<bool, store::Error> {
    let (lane, id) = (lane.name(), sent.request.id());
    let key = (lane.clone(), id.clone());
    let Some(row) = tx.get(CALLS, &key)? else {
        return Ok(false);
    };
    tx.delete(DUE, &(lane.clone(), row.due, id.clone()))?;
    let due = match next {
        // It was asked for meanwhile.
        _ if row.asked != sent.asked => Some(after_pause(row.sent_at, now)),
        NextCall::Done => None,
        NextCall::Again => {
            let jitter = rand::random();
            sent.request
                .backoff()
                .next(row.began, row.sent, now, jitter)
        }
    };
    match due {
        None => tx.delete(CALLS, &key)?,
        Some(due) => {
            tx.put(DUE, &(lane, due, id), &())?;
            tx.put(CALLS, &key, &CallRow { due, ..row })?;
        }
    }
    Ok(due.is_some())
}

/// The pause before a payment that was just opened is asked about.
pub(super) fn first_fetch(now: Time) -> Time {
    now.after(FETCH.first)
}

#[cfg(test)]
mod tests {
    use store::{Options, Store};

    use super::*;

    /// Golden bytes: a change here is a change of the stored format.
    #[test]
    fn golden_bytes() {
        let request = ProviderRequest::Fetch { id: "tr_1".into(), order_id: None };
        let row = CallRow {
            request,
            due: Time(2),
            began: Time(1),
            sent: 1,
            sent_at: None,
            asked: 3,
        };
        let golden = b"\x01\x85\xa7request\x81\xa5fetch\x81\xa2id\xa4tr_1\xa3due\x02\xa5began\x01\xa4sent\x01\xa5asked\x03";
        assert_eq!(store::encode(&row).unwrap(), golden);
        assert_eq!(store::decode::<CallRow>(golden).unwrap(), row);
        for lane in [
            Lane::of(PaymentMethod::Stripe),
            Lane::unknown(PaymentMethod::Mollie),
        ] {
            assert_eq!(Lane::parse(&lane.name()), Some(lane));
        }
    }

    /// Hints that come all the time, while a call is in flight and while none is, cost a call a
    /// pause.
    #[tokio::test]
    async fn repeated_hints_cost_a_call_a_pause() {
        const EVERY: Duration = Duration::from_millis(100);
        const ANSWERED_AFTER: Duration = Duration::from_millis(300);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (queue, lane) = (CallQueue::default(), Lane::of(PaymentMethod::Mollie));
        for next in [NextCall::Done, NextCall::Again] {
            let queue = queue.clone();
            let counted = store.write(move |tx| {
                let (mut now, mut calls) = (Time(1_000_000), 0);
                let (mut in_flight, mut fetched_at) = (None::<CallRow>, None);
                for _ in 0..100 {
                    let request = ProviderRequest::Fetch { id: "tr_1".into(), order_id: None };
                    queue.hint(tx, lane, request, fetched_at, now)?;
                    if let Some(sent) =
                        in_flight.take_if(|it| it.sent_at < Some(now.before(ANSWERED_AFTER)))
                    {
                        fetched_at = (next == NextCall::Done).then_some(now);
                        end(tx, lane, &sent, next, now)?;
                    }
                    let due = tx.scan(DUE.all())?.next().transpose()?;
                    if in_flight.is_none() && due.is_some_and(|((_, due, _), ())| due <= now) {
                        in_flight = sending(tx, lane, "fetch tr_1", now)?;
                        calls += 1;
                    }
                    now = now.after(EVERY);
                }
                tx.delete(CALLS, &(lane.name(), "fetch tr_1".into()))?;
                let due: Vec<_> = tx.scan(DUE.all())?.collect::<Result<_, _>>()?;
                due.into_iter()
                    .try_for_each(|(key, ())| tx.delete(DUE, &key))?;
                Ok::<_, store::Error>(calls)
            });
            // In ten seconds.
            assert!(matches!(counted.await.unwrap(), 4..=5), "{next:?}");
        }
    }
}
