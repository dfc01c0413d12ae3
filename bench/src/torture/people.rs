//! Buyers and staff who do one thing after the other until the scene closes.
//!
//! What they choose follows from the seed; what comes of it also from who is
//! first and from what is killed meanwhile. Now and then somebody does what the
//! order's state forbids, sends the same thing twice at once, or asks again under
//! an old key.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::deed::{Act, Deed, Line, Step};
use super::scene::{Known, STAFF, Scene};

/// How far back anybody looks for an order to do something with.
const ORDERS_IN_MIND: usize = 300;
const PIECES_MAX: i64 = 5;
const LINES_MAX: usize = 3;

/// Does what `who` does until the scene closes; `number` tells people of the same
/// account apart.
pub(super) async fn live(scene: Arc<Scene>, who: usize, number: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ (number << 32));
    for count in 0.. {
        if scene.is_closing() {
            return;
        }
        let chance = rng.random_range(0..100);
        let going_on = match chance {
            0..5 => ask_again(&scene, &mut rng).await,
            5..10 if who == STAFF => look(&scene, &mut rng).await,
            _ => {
                let act = if who == STAFF {
                    staff_act(&scene, &mut rng)
                } else {
                    buyer_act(&scene, who, &mut rng)
                };
                let key = format!("{seed}-{number}-{count}");
                let is_twofold = rng.random_range(0..100) < 5;
                perform(&scene, Deed { who, key, act }, is_twofold).await
            }
        };
        // Whoever met a fault has seen enough; the rest go on.
        if going_on.is_none() {
            return;
        }
    }
}

async fn perform(scene: &Scene, deed: Deed, is_twofold: bool) -> Option<()> {
    if !is_twofold {
        return scene.perform(deed).await.map(drop);
    }
    let (one, twin) = tokio::join!(scene.perform(deed.clone()), deed.done(scene));
    let one = one?;
    match twin {
        Ok((twin, _)) if (twin.status, &twin.body) == (one.status, &one.body) => {}
        // What 202 accepted is answered as it is at the time.
        Ok((twin, _)) if twin.status == 202 && twin.order() == one.order() => {}
        Ok((twin, _)) => scene.fault(format!(
            "{deed}: sent twice at once, decided {} and {}",
            one.status, twin.status
        )),
        Err(error) => scene.fault(format!("{error:#}")),
    }
    Some(())
}

/// A key that was decided is decided for good, also while everything falls.
async fn ask_again(scene: &Scene, rng: &mut StdRng) -> Option<()> {
    let entry = scene.decided(rng.random_range(0..usize::MAX));
    let Some(entry) = entry else { return Some(()) };
    match entry.deed.done(scene).await {
        Ok((again, _)) => {
            if let Some(fault) = super::audit::differs(&entry, &again) {
                scene.fault(fault);
            }
            Some(())
        }
        Err(error) => {
            scene.fault(format!("{error:#}"));
            None
        }
    }
}

/// At no moment may more be promised than there is.
async fn look(scene: &Scene, rng: &mut StdRng) -> Option<()> {
    let product = rng.random_range(0..scene.products.len());
    if let Ok(level) = scene.level(&scene.client, product).await
        && !(0..=level.on_hand).contains(&level.reserved)
    {
        let id = &scene.products[product].id;
        scene.fault(format!("{id}: oversold for a moment, {level:?}"));
    }
    Some(())
}

fn buyer_act(scene: &Scene, who: usize, rng: &mut StdRng) -> Act {
    if rng.random_range(0..100) < 15 {
        let own = scene.newest(ORDERS_IN_MIND).into_iter();
        let own = own.filter(|known| known.buyer == who).choose(rng);
        if let Some(known) = own {
            return Act::Step(known.order, Step::Cancel);
        }
    }
    let products = (0..scene.products.len()).sample(rng, 1 + who % LINES_MAX);
    let lines = products
        .into_iter()
        .map(|product| Line { product, pieces: rng.random_range(1..=PIECES_MAX) });
    Act::Place(lines.collect())
}

fn staff_act(scene: &Scene, rng: &mut StdRng) -> Act {
    let known = scene.newest(ORDERS_IN_MIND);
    match known.choose(rng) {
        Some(known) if rng.random_range(0..100) < 80 => {
            Act::Step(known.order.clone(), staff_step(known, rng))
        }
        _ => {
            let product = rng.random_range(0..scene.products.len());
            // Mostly deliveries; what is written off may be promised already.
            let pieces = [-40, -10, 5, 20, 30, 40].choose(rng).copied();
            Act::Move(Line { product, pieces: pieces.unwrap_or(1) })
        }
    }
}

/// Mostly what comes next; some money back; now and then what is forbidden.
fn staff_step(known: &Known, rng: &mut StdRng) -> Step {
    let part = Step::Refund(Some(rng.random_range(1..=known.total)));
    let likely: &[(Step, u8)] = match known.status.as_str() {
        "pending" | "confirmed" => &[(Step::Pay, 8), (Step::Cancel, 1), (Step::Ship, 1)],
        "paid" => &[
            (Step::Ship, 6),
            (Step::Cancel, 1),
            (part, 2),
            (Step::Refund(None), 1),
        ],
        "shipped" => &[
            (Step::Deliver, 6),
            (part, 2),
            (Step::Refund(None), 1),
            (Step::Cancel, 1),
        ],
        "delivered" => &[(part, 6), (Step::Refund(None), 2), (Step::Pay, 2)],
        _ => &[(Step::Pay, 1), (part, 1)],
    };
    let chosen = likely.choose_weighted(rng, |(_, weight)| *weight);
    chosen.map_or(Step::Pay, |(step, _)| *step)
}
