//! The verification: every difference between the ledger and the observed state.
//!
//! **Invariant:** pure; it reads no shop and no clock.

use std::collections::{HashMap, HashSet};

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

/// The states that undoing leads to, from each.
const UNDONE: [(&str, &str); 3] = [
    ("paid", "confirmed"),
    ("shipped", "paid"),
    ("delivered", "shipped"),
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
            "each code was used as often as orders have it, and never beyond its cap",
            ledger.caps.len() as u64,
            codes(ledger, observed),
        ),
        verdict(
            "each payment that the provider reported paid an order or is listed, once",
            ledger.received.len() as u64,
            payments(ledger, observed),
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

fn codes(ledger: &Ledger, observed: &Observed) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, order) in &observed.orders {
        let given: Vec<_> = order.codes.iter().map(|code| code.code.as_str()).collect();
        let account = ledger.orders.get(id);
        let asked = account.and_then(|account| account.code);
        let asked: Vec<_> = asked
            .map(|code| ledger.codes[code].as_str())
            .into_iter()
            .collect();
        if account.is_some() && given != asked {
            findings.push(format!("{id}: placed with {asked:?}, but it has {given:?}"));
        }
    }
    for (place, code) in ledger.codes.iter().enumerate() {
        let (uses, cap) = (observed.uses[place], ledger.caps[place]);
        let has_it = |order: &&Order| {
            let is_sale = !matches!(order.status.as_str(), "rejected" | "cancelled");
            let mut applied = order.codes.iter().filter(|code| code.applied);
            is_sale && applied.any(|applied| applied.code == *code)
        };
        let orders = observed.orders.values().filter(has_it).count() as u64;
        if uses != orders {
            findings.push(format!(
                "{code}: used {uses} times, but {orders} orders have it"
            ));
        }
        if uses > cap {
            findings.push(format!("{code}: used {uses} times, of {cap}"));
        }
    }
    findings
}

fn payments(ledger: &Ledger, observed: &Observed) -> Vec<String> {
    let paid = observed.orders.values().flat_map(|order| {
        let by_provider = order
            .entered("paid")
            .filter(|change| change.by == "payments");
        by_provider.map(|change| (change.reason.as_deref(), Some(order.total.amount)))
    });
    let unmatched = observed.unmatched.iter().map(|payment| {
        let amount = payment.amount.map(|total| total.amount);
        (payment.reference.as_deref(), amount)
    });
    let mut left: HashMap<&str, i64> = ledger
        .received
        .iter()
        .map(|(reference, amount)| (reference.as_str(), *amount))
        .collect();
    let mut findings = Vec::new();
    for (reference, amount) in paid.chain(unmatched) {
        let reference = reference.unwrap_or("a payment without a reference");
        match (left.remove(reference), amount) {
            (Some(sent), Some(counted)) if sent == counted => {}
            (Some(sent), counted) => {
                findings.push(format!(
                    "{reference}: {sent} came, and {counted:?} was counted"
                ));
            }
            (None, _) => findings.push(format!("{reference}: counted twice, or it never came")),
        }
    }
    findings.extend(left.keys().map(|reference| format!("{reference}: lost")));
    findings
}

fn path(account: &ExpectedOrder, order: &Order) -> Option<String> {
    let mut at = "";
    for change in &order.history {
        let from = change.from.as_deref().unwrap_or("");
        let legal = LEGAL.iter().find(|(state, _)| *state == from);
        let is_legal = match &change.undone {
            None => legal.is_some_and(|(_, next)| next.contains(&change.to.as_str())),
            Some(undone) => undone == from && UNDONE.contains(&(from, &change.to)),
        };
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
        (OrderStep::Cancel, order.times("cancelled")),
        (
            OrderStep::Pay,
            order
                .entered("paid")
                .filter(|change| change.by != "payments")
                .count(),
        ),
        (OrderStep::Ship, order.times("shipped")),
        (OrderStep::Deliver, order.times("delivered")),
        (
            OrderStep::Undo,
            UNDONE.iter().map(|(status, _)| order.undone(status)).sum(),
        ),
    ];
    by_step.into_iter().find_map(|(step, did)| {
        let said = acknowledged(step);
        let name = step.name();
        (said != did).then(|| format!("{name} was acknowledged {said} times and done {did} times"))
    })
}

fn money(account: &ExpectedOrder, order: &Order) -> Option<String> {
    let asked = total(&account.lines, order.has_discount());
    if order.total.amount != asked {
        return Some(format!("its total is {}, not {asked}", order.total.amount));
    }
    let was_paid = order.was("paid");
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
    use crate::torture::observed::{GivenCode, HistoryEntry, InboxEntry, KeptPayment, OrderLine};
    use crate::torture::operation::{OrderedProduct, Total};

    const LAMP: &str = "prod_lamp";

    fn account(steps: &[OrderStep]) -> ExpectedOrder {
        ExpectedOrder {
            buyer: Some(1),
            lines: vec![OrderedProduct { product: 0, pieces: 3 }],
            code: None,
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
            by: "user_1".into(),
            reason: None,
            undone: None,
        };
        Order {
            id: id.into(),
            status: states[states.len() - 1].into(),
            items: vec![OrderLine { product_id: LAMP.into(), quantity: 3 }],
            total: Total {
                amount: total(&[OrderedProduct { product: 0, pieces: 3 }], false),
            },
            codes: Vec::new(),
            refunded_total: Total { amount: refunded },
            history: from.zip(states).map(change).collect(),
        }
    }

    fn entry(order: &str, kind: &str) -> InboxEntry {
        let data = [("order_id".to_owned(), order.into())];
        InboxEntry { kind: kind.into(), data: data.into() }
    }

    fn payment(reference: &str, amount: i64) -> KeptPayment {
        KeptPayment {
            amount: Some(Total { amount }),
            reference: Some(reference.into()),
        }
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
            caps: vec![1],
            codes: vec!["TENTH".into()],
            received: HashMap::from([("p1".into(), 5)]),
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
            uses: vec![0],
            unmatched: vec![payment("p1", 5)],
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
    fn wrong_codes_and_payments_are_found_and_named() {
        spoilt("TENTH: used 1 times, but 0 orders have it", |observed| {
            observed.uses[0] = 1;
        });
        spoilt("TENTH: used 2 times, of 1", |observed| observed.uses[0] = 2);
        spoilt("a: placed with [], but it has", |observed| {
            let order = observed.orders.get_mut("a").unwrap();
            let code = GivenCode { code: "TENTH".into(), applied: true };
            order.codes.push(code);
        });
        spoilt("p1: lost", |observed| observed.unmatched.clear());
        spoilt("p1: counted twice", |observed| {
            observed.unmatched.push(payment("p1", 5));
        });
        spoilt("p1: 5 came, and Some(4)", |observed| {
            observed.unmatched[0] = payment("p1", 4);
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
