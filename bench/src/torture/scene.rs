//! What everyone in a torture shares: the people, the products, and the ledger of
//! what was decided.
//!
//! **Invariant:** a deed is in the ledger exactly when its sender was told the
//! outcome, so the ledger is what the shop has acknowledged and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::deed::{Act, Deed, Line, OrderId, Outcome};
use crate::client::{Account, Client};

const PRODUCTS: usize = 12;
/// Few enough that some orders are refused, and enough that most are not.
const PIECES_EACH: i64 = 400;
const PRICE: i64 = 1_250;

pub(super) const STAFF: usize = 0;
pub(super) const STAFF_EMAIL: &str = "staff@torture.example";
pub(super) const PASSWORD: &str = "a kettle and three lamps";

/// Longer than any process is ever down.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Product {
    pub(super) id: String,
    /// Pieces before anything was asked.
    pub(super) pieces: i64,
}

/// An order as its people last heard of it.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) order: OrderId,
    /// Index among the people.
    pub(super) buyer: usize,
    pub(super) status: String,
    pub(super) total: i64,
}

/// A decided deed.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) deed: Deed,
    pub(super) outcome: Outcome,
}

pub(super) struct Scene {
    /// Candid: whoever asks decides what an answer means.
    pub(super) client: Client,
    /// Staff, then the buyers.
    pub(super) people: Vec<Account>,
    pub(super) products: Vec<Product>,
    /// Orders by the order in which they were first acknowledged.
    known: Mutex<(Vec<Known>, HashMap<OrderId, usize>)>,
    ledger: Mutex<Vec<Entry>>,
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

impl Scene {
    /// Registers the buyers and puts the products on sale, in a shop that has
    /// [`STAFF_EMAIL`] among its staff.
    pub(super) async fn set(client: &Client, buyers: usize) -> anyhow::Result<Self> {
        let mut people = vec![Account::new(STAFF_EMAIL.into(), PASSWORD.into())];
        for number in 1..=buyers {
            let email = format!("buyer{number}@torture.example");
            let buyer = Account::new(email, PASSWORD.into());
            client.register(&buyer, &format!("Buyer {number}")).await?;
            client.renew(&buyer, "").await?;
            people.push(buyer);
        }
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            let request = client
                .request(Method::POST, &["v1", "products"])
                .json(&json!({
                    "sku": format!("TORTURE-{number}"),
                    "title": format!("Tortured lamp {number}"),
                    "price": {"amount": PRICE * number as i64, "currency": "EUR"},
                    "status": "published",
                    "stock": PIECES_EACH,
                }));
            let made = client.send_as(&people[STAFF], request).await?;
            let Named { id } = made.expect(StatusCode::CREATED, "making a product")?;
            products.push(Product { id, pieces: PIECES_EACH });
        }
        Ok(Self {
            client: client.candid()?,
            people,
            products,
            known: Mutex::default(),
            ledger: Mutex::default(),
            faults: Mutex::default(),
            tries: watch::Sender::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Does a deed to its end and enters it; a fault is noted and ends it too.
    pub(super) async fn perform(&self, deed: Deed) -> Option<Outcome> {
        match deed.done(self).await {
            Ok((outcome, tries)) => {
                self.hear(&deed, &outcome);
                let entry = Entry { deed, outcome: outcome.clone() };
                lock(&self.ledger).push(entry);
                self.tries.send_modify(|so_far| {
                    so_far.sent += tries;
                    so_far.decided += 1;
                });
                Some(outcome)
            }
            Err(error) => {
                self.fault(format!("{error:#}"));
                None
            }
        }
    }

    fn hear(&self, deed: &Deed, outcome: &Outcome) {
        if !outcome.is_success() || matches!(deed.act, Act::Move(_)) {
            return;
        }
        let Ok(told) = serde_json::from_slice::<Told>(&outcome.body) else {
            return self.fault(format!("{deed}: answered without an order"));
        };
        let order = OrderId::from(told.id);
        let (known, places) = &mut *lock(&self.known);
        match places.get(&order) {
            Some(&place) => known[place].status = told.status,
            None => {
                places.insert(order.clone(), known.len());
                let total = told.total.amount;
                known.push(Known { order, buyer: deed.who, status: told.status, total });
            }
        }
    }

    /// The newest orders that anybody was told of, at most `most`.
    pub(super) fn newest(&self, most: usize) -> Vec<Known> {
        let (known, _) = &*lock(&self.known);
        known[known.len().saturating_sub(most)..].to_vec()
    }

    /// One of the decided deeds, the `place`-th modulo their number.
    pub(super) fn decided(&self, place: usize) -> Option<Entry> {
        let ledger = lock(&self.ledger);
        let place = place.checked_rem(ledger.len())?;
        ledger.get(place).cloned()
    }

    /// Everything that was decided.
    pub(super) fn ledger(&self) -> Vec<Entry> {
        lock(&self.ledger).clone()
    }

    pub(super) fn fault(&self, fault: String) {
        lock(&self.faults).push(fault);
    }

    pub(super) fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    pub(super) fn tries(&self) -> Tries {
        *self.tries.borrow()
    }

    /// Waits until so many more deeds are decided: a kill then comes in the middle
    /// of work, however slow the machine is.
    pub(super) async fn progress(&self, deeds: u64) -> anyhow::Result<()> {
        let mut tries = self.tries.subscribe();
        let goal = tries.borrow_and_update().decided + deeds;
        let reached = tries.wait_for(|tries| tries.decided >= goal);
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        ensure!(
            reached.is_ok(),
            "{deeds} deeds were not decided within {} s: {:?}",
            TIMEOUT.as_secs(),
            self.faults()
        );
        Ok(())
    }

    /// Nobody begins anything from now on.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// What staff sees of a product's stock: on hand, reserved.
    pub(super) async fn level(&self, client: &Client, product: usize) -> anyhow::Result<Level> {
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
pub(super) struct Level {
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    status: String,
    total: Money,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Money {
    pub(super) amount: i64,
}

/// The amount of these lines.
pub(super) fn total(lines: &[Line]) -> i64 {
    let price = |line: &Line| PRICE * (line.product as i64 + 1) * line.pieces;
    lines.iter().map(price).sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
