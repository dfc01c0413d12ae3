//! The effects of orders in other services: stock levels and inboxes.
//!
//! **Invariant:** pure; it reads no shop and no clock.

use std::collections::{BTreeSet, HashMap};

use super::ledger::{ExpectedOrder, Ledger};
use super::observed::{InboxEntry, Observed, Order};
use super::operation::OrderStep;

/// Changes that are notified for every order. Other kinds are optional, but a kind that
/// was notified for one order must be for every order.
const ALWAYS_NOTIFIED: [&str; 2] = ["confirmed", "rejected"];

pub(super) fn stock(ledger: &Ledger, observed: &Observed) -> Vec<String> {
    let mut findings = Vec::new();
    for (product, level) in observed.levels.iter().enumerate() {
        let id = &ledger.products[product];
        let pieces = |wanted: &dyn Fn(&Order) -> bool| -> i64 {
            let orders = observed.orders.values().filter(|order| wanted(order));
            let items = orders.flat_map(|order| &order.items);
            let items = items.filter(|item| item.product_id == *id);
            items.map(|item| item.quantity).sum()
        };
        let held = pieces(&|order| matches!(order.status.as_str(), "confirmed" | "paid"));
        let shipped = pieces(&|order| order.was("shipped"));
        let on_hand = ledger.pieces[product] - shipped;
        if level.reserved != held {
            let reserved = level.reserved;
            findings.push(format!(
                "{id}: {reserved} reserved, but its orders hold {held}"
            ));
        }
        if level.on_hand != on_hand {
            let shows = level.on_hand;
            findings.push(format!(
                "{id}: {shows} on hand, but {on_hand} are left of what came and went"
            ));
        }
        if !(0..=level.on_hand).contains(&level.reserved) {
            findings.push(format!("{id}: oversold, {level:?}"));
        }
    }
    findings
}

/// The number of notifications due to an order's owner, by kind.
fn due_notifications(account: &ExpectedOrder, order: &Order) -> [(&'static str, usize); 8] {
    let refunds = account.steps.iter();
    let refunds = refunds
        .filter(|step| matches!(step, OrderStep::Refund(_)))
        .count();
    let once = [
        "confirmed",
        "rejected",
        "paid",
        "shipped",
        "delivered",
        "cancelled",
    ];
    let [a, b, c, d, e, f] = once.map(|status| (status, order.times(status)));
    let undone = ["paid", "shipped", "delivered"].map(|status| order.undone(status));
    let undone = ("step_undone", undone.iter().sum());
    [a, b, c, d, e, f, ("refunded", refunds), undone]
}

pub(super) fn notifications(ledger: &Ledger, observed: &Observed) -> Vec<String> {
    let mut findings = Vec::new();
    let mut said: HashMap<(&str, &str), usize> = HashMap::new();
    for (buyer, inbox) in (1..).zip(&observed.inboxes) {
        let welcomes = inbox.iter().filter(|entry| entry.kind == "user.registered");
        if welcomes.count() != 1 {
            findings.push(format!("buyer {buyer} was not welcomed once"));
        }
        for (order, status) in inbox.iter().filter_map(about) {
            *said.entry((order, status)).or_default() += 1;
            let owner = ledger.orders.get(order).and_then(|account| account.buyer);
            if owner != Some(buyer) {
                findings.push(format!(
                    "{order}: buyer {buyer} was notified, but the owner is {owner:?}"
                ));
            }
        }
    }
    let kinds: BTreeSet<&str> = said.keys().map(|(_, status)| *status).collect();
    let kinds: BTreeSet<&str> = kinds.into_iter().chain(ALWAYS_NOTIFIED).collect();
    for (id, order) in &observed.orders {
        // A guest has no inbox.
        let account = ledger.orders.get(id);
        let Some(account) = account.filter(|account| account.buyer.is_some()) else {
            continue;
        };
        for (status, must) in due_notifications(account, order) {
            let did = said.get(&(id, status)).copied().unwrap_or_default();
            if did != must && kinds.contains(status) {
                findings.push(format!(
                    "{id}: order.{status} notified {did} times, not {must}"
                ));
            }
        }
    }
    findings
}

/// The order that an entry is about, and its new status.
fn about(entry: &InboxEntry) -> Option<(&str, &str)> {
    let order = entry.data.get("order_id")?.as_str()?;
    Some((order, entry.kind.strip_prefix("order.")?))
}
