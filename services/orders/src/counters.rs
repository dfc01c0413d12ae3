//! Counters of orders by what happened to them, and of money by currency.
//!
//! They count since the process started, as Prometheus has it: it notices a restart by
//! itself, and no count is stored.
//!
//! **Invariants:** what is counted is durable: a refused transaction counts nothing. The
//! cardinality is bounded by the kinds of events and the currencies of ISO 4217 in use.

use std::collections::HashMap;
use std::sync::LazyLock;

use metrics::{Counter, counter, gauge};
use model::{Currency, Fact, Money};
use parking_lot::RwLock;
use store::Tx;

use crate::domain::Order;

const SERVICE: &str = "orders";

static COUNTERS: LazyLock<OrderCounters> = LazyLock::new(OrderCounters::register);

struct OrderCounters {
    placed: Counter,
    confirmed: Counter,
    rejected: Counter,
    paid: Counter,
    shipped: Counter,
    delivered: Counter,
    cancelled: Counter,
    refunded: Counter,
    money: RwLock<HashMap<Currency, MoneyCounters>>,
}

/// Amounts of one currency, in its minor units.
#[derive(Clone)]
struct MoneyCounters {
    paid: Counter,
    refunded: Counter,
}

/// Registers the counters, so that a shop without orders shows zeros.
pub(crate) fn register() {
    LazyLock::force(&COUNTERS);
}

/// Counts an event about an order once it is durable.
pub(crate) fn count(tx: &mut Tx<'_>, order: &Order, fact: &Fact) {
    let all = &*COUNTERS;
    let total = order.total;
    match *fact {
        // The first order of a currency makes its counters, at zero: a scraper would not
        // notice an increase of one that it has not seen before.
        Fact::OrderPlaced { .. } => tx.on_durable(move || {
            all.placed.increment(1);
            all.of_currency(total.currency);
        }),
        Fact::OrderConfirmed { .. } => tx.on_durable(move || all.confirmed.increment(1)),
        Fact::OrderRejected { .. } => tx.on_durable(move || all.rejected.increment(1)),
        Fact::OrderPaid { .. } => tx.on_durable(move || {
            all.paid.increment(1);
            all.of_currency(total.currency).paid.increment(units(total));
        }),
        Fact::OrderShipped { .. } => tx.on_durable(move || all.shipped.increment(1)),
        Fact::OrderDelivered { .. } => tx.on_durable(move || all.delivered.increment(1)),
        Fact::OrderCancelled { refunded, .. } => tx.on_durable(move || {
            all.cancelled.increment(1);
            if let Some(amount) = refunded {
                all.refund(amount);
            }
        }),
        Fact::OrderRefunded { amount, .. } => tx.on_durable(move || {
            all.refunded.increment(1);
            all.refund(amount);
        }),
        _ => {}
    }
}

impl OrderCounters {
    fn register() -> Self {
        let of = |name: &'static str| counter!(name, "service" => SERVICE);
        Self {
            placed: of("konbini_orders_placed_total"),
            confirmed: of("konbini_orders_confirmed_total"),
            rejected: of("konbini_orders_rejected_total"),
            paid: of("konbini_orders_paid_total"),
            shipped: of("konbini_orders_shipped_total"),
            delivered: of("konbini_orders_delivered_total"),
            cancelled: of("konbini_orders_cancelled_total"),
            refunded: of("konbini_orders_refunded_total"),
            money: RwLock::default(),
        }
    }

    fn refund(&self, amount: Money) {
        let counters = self.of_currency(amount.currency);
        counters.refunded.increment(units(amount));
    }

    fn of_currency(&self, currency: Currency) -> MoneyCounters {
        if let Some(known) = self.money.read().get(&currency) {
            return known.clone();
        }
        let mut known = self.money.write();
        let register = || MoneyCounters::register(currency);
        known.entry(currency).or_insert_with(register).clone()
    }
}

impl MoneyCounters {
    fn register(currency: Currency) -> Self {
        let labels = [
            ("service", SERVICE.to_owned()),
            ("currency", currency.to_string()),
        ];
        // What turns minor units into amounts that people write.
        let digits = gauge!("konbini_currency_minor_digits", &labels);
        digits.set(f64::from(currency.minor_digits()));
        Self {
            paid: counter!("konbini_orders_paid_minor_units_total", &labels),
            refunded: counter!("konbini_orders_refunded_minor_units_total", &labels),
        }
    }
}

/// The amount in minor units; a stored order's is never negative.
fn units(amount: Money) -> u64 {
    u64::try_from(amount.amount).unwrap_or(0)
}
