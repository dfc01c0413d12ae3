//! People under torture: buyers and staff who perform one operation after the other until
//! the workload closes.
//!
//! Their choices follow from the seed; the outcomes also depend on timing and on the kills
//! meanwhile. Some operations are forbidden by the order's state, some are sent twice at
//! once, and some repeat an old key.
//!
//! **Invariant:** a fault is recorded and ends the person who met it; the others go on.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::cart;
use super::operation::{
    Action, Decision, Operation, OrderStep, OrderedBasket, OrderedProduct, Receipt,
};
use super::setup::{STAFF, TortureSetup};
use super::workload::{KnownOrder, Workload};

/// The newest orders, of which people choose one.
const ORDERS_IN_MIND: usize = 300;
const PIECES_MAX: i64 = 5;
const LINES_MAX: usize = 3;

/// Does what `who` does until the workload closes; `number` tells people of the same
/// account apart.
pub(super) async fn live(workload: Arc<Workload>, who: usize, number: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ (number << 32));
    for count in 0.. {
        if workload.is_closing() {
            return;
        }
        let chance = rng.random_range(0..100);
        let going_on = match chance {
            0..5 => ask_again(&workload, &mut rng).await,
            5..10 if who == STAFF => look(&workload, &mut rng).await,
            _ => {
                let action = if who == STAFF {
                    Some(staff_action(&workload, &mut rng))
                } else {
                    buyer_action(&workload, who, &mut rng).await
                };
                let Some(action) = action else {
                    return;
                };
                let key = format!("{seed}-{number}-{count}");
                let is_twofold = rng.random_range(0..100) < 5;
                perform(&workload, Operation { who, key, action }, is_twofold).await
            }
        };
        if going_on.is_none() {
            return;
        }
    }
}

async fn perform(workload: &Workload, operation: Operation, is_twofold: bool) -> Option<()> {
    if !is_twofold {
        let decision = workload.perform(operation.clone()).await?;
        return complete_again(workload, operation, &decision).await;
    }
    let (one, twin) = tokio::join!(
        workload.perform(operation.clone()),
        operation.done(&workload.setup)
    );
    let one = one?;
    match twin {
        Ok((twin, _)) if (twin.status, &twin.body) == (one.status, &one.body) => {}
        // What 202 accepted is answered as it is at the time.
        Ok((twin, _)) if twin.status == 202 && twin.order() == one.order() => {}
        Ok((twin, _)) => workload.fault(format!(
            "{operation}: sent twice at once, decided {} and {}",
            one.status, twin.status
        )),
        Err(error) => workload.fault(format!("{error:#}")),
    }
    Some(())
}

/// A cart that became a confirmed order is that order under any other key.
async fn complete_again(workload: &Workload, operation: Operation, first: &Decision) -> Option<()> {
    if !matches!(operation.action, Action::Complete(..)) || first.status != 201 {
        return Some(());
    }
    let key = format!("{}-again", operation.key);
    let again = Operation { key, ..operation };
    match again.done(&workload.setup).await {
        Ok((decision, _)) if decision.order() == first.order() => Some(()),
        Ok((decision, _)) => {
            let (was, is) = (first.order(), decision.order());
            workload.fault(format!("{again}: the cart became {was:?} and then {is:?}"));
            Some(())
        }
        Err(error) => {
            workload.fault(format!("{error:#}"));
            None
        }
    }
}

/// A key that was decided is decided for good, also while everything falls.
async fn ask_again(workload: &Workload, rng: &mut StdRng) -> Option<()> {
    let entry = workload.decided_at(rng.random_range(0..usize::MAX));
    let Some(entry) = entry else { return Some(()) };
    match entry.operation.done(&workload.setup).await {
        Ok((again, _)) => {
            if let Some(fault) = super::audit::differs(&entry, &again) {
                workload.fault(fault);
            }
            Some(())
        }
        Err(error) => {
            workload.fault(format!("{error:#}"));
            None
        }
    }
}

/// At no moment may more be promised than there is.
async fn look(workload: &Workload, rng: &mut StdRng) -> Option<()> {
    let TortureSetup { client, people, products, .. } = &workload.setup;
    let id = &products[rng.random_range(0..products.len())].id;
    if let Ok(level) = client.stock(&people[STAFF], id).await
        && !(0..=level.on_hand).contains(&level.reserved)
    {
        workload.fault(format!("{id}: oversold for a moment, {level:?}"));
    }
    Some(())
}

/// `None` when no cart can be filled, which is a fault.
async fn buyer_action(workload: &Workload, who: usize, rng: &mut StdRng) -> Option<Action> {
    if rng.random_range(0..100) < 15 {
        let own = workload.newest(ORDERS_IN_MIND).into_iter();
        let own = own.filter(|known| known.buyer == Some(who)).choose(rng);
        if let Some(known) = own {
            return Some(Action::OrderStep(known.order, OrderStep::Cancel));
        }
    }
    let products = (0..workload.setup.products.len()).sample(rng, 1 + who % LINES_MAX);
    let lines = products
        .into_iter()
        .map(|product| OrderedProduct { product, pieces: rng.random_range(1..=PIECES_MAX) });
    let lines = lines.collect();
    let codes = workload.setup.codes.len();
    let code = rng.random_bool(0.4).then(|| rng.random_range(0..codes));
    let basket = OrderedBasket { lines, code };
    if rng.random_bool(0.6) {
        return Some(Action::Place(basket));
    }
    let filled = if rng.random_bool(0.3) {
        cart::fill_as_guest(&workload.setup, &basket).await
    } else {
        cart::fill(&workload.setup, who, &basket).await
    };
    match filled {
        Ok(cart) => Some(Action::Complete(cart, basket)),
        Err(error) => {
            workload.fault(format!("{error:#}"));
            None
        }
    }
}

fn staff_action(workload: &Workload, rng: &mut StdRng) -> Action {
    let known = workload.newest(ORDERS_IN_MIND);
    match known.choose(rng) {
        Some(known) if rng.random_range(0..100) < 15 => {
            // Now and then too much, which pays nothing.
            let amount = known.total + i64::from(rng.random_bool(0.1));
            Action::Receive(Receipt { order: known.order.clone(), amount })
        }
        Some(known) if rng.random_range(0..100) < 80 => {
            Action::OrderStep(known.order.clone(), staff_step(known, rng))
        }
        _ => {
            let product = rng.random_range(0..workload.setup.products.len());
            // Mostly deliveries; units written off may be reserved already.
            let pieces = [-40, -10, 5, 20, 30, 40].choose(rng).copied();
            Action::Move(OrderedProduct { product, pieces: pieces.unwrap_or(1) })
        }
    }
}

/// Mostly the next step, some refunds, now and then a forbidden step.
fn staff_step(known: &KnownOrder, rng: &mut StdRng) -> OrderStep {
    let part = OrderStep::Refund(Some(rng.random_range(1..=known.total)));
    let likely: &[(OrderStep, u8)] = match known.status.as_str() {
        "pending" | "confirmed" => &[
            (OrderStep::Pay, 8),
            (OrderStep::Cancel, 1),
            (OrderStep::Ship, 1),
        ],
        "paid" => &[
            (OrderStep::Ship, 6),
            (OrderStep::Undo, 1),
            (OrderStep::Cancel, 1),
            (part, 2),
            (OrderStep::Refund(None), 1),
        ],
        "shipped" => &[
            (OrderStep::Deliver, 6),
            (OrderStep::Undo, 1),
            (part, 2),
            (OrderStep::Refund(None), 1),
            (OrderStep::Cancel, 1),
        ],
        "delivered" => &[
            (part, 6),
            (OrderStep::Refund(None), 2),
            (OrderStep::Pay, 2),
            (OrderStep::Undo, 1),
        ],
        _ => &[(OrderStep::Pay, 1), (part, 1)],
    };
    let chosen = likely.choose_weighted(rng, |(_, weight)| *weight);
    chosen.map_or(OrderStep::Pay, |(step, _)| *step)
}
