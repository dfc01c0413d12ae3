//! Stock levels: units on hand, units reserved, and the changes of both. Pure: present
//! levels are parameters.
//!
//! **Invariants:** `0 <= reserved`, and `reserved <= on_hand` for every level of a tracked
//! product, so no unit is reserved twice; a reservation's units are released or shipped once, because ending a
//! reservation removes it.

use model::{ItemOrdered, Shortage, Time};
use serde::{Deserialize, Serialize};

use super::ProductId;

/// The most units of one product.
pub(crate) const PIECES_MAX: i64 = 1_000_000_000;

/// Movements kept of a product's stock.
pub(crate) const MOVEMENTS_KEPT: u64 = 100;

/// Whether a product's stock limits its sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StockPolicy {
    /// Only units on hand are sold.
    #[default]
    Tracked,
    /// It is always sold, and orders reserve nothing of it: a service, a download.
    Untracked,
    /// It is sold beyond what is on hand, and delivered later.
    Backorder,
}

impl StockPolicy {
    /// Whether it is that of a product that names none.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Units of a product on hand, and of those the units reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StockLevel {
    /// Units on hand.
    pub(crate) on_hand: i64,
    /// Of those, reserved for orders.
    pub(crate) reserved: i64,
    /// The number of movements so far; numbers the next one.
    pub(crate) movements: u64,
    /// As its product's content has it, so that an order reads the level alone.
    #[serde(default, skip_serializing_if = "StockPolicy::is_default")]
    pub(crate) policy: StockPolicy,
}

impl store::Record for StockLevel {}

/// The reason a level cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LevelFault {
    /// Fewer units would be left than are reserved.
    BelowReserved,
    /// More than [`PIECES_MAX`].
    TooMany,
}

impl StockLevel {
    /// Units on hand that are not reserved; below zero for a product that is sold beyond them.
    pub(crate) fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// Whether at least one unit can be sold.
    pub(crate) fn is_available(&self) -> bool {
        self.policy != StockPolicy::Tracked || self.available() > 0
    }

    /// Whether its numbers are ones that its policy allows.
    pub(crate) fn is_sound(&self) -> bool {
        self.reserved >= 0 && (self.policy != StockPolicy::Tracked || self.available() >= 0)
    }

    /// The level under another policy; `None` for one that would be tracked and has more
    /// reserved than on hand.
    pub(crate) fn under(self, policy: StockPolicy) -> Option<Self> {
        Some(Self { policy, ..self }).filter(Self::is_sound)
    }

    /// The level with so many more reserved; `None` where its policy does not allow it.
    fn holding(self, quantity: u32) -> Option<Self> {
        let reserved = self.reserved + i64::from(quantity);
        let after = Self { reserved, ..self };
        (after.is_sound() && reserved <= PIECES_MAX).then_some(after)
    }

    /// The level after `delta` units came or went.
    ///
    /// # Errors
    /// See [`LevelFault`].
    pub(crate) fn moved(self, delta: i64) -> Result<Self, LevelFault> {
        let on_hand = self.on_hand.saturating_add(delta);
        if !(-PIECES_MAX..=PIECES_MAX).contains(&on_hand) && delta > 0 {
            return Err(LevelFault::TooMany);
        }
        let after = Self { on_hand, movements: self.movements + 1, ..self };
        if !after.is_sound() || on_hand < -PIECES_MAX {
            return Err(LevelFault::BelowReserved);
        }
        Ok(after)
    }

    /// The level after the end of a reservation of `quantity`.
    fn after(self, end: ReservationEnd, quantity: u32) -> Self {
        let reserved = self.reserved - i64::from(quantity);
        match end {
            ReservationEnd::Released => Self { reserved, ..self },
            ReservationEnd::Shipped => Self {
                on_hand: self.on_hand - i64::from(quantity),
                reserved,
                movements: self.movements + 1,
                ..self
            },
        }
    }

    /// The level after so many units that had left are back, reserved as they were.
    fn returned(self, quantity: u32) -> Self {
        Self {
            on_hand: self.on_hand + i64::from(quantity),
            reserved: self.reserved + i64::from(quantity),
            movements: self.movements + 1,
            ..self
        }
    }

    /// Whether the change to `after` takes the available units below `low` (0: never), where
    /// they are counted.
    pub(crate) fn runs_low(&self, after: &Self, low: i64) -> bool {
        low > 0
            && self.policy != StockPolicy::Untracked
            && self.available() >= low
            && after.available() < low
    }
}

/// One change of the units on hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Movement {
    pub(crate) at: Time,
    /// Units added, or below zero removed.
    pub(crate) delta: i64,
    /// Units on hand afterwards.
    pub(crate) on_hand: i64,
    /// As staff gave it, or the reason of an automatic movement.
    pub(crate) reason: String,
    /// The user; `None` for the operator's import.
    pub(crate) by: Option<String>,
}

impl store::Record for Movement {}

/// The stock given at a product's creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpeningStock {
    /// Units.
    pub(crate) pieces: i64,
    /// The creating user; `None` for the operator's import.
    pub(crate) by: Option<String>,
}

/// The units reserved for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    /// Each product once, without those of which nothing is reserved.
    pub(crate) lines: Vec<ItemOrdered>,
    pub(crate) at: Time,
}

impl store::Record for Reservation {}

/// How a reservation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReservationEnd {
    /// Its units can be sold again.
    Released,
    /// Its units left the stock.
    Shipped,
}

/// A product's level before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LevelChange {
    pub(crate) product_id: ProductId,
    pub(crate) before: StockLevel,
    pub(crate) after: StockLevel,
}

/// The level change of each line that reserves anything, or every line that is short.
pub(crate) type ReserveOutcome = Result<Vec<LevelChange>, Vec<Shortage>>;

/// Reserves every line, each of another product, or none. `level_of` returns a
/// product's present level, `None` for one that is gone.
///
/// # Errors
/// Those of `level_of`.
pub(crate) fn reserve<E>(
    lines: &[ItemOrdered],
    level_of: impl Fn(ProductId) -> Result<Option<StockLevel>, E>,
) -> Result<ReserveOutcome, E> {
    let mut held = Vec::with_capacity(lines.len());
    let mut shortages = Vec::new();
    for &ItemOrdered { product_id, quantity } in lines {
        let before = level_of(product_id)?.unwrap_or_default();
        if before.policy == StockPolicy::Untracked {
            continue;
        }
        match before.holding(quantity) {
            Some(after) => held.push(LevelChange { product_id, before, after }),
            None => {
                let available = before.available();
                shortages.push(Shortage { product_id, requested: quantity, available });
            }
        }
    }
    Ok(if shortages.is_empty() { Ok(held) } else { Err(shortages) })
}

/// The level changes at the end of a reservation. A product that was removed meanwhile
/// is skipped.
///
/// # Errors
/// Those of `level_of`.
pub(crate) fn end_reservation<E>(
    lines: &[ItemOrdered],
    end: ReservationEnd,
    level_of: impl Fn(ProductId) -> Result<Option<StockLevel>, E>,
) -> Result<Vec<LevelChange>, E> {
    let mut changes = Vec::with_capacity(lines.len());
    for &ItemOrdered { product_id, quantity } in lines {
        if let Some(before) = level_of(product_id)? {
            let after = before.after(end, quantity);
            changes.push(LevelChange { product_id, before, after });
        }
    }
    Ok(changes)
}

/// The level changes of a shipment that is undone. A product that was removed meanwhile is
/// skipped, and so is one of which orders reserve nothing.
///
/// # Errors
/// Those of `level_of`.
pub(crate) fn undo_shipment<E>(
    lines: &[ItemOrdered],
    level_of: impl Fn(ProductId) -> Result<Option<StockLevel>, E>,
) -> Result<Vec<LevelChange>, E> {
    let mut changes = Vec::with_capacity(lines.len());
    for &ItemOrdered { product_id, quantity } in lines {
        let level = level_of(product_id)?;
        if let Some(before) = level.filter(|level| level.policy != StockPolicy::Untracked) {
            let after = before.returned(quantity);
            changes.push(LevelChange { product_id, before, after });
        }
    }
    Ok(changes)
}

/// An order's lines with each product once.
pub(crate) fn each_product_once(items: &[ItemOrdered]) -> Vec<ItemOrdered> {
    let mut lines: Vec<ItemOrdered> = Vec::with_capacity(items.len());
    for item in items {
        match lines
            .iter_mut()
            .find(|line| line.product_id == item.product_id)
        {
            Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
            None => lines.push(*item),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use model::Id;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_level_keeps_its_promises() {
        let level = StockLevel {
            on_hand: 5,
            reserved: 3,
            movements: 1,
            ..StockLevel::default()
        };
        assert_eq!(level.available(), 2);
        assert_eq!(level.moved(-2).unwrap().on_hand, 3);
        assert_eq!(level.moved(-3), Err(LevelFault::BelowReserved));
        assert_eq!(level.moved(i64::MIN), Err(LevelFault::BelowReserved));
        assert_eq!(level.moved(i64::MAX), Err(LevelFault::TooMany));
        let at = |on_hand| StockLevel { on_hand, ..StockLevel::default() };
        assert!(at(5).runs_low(&at(4), 5) && !at(4).runs_low(&at(3), 5));
        assert!(!at(6).runs_low(&at(5), 5) && !at(1).runs_low(&at(0), 0));
    }

    #[test]
    fn a_policy_decides_what_is_sold_beyond_the_stock() {
        let (download, chair) = (Id::new(), Id::new());
        let level = |policy| StockLevel { on_hand: 1, policy, ..StockLevel::default() };
        let level_of = |id| -> Result<_, Infallible> {
            let policy = if id == chair {
                StockPolicy::Backorder
            } else {
                StockPolicy::Untracked
            };
            Ok(Some(level(policy)))
        };
        let line = |product_id, quantity| ItemOrdered { product_id, quantity };
        let Ok(held) = reserve(&[line(download, 5), line(chair, 3)], level_of);
        let [chairs] = held.unwrap().try_into().unwrap();
        assert_eq!((chairs.product_id, chairs.after.available()), (chair, -2));
        assert!(chairs.after.is_available());
        assert_eq!(chairs.after.moved(-2).unwrap().on_hand, -1);
        assert_eq!(chairs.after.under(StockPolicy::Tracked), None);
        let delivered = chairs.after.moved(2).unwrap();
        let tracked = delivered.under(StockPolicy::Tracked).unwrap();
        assert!(!tracked.is_available());
        assert!(!level(StockPolicy::Untracked).runs_low(&tracked, 1));
    }

    #[test]
    fn all_lines_are_held_or_none() {
        let (lamp, chair, gone) = (Id::new(), Id::new(), Id::new());
        let level_of = |id| -> Result<_, Infallible> {
            let level = |on_hand| Some(StockLevel { on_hand, ..StockLevel::default() });
            Ok([(lamp, level(5)), (chair, level(1))]
                .into_iter()
                .find(|(known, _)| *known == id)
                .and_then(|(_, level)| level))
        };
        let line = |product_id, quantity| ItemOrdered { product_id, quantity };
        let Ok(held) = reserve(&[line(lamp, 5), line(chair, 1)], level_of);
        let reserved: Vec<_> = held
            .unwrap()
            .iter()
            .map(|change| change.after.reserved)
            .collect();
        assert_eq!(reserved, [5, 1]);

        let Ok(refused) = reserve(&[line(lamp, 1), line(chair, 2), line(gone, 1)], level_of);
        let short: Vec<_> = refused
            .unwrap_err()
            .iter()
            .map(|short| (short.product_id, short.requested, short.available))
            .collect();
        assert_eq!(short, [(chair, 2, 1), (gone, 1, 0)]);

        let twice = each_product_once(&[line(lamp, 3), line(chair, 1), line(lamp, 3)]);
        assert_eq!(twice, [line(lamp, 6), line(chair, 1)]);
    }

    /// What a walk may do; numbers are taken modulo what there is.
    #[derive(Debug, Clone)]
    enum Command {
        Place(Vec<(usize, u32)>),
        End(usize, bool),
        Move(usize, i64),
        Remove(usize),
    }

    fn command() -> impl Strategy<Value = Command> {
        let lines = prop::collection::vec((any::<usize>(), 1..8_u32), 1..5);
        prop_oneof![
            4 => lines.prop_map(Command::Place),
            3 => (any::<usize>(), any::<bool>()).prop_map(|(at, ships)| Command::End(at, ships)),
            2 => (any::<usize>(), -12..20_i64).prop_map(|(at, delta)| Command::Move(at, delta)),
            1 => any::<usize>().prop_map(Command::Remove),
        ]
    }

    /// The levels as decided, and beside them a plain count of what came in, what
    /// left, and what each order that is not over holds.
    #[derive(Default)]
    struct Walk {
        levels: BTreeMap<ProductId, StockLevel>,
        in_house: BTreeMap<ProductId, i64>,
        open: Vec<Vec<ItemOrdered>>,
    }

    impl Walk {
        fn level_of(&self, id: ProductId) -> Result<Option<StockLevel>, Infallible> {
            Ok(self.levels.get(&id).copied())
        }

        fn apply(&mut self, changes: Vec<LevelChange>) {
            for LevelChange { product_id, before, after } in changes {
                assert_eq!(self.levels.insert(product_id, after), Some(before));
            }
        }

        fn step(&mut self, ids: &[ProductId], command: Command) {
            match command {
                Command::Place(wanted) => {
                    let items: Vec<_> = wanted
                        .into_iter()
                        .map(|(at, quantity)| ItemOrdered {
                            product_id: ids[at % ids.len()],
                            quantity,
                        })
                        .collect();
                    let lines = each_product_once(&items);
                    let fits = |line: &ItemOrdered| {
                        let held = self.held(line.product_id);
                        let there = self.in_house.get(&line.product_id).unwrap_or(&0);
                        i64::from(line.quantity) <= there - held
                    };
                    let all_fit = lines.iter().all(fits);
                    let Ok(outcome) = reserve(&lines, |id| self.level_of(id));
                    assert_eq!(outcome.is_ok(), all_fit);
                    if let Ok(changes) = outcome {
                        self.apply(changes);
                        self.open.push(lines);
                    }
                }
                Command::End(at, ships) if !self.open.is_empty() => {
                    let lines = self.open.swap_remove(at % self.open.len());
                    let end = if ships {
                        ReservationEnd::Shipped
                    } else {
                        ReservationEnd::Released
                    };
                    let Ok(changes) = end_reservation(&lines, end, |id| self.level_of(id));
                    self.apply(changes);
                    for line in lines.iter().filter(|_| ships) {
                        if let Some(there) = self.in_house.get_mut(&line.product_id) {
                            *there -= i64::from(line.quantity);
                        }
                    }
                }
                Command::End(..) => {}
                Command::Move(at, delta) => {
                    let id = ids[at % ids.len()];
                    let Some(level) = self.levels.get(&id) else {
                        return;
                    };
                    let there = self.in_house[&id] + delta;
                    let moved = level.moved(delta);
                    assert_eq!(moved.is_ok(), there >= self.held(id));
                    if let Ok(level) = moved {
                        self.levels.insert(id, level);
                        self.in_house.insert(id, there);
                    }
                }
                Command::Remove(at) => {
                    let id = ids[at % ids.len()];
                    self.levels.remove(&id);
                    self.in_house.remove(&id);
                }
            }
        }

        fn held(&self, id: ProductId) -> i64 {
            let lines = self.open.iter().flatten();
            let of_it = lines.filter(|line| line.product_id == id);
            of_it.map(|line| i64::from(line.quantity)).sum()
        }
    }

    proptest! {
        /// Whatever happens in whatever order: pieces are neither made nor lost,
        /// and none is promised twice.
        #[test]
        fn stock_is_conserved(commands in prop::collection::vec(command(), 1..120)) {
            let ids: Vec<ProductId> = (0..4).map(|_| Id::new()).collect();
            let mut walk = Walk::default();
            for id in &ids {
                walk.levels.insert(*id, StockLevel { on_hand: 20, ..StockLevel::default() });
                walk.in_house.insert(*id, 20);
            }
            for command in commands {
                walk.step(&ids, command);
                for (id, level) in &walk.levels {
                    prop_assert_eq!(level.on_hand, walk.in_house[id]);
                    prop_assert_eq!(level.reserved, walk.held(*id));
                    prop_assert!(level.available() >= 0);
                }
            }
        }
    }
}
