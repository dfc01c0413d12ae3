//! The books: what must be there, according to what was acknowledged. Pure: no
//! shop, no clock.

use std::collections::HashMap;

use super::deed::{Act, Line, OrderId, Step};
use super::scene::{Entry, Scene};

/// An order as it was acknowledged.
pub(super) struct Account {
    /// Index among the people.
    pub(super) buyer: usize,
    pub(super) lines: Vec<Line>,
    /// What the answer to placing said: 201, 202 or 409.
    pub(super) status: u16,
    /// The steps that were answered with success.
    pub(super) steps: Vec<Step>,
    /// The keys it was placed under; one, if all is well.
    pub(super) keys: Vec<String>,
}

pub(super) struct Books {
    pub(super) orders: HashMap<OrderId, Account>,
    /// Pieces that were on hand or were moved by staff since, by product.
    pub(super) pieces: Vec<i64>,
    pub(super) products: Vec<String>,
    /// What could not be entered.
    pub(super) unreadable: Vec<String>,
}

impl Books {
    /// Enters what was decided.
    pub(super) fn open(scene: &Scene, ledger: &[Entry]) -> Self {
        let products = scene.products.iter();
        let mut books = Self {
            orders: HashMap::new(),
            pieces: products.clone().map(|product| product.pieces).collect(),
            products: products.map(|product| product.id.clone()).collect(),
            unreadable: Vec::new(),
        };
        // Placings first: a step may have been decided before its order's answer
        // came through.
        let placings = ledger.iter().filter(|entry| entry.deed.act.is_placing());
        let others = ledger.iter().filter(|entry| !entry.deed.act.is_placing());
        placings.chain(others).for_each(|entry| books.enter(entry));
        books
    }

    fn enter(&mut self, Entry { deed, outcome }: &Entry) {
        match &deed.act {
            Act::Place(lines) => match outcome.order() {
                Some(order) => {
                    let account = self.orders.entry(order).or_insert_with(|| Account {
                        buyer: deed.who,
                        lines: lines.clone(),
                        status: outcome.status,
                        steps: Vec::new(),
                        keys: Vec::new(),
                    });
                    account.keys.push(deed.key.clone());
                }
                None => self
                    .unreadable
                    .push(format!("{}: {} names no order", deed.key, outcome.status)),
            },
            Act::Step(order, step) if outcome.is_success() => {
                if let Some(account) = self.orders.get_mut(order) {
                    account.steps.push(*step);
                }
            }
            Act::Move(line) if outcome.is_success() => self.pieces[line.product] += line.pieces,
            Act::Step(..) | Act::Move(_) => {}
        }
    }
}
