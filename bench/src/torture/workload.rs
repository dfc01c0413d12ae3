//! The workload of a torture: the operations decided so far, and the orders they led to.
//!
//! **Invariant:** an operation is recorded exactly when its sender received the decision,
//! so the record holds what the shop has acknowledged and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;

use super::operation::{Action, Decision, Operation, PlacedOrderId, Total};
use super::setup::TortureSetup;

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An order in the state last acknowledged.
#[derive(Clone)]
pub(super) struct KnownOrder {
    pub(super) order: PlacedOrderId,
    /// Index among the people; `None` for a guest.
    pub(super) buyer: Option<usize>,
    pub(super) status: String,
    pub(super) total: i64,
}

/// A decided operation.
#[derive(Clone)]
pub(crate) struct DecidedOperation {
    pub(crate) operation: Operation,
    pub(crate) decision: Decision,
}

pub(crate) struct Workload {
    pub(crate) setup: TortureSetup,
    /// Orders by the order in which they were first acknowledged.
    known: Mutex<(Vec<KnownOrder>, HashMap<PlacedOrderId, usize>)>,
    decided: Mutex<Vec<DecidedOperation>>,
    faults: Mutex<Vec<String>>,
    tries: watch::Sender<Tries>,
    closing: AtomicBool,
}

/// Requests sent so far, and how many of them brought a decision.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tries {
    pub(crate) sent: u64,
    pub(crate) decided: u64,
}

impl Workload {
    /// A workload in which nothing is decided yet.
    pub(crate) fn new(setup: TortureSetup) -> Self {
        Self {
            setup,
            known: Mutex::default(),
            decided: Mutex::default(),
            faults: Mutex::default(),
            tries: watch::Sender::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// Does an operation to its end and enters it; a fault is noted and ends it too.
    pub(crate) async fn perform(&self, operation: Operation) -> Option<Decision> {
        match operation.done(&self.setup).await {
            Ok((decision, tries)) => {
                self.note(&operation, &decision);
                let entry = DecidedOperation { operation, decision: decision.clone() };
                self.decided.lock().push(entry);
                self.tries.send_modify(|so_far| {
                    so_far.sent += tries;
                    so_far.decided += 1;
                });
                Some(decision)
            }
            Err(error) => {
                self.fault(format!("{error:#}"));
                None
            }
        }
    }

    fn note(&self, operation: &Operation, decision: &Decision) {
        let is_about_order = !matches!(operation.action, Action::Move(_) | Action::Receive(_));
        if !decision.is_success() || !is_about_order {
            return;
        }
        let Ok(body) = serde_json::from_slice::<OrderBody>(&decision.body) else {
            return self.fault(format!("{operation}: answered without an order"));
        };
        let order = PlacedOrderId::from(body.id);
        let (known, places) = &mut *self.known.lock();
        match places.get(&order) {
            Some(&place) => known[place].status = body.status,
            None => {
                places.insert(order.clone(), known.len());
                let total = body.total.amount;
                let buyer = operation.buyer();
                known.push(KnownOrder { order, buyer, status: body.status, total });
            }
        }
    }

    /// The newest acknowledged orders, at most `most`.
    pub(super) fn newest(&self, most: usize) -> Vec<KnownOrder> {
        let (known, _) = &*self.known.lock();
        known[known.len().saturating_sub(most)..].to_vec()
    }

    /// One of the decided operations, the `place`-th modulo their number.
    pub(super) fn decided_at(&self, place: usize) -> Option<DecidedOperation> {
        let decided = self.decided.lock();
        let place = place.checked_rem(decided.len())?;
        decided.get(place).cloned()
    }

    /// Everything that was decided.
    pub(crate) fn decided(&self) -> Vec<DecidedOperation> {
        self.decided.lock().clone()
    }

    pub(crate) fn fault(&self, fault: String) {
        self.faults.lock().push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    pub(crate) fn tries(&self) -> Tries {
        *self.tries.borrow()
    }

    /// Waits until so many more operations are decided: a kill then comes in the middle
    /// of work, however slow the machine is.
    pub(crate) async fn progress(&self, operations: u64) -> anyhow::Result<()> {
        let mut tries = self.tries.subscribe();
        let goal = tries.borrow_and_update().decided + operations;
        let reached = tries.wait_for(|tries| tries.decided >= goal);
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        ensure!(
            reached.is_ok(),
            "{operations} operations were not decided within {} s: {:?}",
            TIMEOUT.as_secs(),
            self.faults()
        );
        Ok(())
    }

    /// No operation begins from now on.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

#[derive(Deserialize)]
struct OrderBody {
    id: String,
    status: String,
    total: Total,
}
