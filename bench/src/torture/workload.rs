//! The workload of a torture: its people, its products and the operations decided so far.
//!
//! **Invariant:** an operation is recorded exactly when its sender received the decision,
//! so the record holds what the shop has acknowledged and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::watch;

use super::operation::{Action, Decision, Operation, OrderedProduct, PlacedOrderId};
use crate::client::{Credentials, NewProduct, ShopClient};

const PRODUCTS: usize = 12;
/// Few enough that some orders are refused, and enough that most are not.
const PIECES_EACH: i64 = 400;
const PRICE: i64 = 1_250;

pub(super) const STAFF: usize = 0;
pub(super) const STAFF_EMAIL: &str = "staff@torture.example";
pub(super) const PASSWORD: &str = "a kettle and three lamps";

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct TestProduct {
    pub(super) id: String,
    /// Pieces before anything was asked.
    pub(super) pieces: i64,
}

/// An order in the state last acknowledged.
#[derive(Clone)]
pub(super) struct KnownOrder {
    pub(super) order: PlacedOrderId,
    /// Index among the people.
    pub(super) buyer: usize,
    pub(super) status: String,
    pub(super) total: i64,
}

/// A decided operation.
#[derive(Clone)]
pub(super) struct DecidedOperation {
    pub(super) operation: Operation,
    pub(super) decision: Decision,
}

pub(super) struct Workload {
    /// Without retries: an operation has its own retry rule.
    pub(super) client: ShopClient,
    /// Staff, then the buyers.
    pub(super) people: Vec<Credentials>,
    pub(super) products: Vec<TestProduct>,
    /// Orders by the order in which they were first acknowledged.
    known: Mutex<(Vec<KnownOrder>, HashMap<PlacedOrderId, usize>)>,
    decided: Mutex<Vec<DecidedOperation>>,
    faults: Mutex<Vec<String>>,
    tries: watch::Sender<Tries>,
    closing: AtomicBool,
}

/// Requests sent so far, and how many of them brought a decision.
#[derive(Clone, Copy, Default)]
pub(super) struct Tries {
    pub(super) sent: u64,
    pub(super) decided: u64,
}

impl Workload {
    /// Registers the buyers and puts the products on sale, in a shop that has
    /// [`STAFF_EMAIL`] among its staff.
    pub(super) async fn set(client: &ShopClient, buyers: usize) -> anyhow::Result<Self> {
        let buyer =
            |number| Credentials::new(format!("buyer{number}@torture.example"), PASSWORD.into());
        let mut people = vec![Credentials::new(STAFF_EMAIL.into(), PASSWORD.into())];
        people.extend(client.log_in_all((1..=buyers).map(buyer)).await?);
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            let product = NewProduct {
                sku: format!("TORTURE-{number}"),
                title: format!("Tortured lamp {number}"),
                price: PRICE * number as i64,
                stock: PIECES_EACH,
            };
            let id = client.create_product(&people[STAFF], product).await?;
            products.push(TestProduct { id, pieces: PIECES_EACH });
        }
        Ok(Self {
            client: client.without_retries()?,
            people,
            products,
            known: Mutex::default(),
            decided: Mutex::default(),
            faults: Mutex::default(),
            tries: watch::Sender::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Does an operation to its end and enters it; a fault is noted and ends it too.
    pub(super) async fn perform(&self, operation: Operation) -> Option<Decision> {
        match operation.done(self).await {
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
        if !decision.is_success() || matches!(operation.action, Action::Move(_)) {
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
                known.push(KnownOrder { order, buyer: operation.who, status: body.status, total });
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
    pub(super) fn decided(&self) -> Vec<DecidedOperation> {
        self.decided.lock().clone()
    }

    pub(super) fn fault(&self, fault: String) {
        self.faults.lock().push(fault);
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    pub(super) fn tries(&self) -> Tries {
        *self.tries.borrow()
    }

    /// Waits until so many more operations are decided: a kill then comes in the middle
    /// of work, however slow the machine is.
    pub(super) async fn progress(&self, operations: u64) -> anyhow::Result<()> {
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

    /// What staff sees of a product's stock: on hand, reserved.
    pub(super) async fn level(
        &self,
        client: &ShopClient,
        product: usize,
    ) -> anyhow::Result<StockLevel> {
        let id = &self.products[product].id;
        let request = client.request(Method::GET, &["v1", "products", id, "stock"]);
        let answer = client.send_as(&self.people[STAFF], request).await?;
        answer
            .expect(StatusCode::OK, "reading stock")
            .with_context(|| id.clone())
    }
}

/// A product's stock, in pieces. Signed: an oversold shop must be readable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct StockLevel {
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
}

#[derive(Deserialize)]
struct OrderBody {
    id: String,
    status: String,
    total: Total,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Total {
    pub(super) amount: i64,
}

/// The amount of these lines.
pub(super) fn total(lines: &[OrderedProduct]) -> i64 {
    let price = |line: &OrderedProduct| PRICE * (line.product as i64 + 1) * line.pieces;
    lines.iter().map(price).sum()
}
