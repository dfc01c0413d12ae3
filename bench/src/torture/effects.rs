//! What orders leave behind elsewhere: on the shelves and in the inboxes. Pure: no
//! shop, no clock.

use std::collections::{BTreeSet, HashMap};

use super::audit::{Notice, Order, Shown};
use super::books::{Account, Books};
use super::deed::Step;
use super::judgement::times;

/// Told about every order that came so far. Of other kinds a shop may tell or not,
/// but if it does, then of every order.
const ALWAYS_TOLD: [&str; 2] = ["confirmed", "rejected"];

pub(super) fn stock(books: &Books, shown: &Shown) -> Vec<String> {
    let mut findings = Vec::new();
    for (product, level) in shown.levels.iter().enumerate() {
        let id = &books.products[product];
        let pieces = |wanted: &dyn Fn(&Order) -> bool| -> i64 {
            let orders = shown.orders.values().filter(|order| wanted(order));
            let items = orders.flat_map(|order| &order.items);
            let items = items.filter(|item| item.product_id == *id);
            items.map(|item| item.quantity).sum()
        };
        let held = pieces(&|order| matches!(order.status.as_str(), "confirmed" | "paid"));
        let shipped = pieces(&|order| times(order, "shipped") > 0);
        let on_hand = books.pieces[product] - shipped;
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

/// How often each order's owner must be told of each kind, by kind.
fn to_tell(account: &Account, order: &Order) -> [(&'static str, usize); 7] {
    let refunds = account.steps.iter();
    let refunds = refunds
        .filter(|step| matches!(step, Step::Refund(_)))
        .count();
    let once = [
        "confirmed",
        "rejected",
        "paid",
        "shipped",
        "delivered",
        "cancelled",
    ];
    let [a, b, c, d, e, f] = once.map(|status| (status, times(order, status)));
    [a, b, c, d, e, f, ("refunded", refunds)]
}

pub(super) fn told(books: &Books, shown: &Shown) -> Vec<String> {
    let mut findings = Vec::new();
    let mut said: HashMap<(&str, &str), usize> = HashMap::new();
    for (buyer, inbox) in (1..).zip(&shown.inboxes) {
        let welcomes = inbox
            .iter()
            .filter(|notice| notice.kind == "user.registered");
        if welcomes.count() != 1 {
            findings.push(format!("buyer {buyer} was not welcomed once"));
        }
        for (order, status) in inbox.iter().filter_map(about) {
            *said.entry((order, status)).or_default() += 1;
            let owner = books.orders.get(order).map(|account| account.buyer);
            if owner != Some(buyer) {
                findings.push(format!(
                    "{order}: told to buyer {buyer}, but it is of {owner:?}"
                ));
            }
        }
    }
    let kinds: BTreeSet<&str> = said.keys().map(|(_, status)| *status).collect();
    let kinds: BTreeSet<&str> = kinds.into_iter().chain(ALWAYS_TOLD).collect();
    for (id, order) in &shown.orders {
        let Some(account) = books.orders.get(id) else {
            continue;
        };
        for (status, must) in to_tell(account, order) {
            let did = said.get(&(id, status)).copied().unwrap_or_default();
            if did != must && kinds.contains(status) {
                findings.push(format!("{id}: order.{status} told {did} times, not {must}"));
            }
        }
    }
    findings
}

/// The order a notice is about, and the state it tells of.
fn about(notice: &Notice) -> Option<(&str, &str)> {
    let order = notice.data.get("order_id")?.as_str()?;
    Some((order, notice.kind.strip_prefix("order.")?))
}
