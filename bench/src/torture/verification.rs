//! The verification: every difference between the ledger and the observed state.
//!
//! **Invariant:** pure; it reads no shop and no clock.

use std::collections::HashSet;

use super::effects::{notifications, stock};
use super::ledger::{ExpectedOrder, Ledger};
use super::observed::{Observed, Order};
use super::operation::{OrderStep, total};

/// The states an order can go to, from each (the contract's table of orders). The
/// empty name is before it was placed.
const LEGAL: [(&str, &[&str]); 6] = [
    ("", &["pending"]),
    ("pending", &["confirmed", "rejected", "cancelled"]),
    ("confirmed", &["paid", "cancelled"]),
    ("paid", &["paid", "shipped", "cancelled", "refunded"]),
    ("shipped", &["shipped", "delivered", "refunded"]),
    ("delivered", &["delivered", "refunded"]),
];

/// One promise, and where it was broken.
#[derive(Debug, serde::Serialize)]
pub(super) struct PromiseVerdict {
    pub(super) promise: &'static str,
    /// How many things were looked at.
    pub(super) looked_at: u64,
    pub(super) findings: Vec<String>,
}

/// Every promise, and the observations that break it.
pub(super) fn verify(ledger: &Ledger, observed: &Observed) -> Vec<PromiseVerdict> {
    let orders = observed.orders.len() as u64;
    let each = |verify: fn(&ExpectedOrder, &Order) -> Option<String>| {
        let pairs = ledger.orders.iter();
        let pairs = pairs.filter_map(|(id, account)| Some((id, account, observed.orders.get(id)?)));
        let findings = pairs.filter_map(|(id, account, order)| {
            verify(account, order).map(|finding| format!("{id}: {finding}"))
        });
        findings.collect::<Vec<_>>()
    };
    let verdict = |promise, looked_at, findings| PromiseVerdict { promise, looked_at, findings };
    vec![
        verdict(
            "each order that was acknowledged is there, and no other",
            orders,
            existence(ledger, observed),
        ),
        verdict(
            "each order went only where it may, by the steps acknowledged",
            orders,
            each(path),
        ),
        verdict(
            "each order's money is what was asked for and given back",
            orders,
            each(money),
        ),
        verdict(
            "on hand and reserved are what the orders and movements leave",
            ledger.products.len() as u64,
            stock(ledger, observed),
        ),
        verdict(
            "each order's owner was notified once of each change",
            observed
                .inboxes
                .iter()
                .map(|inbox| inbox.len() as u64)
                .sum(),
            notifications(ledger, observed),
        ),
    ]
}

fn existence(ledger: &Ledger, observed: &Observed) -> Vec<String> {
    let mut findings = ledger.unreadable.clone();
    for (id, account) in &ledger.orders {
        if !observed.orders.contains_key(id) {
            findings.push(format!(
                "{id}: lost, though answered {} under {:?}",
                account.status, account.keys
            ));
        }
        if account.keys.len() > 1 {
            findings.push(format!(
                "{id}: placed under several keys {:?}",
                account.keys
            ));
        }
    }
    for (id, order) in &observed.orders {
        match ledger.orders.get(id) {
            None => findings.push(format!("{id}: {}, but no key led to it", order.status)),
            Some(account) if !has_lines(ledger, account, order) => {
                findings.push(format!(
                    "{id}: other lines than were ordered: {:?}",
                    order.items
                ));
            }
            Some(_) => {}
        }
    }
    findings
}

fn has_lines(ledger: &Ledger, account: &ExpectedOrder, order: &Order) -> bool {
    let ordered: HashSet<_> = account
        .lines
        .iter()
        .map(|line| (ledger.products[line.product].as_str(), line.pieces))
        .collect();
    let items = order.items.iter();
    let observed: HashSet<_> = items
        .map(|item| (item.product_id.as_str(), item.quantity))
        .collect();
    ordered == observed && order.items.len() == account.lines.len()
}

fn path(account: &ExpectedOrder, order: &Order) -> Option<String> {
    let mut at = "";
    for change in &order.history {
        let from = change.from.as_deref().unwrap_or("");
        let legal = LEGAL.iter().find(|(state, _)| *state == from);
        let is_legal = legal.is_some_and(|(_, next)| next.contains(&change.to.as_str()));
        if from != at || !is_legal {
            return Some(format!("its history goes from {at:?} by {change:?}"));
        }
        at = &change.to;
    }
    if at != order.status {
        return Some(format!("{}, but its history ends {at}", order.status));
    }
    let settled = match account.status {
        201 => order.times("confirmed") == 1,
        409 => order.status == "rejected",
        _ => order.status != "pending",
    };
    if !settled {
        let (answered, status) = (account.status, &order.status);
        return Some(format!("answered {answered} when placed, but {status} now"));
    }
    let acknowledged = |step: OrderStep| account.steps.iter().filter(|done| **done == step).count();
    let by_step = [
        (OrderStep::Cancel, "cancelled"),
        (OrderStep::Pay, "paid"),
        (OrderStep::Ship, "shipped"),
        (OrderStep::Deliver, "delivered"),
    ];
    by_step.into_iter().find_map(|(step, status)| {
        let (said, did) = (acknowledged(step), order.times(status));
        let name = step.name();
        (said != did).then(|| format!("{name} was acknowledged {said} times and done {did} times"))
    })
}

fn money(account: &ExpectedOrder, order: &Order) -> Option<String> {
    let asked = total(&account.lines);
    if order.total.amount != asked {
        return Some(format!("its total is {}, not {asked}", order.total.amount));
    }
    let was_paid = order.times("paid") > 0;
    let mut back = 0;
    for step in &account.steps {
        match step {
            OrderStep::Refund(Some(amount)) => back += amount,
            OrderStep::Refund(None) => back = asked,
            OrderStep::Cancel if was_paid => back = asked,
            _ => {}
        }
    }
    // The rest may have been given back before or after a part of it.
    let rest = account.steps.contains(&OrderStep::Refund(None));
    let back = if rest { asked } else { back };
    let refunded = order.refunded_total.amount;
    if refunded > asked {
        return Some(format!("{refunded} given back of {asked}"));
    }
    if refunded != back {
        return Some(format!(
            "{refunded} given back, but {back} was acknowledged"
        ));
    }
    let is_over = order.status == "refunded" || (order.status == "cancelled" && was_paid);
    let is_all = was_paid && refunded == asked;
    (is_over != is_all).then(|| format!("{} with {refunded} of {asked} given back", order.status))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::client::ObservedStock;
    use crate::torture::observed::{HistoryEntry, InboxEntry, OrderLine};
    use crate::torture::operation::{OrderedProduct, Total};

    const LAMP: &str = "prod_lamp";

    fn account(steps: &[OrderStep]) -> ExpectedOrder {
        ExpectedOrder {
            buyer: 1,
            lines: vec![OrderedProduct { product: 0, pieces: 3 }],
            status: 201,
            steps: steps.to_vec(),
            keys: vec!["key".into()],
        }
    }

    fn order(id: &str, states: &[&str], refunded: i64) -> Order {
        let from = std::iter::once(None).chain(states.iter().map(|state| Some(*state)));
        let change = |(from, to): (Option<&str>, &&str)| HistoryEntry {
            from: from.map(str::to_owned),
            to: (*to).to_owned(),
        };
        Order {
            id: id.into(),
            status: states[states.len() - 1].into(),
            items: vec![OrderLine { product_id: LAMP.into(), quantity: 3 }],
            total: Total { amount: total(&[OrderedProduct { product: 0, pieces: 3 }]) },
            refunded_total: Total { amount: refunded },
            history: from.zip(states).map(change).collect(),
        }
    }

    fn entry(order: &str, kind: &str) -> InboxEntry {
        let data = [("order_id".to_owned(), order.into())];
        InboxEntry { kind: kind.into(), data: data.into() }
    }

    /// One order that was shipped, one that was cancelled, and all that follows.
    fn all_well() -> (Ledger, Observed) {
        let ledger = Ledger {
            orders: HashMap::from([
                ("a".into(), account(&[OrderStep::Pay, OrderStep::Ship])),
                ("b".into(), account(&[OrderStep::Cancel])),
            ]),
            pieces: vec![10],
            products: vec![LAMP.into()],
            unreadable: Vec::new(),
        };
        let shipped = order("a", &["pending", "confirmed", "paid", "shipped"], 0);
        let cancelled = order("b", &["pending", "confirmed", "cancelled"], 0);
        let welcome = InboxEntry { kind: "user.registered".into(), data: [].into() };
        let observed = Observed {
            orders: HashMap::from([("a".into(), shipped), ("b".into(), cancelled)]),
            levels: vec![ObservedStock { on_hand: 7, reserved: 0 }],
            inboxes: vec![vec![
                entry("b", "order.confirmed"),
                entry("a", "order.confirmed"),
                welcome,
            ]],
        };
        (ledger, observed)
    }

    /// The findings after `spoil` changed the observed state.
    fn found(spoil: impl FnOnce(&mut Observed)) -> Vec<String> {
        let (ledger, mut observed) = all_well();
        spoil(&mut observed);
        let verdicts = verify(&ledger, &observed).into_iter();
        verdicts.flat_map(|verdict| verdict.findings).collect()
    }

    #[test]
    fn all_well_is_found_well() {
        assert_eq!(found(|_| {}), [""; 0]);
    }

    fn spoilt(finding: &str, spoil: impl FnOnce(&mut Observed)) {
        let findings = found(spoil);
        let is_named = findings.iter().any(|one| one.contains(finding));
        assert!(is_named, "{finding}: {findings:?}");
    }

    fn put(observed: &mut Observed, id: &str, states: &[&str]) {
        observed.orders.insert(id.into(), order(id, states, 0));
    }

    #[test]
    fn an_order_gone_astray_is_found_and_named() {
        spoilt("a: lost", |observed| {
            observed.orders.remove("a");
        });
        spoilt("c: pending, but no key led to it", |observed| {
            put(observed, "c", &["pending"]);
        });
        spoilt("other lines", |observed| {
            let order = observed.orders.values_mut().next().unwrap();
            order.items[0].quantity = 2;
        });
        spoilt("a: its history goes from \"pending\"", |observed| {
            put(observed, "a", &["pending", "paid", "shipped"]);
        });
        spoilt(
            "b: cancel was acknowledged 1 times and done 0",
            |observed| {
                put(observed, "b", &["pending", "confirmed"]);
            },
        );
        spoilt("b: answered 201 when placed, but rejected", |observed| {
            put(observed, "b", &["pending", "rejected"]);
        });
        spoilt("5 given back, but 0 was acknowledged", |observed| {
            let order = observed.orders.values_mut().next().unwrap();
            order.refunded_total.amount = 5;
        });
    }

    #[test]
    fn wrong_shelves_and_inboxes_are_found_and_named() {
        spoilt("3 reserved, but its orders hold 0", |observed| {
            observed.levels[0].reserved = 3;
        });
        spoilt("8 on hand, but 7 are left", |observed| {
            observed.levels[0].on_hand = 8;
        });
        spoilt("oversold", |observed| observed.levels[0].reserved = 8);
        spoilt("b: order.confirmed notified 0 times", |observed| {
            observed.inboxes[0].remove(0);
        });
        spoilt("a: order.confirmed notified 2 times", |observed| {
            observed.inboxes[0].push(entry("a", "order.confirmed"));
        });
        spoilt("b: order.shipped notified 1 times, not 0", |observed| {
            observed.inboxes[0].push(entry("b", "order.shipped"));
        });
    }
}
