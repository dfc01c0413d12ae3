//! The ledger: the state that the acknowledged operations imply.
//!
//! **Invariant:** pure; it reads no shop and no clock.

use std::collections::HashMap;

use super::operation::{Action, OrderStep, OrderedProduct, PlacedOrderId};
use super::setup::TortureSetup;
use super::workload::DecidedOperation;

/// An order as it was acknowledged.
pub(super) struct ExpectedOrder {
    /// Index among the people; `None` for a guest.
    pub(super) buyer: Option<usize>,
    pub(super) lines: Vec<OrderedProduct>,
    /// Index of the code that it was placed with.
    pub(super) code: Option<usize>,
    /// What the answer to placing said: 201, 202 or 409.
    pub(super) status: u16,
    /// The steps that were answered with success.
    pub(super) steps: Vec<OrderStep>,
    /// The keys it was placed under; one, if all is well.
    pub(super) keys: Vec<String>,
}

pub(super) struct Ledger {
    pub(super) orders: HashMap<PlacedOrderId, ExpectedOrder>,
    /// Pieces that were on hand or were moved by staff since, by product.
    pub(super) pieces: Vec<i64>,
    pub(super) products: Vec<String>,
    /// The cap of each code.
    pub(super) caps: Vec<u64>,
    pub(super) codes: Vec<String>,
    /// Payments that the provider reported and the shop acknowledged, by reference.
    pub(super) received: HashMap<String, i64>,
    /// What could not be entered.
    pub(super) unreadable: Vec<String>,
}

impl Ledger {
    /// Enters the decided operations.
    pub(super) fn open(setup: &TortureSetup, decided: &[DecidedOperation]) -> Self {
        let products = setup.products.iter();
        let mut ledger = Self {
            orders: HashMap::new(),
            pieces: products.clone().map(|product| product.pieces).collect(),
            products: products.map(|product| product.id.clone()).collect(),
            caps: setup.codes.iter().map(|code| code.cap).collect(),
            codes: setup.codes.iter().map(|code| code.code.clone()).collect(),
            received: HashMap::new(),
            unreadable: Vec::new(),
        };
        // Placings first: a step may have been decided before its order's answer
        // came through.
        let placings = decided
            .iter()
            .filter(|entry| entry.operation.action.is_placing());
        let others = decided
            .iter()
            .filter(|entry| !entry.operation.action.is_placing());
        placings.chain(others).for_each(|entry| ledger.enter(entry));
        ledger
    }

    fn enter(&mut self, DecidedOperation { operation, decision }: &DecidedOperation) {
        match &operation.action {
            Action::Place(basket) | Action::Complete(_, basket) => match decision.order() {
                Some(order) => {
                    let account = self.orders.entry(order).or_insert_with(|| ExpectedOrder {
                        buyer: operation.buyer(),
                        lines: basket.lines.clone(),
                        code: basket.code,
                        status: decision.status,
                        steps: Vec::new(),
                        keys: Vec::new(),
                    });
                    account.keys.push(operation.key.clone());
                }
                None => self.unreadable.push(format!(
                    "{}: {} names no order",
                    operation.key, decision.status
                )),
            },
            Action::OrderStep(order, step) if decision.is_success() => {
                if let Some(account) = self.orders.get_mut(order) {
                    account.steps.push(*step);
                }
            }
            Action::Move(line) if decision.is_success() => self.pieces[line.product] += line.pieces,
            Action::Receive(receipt) if decision.is_success() => {
                self.received.insert(operation.key.clone(), receipt.amount);
            }
            Action::OrderStep(..) | Action::Move(_) | Action::Receive(_) => {}
        }
    }
}
