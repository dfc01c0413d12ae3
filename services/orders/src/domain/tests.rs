//! Random sequences of commands, compared with a model that has the contract's table
//! and nothing else.

use model::{Fact, Id, Money, Shortage, Time};
use proptest::prelude::*;

use super::payment::PaymentStatus;
use super::*;

/// The contract's table: from, command, to. Every other pair is refused.
const TABLE: &[(&str, &str, &str)] = &[
    ("pending", "confirm", "confirmed"),
    ("pending", "reject", "rejected"),
    ("pending", "cancel", "cancelled"),
    ("pending", "confirm for nothing", "paid"),
    ("confirmed", "pay", "paid"),
    ("confirmed", "ship unpaid", "shipped"),
    ("confirmed", "cancel", "cancelled"),
    ("paid", "ship", "shipped"),
    ("paid", "cancel", "cancelled"),
    ("shipped", "deliver", "delivered"),
    ("shipped", "pay late", "shipped"),
    ("delivered", "pay late", "delivered"),
    ("cancelled", "revive", "confirmed"),
    ("paid", "refund a part", "paid"),
    ("shipped", "refund a part", "shipped"),
    ("delivered", "refund a part", "delivered"),
    ("paid", "refund the rest", "refunded"),
    ("shipped", "refund the rest", "refunded"),
    ("delivered", "refund the rest", "refunded"),
    ("refunded", "refund a part", "refunded"),
    ("refunded", "refund the rest", "refunded"),
    ("cancelled", "refund a part", "cancelled"),
    ("cancelled", "refund the rest", "cancelled"),
    ("paid", "fail a refund", "paid"),
    ("shipped", "fail a refund", "shipped"),
    ("delivered", "fail a refund", "delivered"),
    ("cancelled", "fail a refund", "cancelled"),
    ("refunded", "fail a refund", "refunded"),
    ("delivered", "undo deliver", "shipped"),
    ("shipped", "undo ship", "paid"),
    ("shipped", "undo ship unpaid", "confirmed"),
    ("paid", "undo pay", "confirmed"),
    ("shipped", "undo pay late", "shipped"),
    ("delivered", "undo pay late", "delivered"),
];

fn commands() -> impl Strategy<Value = Vec<OrderCommand>> {
    let shortage = Shortage { product_id: Id::new(), requested: 1, available: 0 };
    let command = prop_oneof![
        2 => Just(OrderCommand::Confirm { reserved_until: None }),
        1 => Just(OrderCommand::Reject { shortages: vec![shortage] }),
        3 => Just(OrderCommand::Pay(PaymentDetails::default())),
        4 => Just(OrderCommand::Undo { step: None }),
        2 => Just(OrderCommand::Ship(Parcel::default())),
        2 => Just(OrderCommand::Deliver),
        1 => Just(OrderCommand::Cancel),
        1 => Just(OrderCommand::Revive),
        1 => Just(OrderCommand::Refund { amount: None }),
        4 => (1..700_i64).prop_map(|amount| OrderCommand::Refund { amount: Some(amount) }),
        3 => (1..700_i64).prop_map(fail_refund),
    ];
    prop::collection::vec(command, 1..24)
}

pub(crate) fn fail_refund(amount: i64) -> OrderCommand {
    OrderCommand::FailRefund { amount, payment: "pi_1".into() }
}

/// A pending order of one lamp.
pub(crate) fn order(total: i64) -> Order {
    let total = Money { amount: total, currency: "EUR".parse().unwrap() };
    let line = OrderLine {
        product_id: "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        sku: "LAMP".into(),
        title: "Desk lamp".into(),
        quantity: 1,
        unit_price: total,
        line_total: total,
        discount: 0,
        tax_rate_bp: 0,
        tax: 0,
    };
    Order {
        id: "order_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        number: None,
        buyer: Buyer::Account("user_01h455vb4pex5vsknk084sn02q".parse().unwrap()),
        status: OrderStatus::Pending,
        lines: vec![line],
        total,
        charges: Charges::default(),
        refunded_total: Money::zero(total.currency),
        shipping_address: None,
        billing_address: None,
        note: None,
        language: None,
        request_id: "r".into(),
        stock_outcome_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        settlement: Settlement::default(),
        parcel: Parcel::default(),
        erasure: BuyerErasure::No,
        created_at: Time(1),
        updated_at: Time(1),
    }
}

const UNDO: [&str; 5] = [
    "undo pay",
    "undo pay late",
    "undo ship",
    "undo ship unpaid",
    "undo deliver",
];

/// The stock of the lamp, as products moves it with the events.
struct Stock {
    on_hand: i64,
    reserved: i64,
}

impl Stock {
    fn follow(&mut self, fact: &Fact) {
        match fact {
            Fact::OrderConfirmed { .. } => self.reserved += 1,
            Fact::OrderShipped { .. } => (self.on_hand, self.reserved) = (self.on_hand - 1, 0),
            Fact::OrderStepUndone { items, .. } => {
                let units: i64 = items.iter().map(|item| i64::from(item.quantity)).sum();
                (self.on_hand, self.reserved) = (self.on_hand + units, self.reserved + units);
            }
            Fact::OrderCancelled { .. } | Fact::OrderRefunded { in_full: true, .. } => {
                self.reserved = 0;
            }
            _ => {}
        }
    }
}

fn method() -> impl Strategy<Value = Option<PaymentMethod>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(PaymentMethod::Transfer)),
        1 => Just(Some(PaymentMethod::OnDelivery)),
    ]
}

/// The model: a status, and the money of the customer's that the shop has.
struct Model {
    status: &'static str,
    total: i64,
    /// Whether its method lets it be shipped before it is paid.
    ships_unpaid: bool,
    owed: bool,
    expired: bool,
    paid: i64,
    kept: i64,
    /// The steps that are not undone.
    steps: Vec<&'static str>,
}

impl Model {
    /// Applies a command; `false` if it is refused.
    fn apply(&mut self, command: &OrderCommand, by_provider: bool) -> bool {
        let name = match command {
            OrderCommand::Confirm { .. } if self.total == 0 => "confirm for nothing",
            OrderCommand::Confirm { .. } => "confirm",
            OrderCommand::Reject { .. } => "reject",
            OrderCommand::Pay(_) if self.owed => "pay late",
            OrderCommand::Pay(_) => "pay",
            OrderCommand::Ship(_) if self.status == "confirmed" && self.ships_unpaid => {
                "ship unpaid"
            }
            OrderCommand::Ship(_) => "ship",
            OrderCommand::Deliver => "deliver",
            OrderCommand::Revive => "revive",
            OrderCommand::Cancel => "cancel",
            OrderCommand::Refund { amount: Some(amount) } if *amount < self.kept => "refund a part",
            OrderCommand::Refund { .. } => "refund the rest",
            OrderCommand::FailRefund { .. } => "fail a refund",
            OrderCommand::Undo { .. } => match self.steps.last() {
                Some(&"ship unpaid") if !self.owed => "undo ship",
                Some(step) => *UNDO.iter().find(|undo| undo.ends_with(step)).unwrap_or(&""),
                None => "",
            },
        };
        let row = TABLE
            .iter()
            .find(|(from, by, _)| (*from, *by) == (self.status, name));
        let (Some((_, _, to)), true) = (row, self.covers(command)) else {
            return false;
        };
        self.status = to;
        match command {
            OrderCommand::Undo { .. } | OrderCommand::FailRefund { .. } => {}
            // Shipping can be undone after it, as before.
            OrderCommand::Pay(_) if by_provider && name == "pay late" => {}
            OrderCommand::Pay(_) if by_provider => self.steps.push("provider"),
            _ => self.steps.push(name),
        }
        match command {
            OrderCommand::Pay(_) => {
                (self.paid, self.kept, self.owed) = (self.total, self.total, false);
            }
            OrderCommand::Undo { .. } => match self.steps.pop() {
                Some("pay") => (self.paid, self.kept) = (0, 0),
                Some("pay late") => (self.paid, self.kept, self.owed) = (0, 0, true),
                Some("ship unpaid") => self.owed = false,
                _ => {}
            },
            OrderCommand::Ship(_) => self.owed = name == "ship unpaid",
            OrderCommand::Revive => self.expired = false,
            OrderCommand::Refund { amount: Some(amount) } => self.kept -= amount,
            OrderCommand::Refund { amount: None } | OrderCommand::Cancel => self.kept = 0,
            OrderCommand::FailRefund { amount, .. } => self.kept += amount,
            _ => {}
        }
        true
    }

    /// Whether the kept money is enough, and the order may come back.
    fn covers(&self, command: &OrderCommand) -> bool {
        match command {
            OrderCommand::Refund { amount } => {
                let is_over = matches!(self.status, "cancelled" | "refunded");
                !self.owed
                    && amount.is_none_or(|amount| amount <= self.kept)
                    && (self.kept > 0 || !is_over)
            }
            OrderCommand::FailRefund { amount, .. } => *amount <= self.paid - self.kept,
            OrderCommand::Revive => self.expired,
            _ => true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn money_and_history_match_the_model(
        total in prop_oneof![4 => 1..2_000_i64, 1 => Just(0)],
        method in method(),
        commands in commands(),
    ) {
        let mut order = order(total);
        order.settlement.chosen = method.map(|method| ChosenPayment { method, until: None });
        let ships_unpaid = method.is_some();
        let (owed, expired) = (false, false);
        let mut model = Model {
            status: "pending",
            total,
            ships_unpaid,
            owed,
            expired,
            paid: 0,
            kept: 0,
            steps: Vec::new(),
        };
        let mut stock = Stock { on_hand: 9, reserved: 0 };
        let mut changes: Vec<StatusChange> = Vec::new();
        let (mut refunded, mut first_outcome) = (0, None);
        for (at, command) in (2_i64..).zip(&commands) {
            // As a payment of an expired order asks for its stock.
            if order.settlement.revival == Revival::Possible {
                order.settlement.revival = Revival::Awaited;
            }
            let before = order.clone();
            let expires = matches!(command, OrderCommand::Cancel)
                && order.status == OrderStatus::Confirmed
                && at % 2 == 0;
            let by_provider = matches!(command, OrderCommand::Pay(_)) && at % 2 == 0;
            let by = match (expires, by_provider) {
                (true, _) => Actor::Expiry,
                (_, true) => Actor::Payments,
                _ => Actor::of(&order.buyer),
            };
            let cause = OrderCause::new(Time(at), by).because("why");
            let history: Vec<_> = order.first_changes().into_iter().chain(changes.clone()).collect();
            let given = match command {
                OrderCommand::Undo { .. } => OrderCommand::Undo { step: last_step(&history) },
                OrderCommand::Pay(_) if !by_provider => {
                    let amount = Some(order.total);
                    OrderCommand::Pay(PaymentDetails { amount, ..PaymentDetails::default() })
                }
                other => other.clone(),
            };
            let applied = order.apply(given, &cause);
            let expected = model.apply(command, by_provider);
            prop_assert_eq!(applied.is_ok(), expected, "{:?} {:?}", before.status, command);
            prop_assert_eq!(order.status.name(), model.status);
            model.expired |= expires;
            let Ok(applied) = applied else {
                // A refused command changes nothing.
                prop_assert_eq!(&order, &before);
                continue;
            };
            refunded += match applied.fact {
                Fact::OrderRefunded { amount, in_full, .. } => {
                    prop_assert_eq!(in_full, order.refunded_total == order.total);
                    amount.amount
                }
                Fact::RefundRefused { amount, .. } => -amount.amount,
                Fact::OrderCancelled { refunded, .. } => refunded.map_or(0, |money| money.amount),
                _ => 0,
            };
            stock.follow(&applied.fact);
            let has_left = matches!(order.status, OrderStatus::Shipped | OrderStatus::Delivered);
            let is_over = order.status == OrderStatus::Refunded;
            prop_assert_eq!(stock.reserved, i64::from(order.status.holds_stock()));
            prop_assert!(is_over || stock.on_hand == 9 - i64::from(has_left));
            prop_assert_eq!(order.updated_at, Time(at));
            let is_unpaid = order.payment_status() == PaymentStatus::Unpaid;
            let is_open = matches!(model.status, "confirmed" | "paid" | "shipped" | "delivered");
            let is_due = model.owed || model.status == "confirmed";
            prop_assert_eq!(order.is_payable(), is_due);
            prop_assert!(!is_open || is_unpaid == is_due);
            prop_assert_eq!(applied.also.is_some(), model.status == "paid" && before.status == OrderStatus::Pending);
            if !matches!(command, OrderCommand::Confirm { .. } | OrderCommand::Reject { .. }) {
                changes.push(applied.change);
            }
            // No later command changes the order at its stock outcome.
            let outcome = order.at_stock_outcome();
            if first_outcome.is_none() {
                first_outcome.clone_from(&outcome);
            }
            prop_assert_eq!(&outcome, &first_outcome);
        }
        prop_assert!(matches!(stock.on_hand, 8 | 9));
        prop_assert_eq!(order.refunded_total.amount, refunded);
        prop_assert_eq!(model.paid, refunded + model.kept);
        prop_assert!(refunded <= total);

        let history: Vec<_> = order.first_changes().into_iter().chain(changes).collect();
        prop_assert_eq!(history[0].from, None);
        for pair in history.windows(2) {
            prop_assert_eq!(pair[1].from, Some(pair[0].to));
            prop_assert!(pair[0].at < pair[1].at);
        }
        prop_assert_eq!(history.last().unwrap().to, order.status);
    }
}

#[test]
fn refusals_name_the_status() {
    let mut order = order(100);
    let cause = OrderCause::new(Time(2), Actor::Payments);
    let confirm = OrderCommand::Confirm { reserved_until: None };
    order.apply(confirm, &cause).unwrap();
    let pay = || OrderCommand::Pay(PaymentDetails::default());
    order.apply(pay(), &cause).unwrap();
    let again = order.apply(pay(), &cause).unwrap_err();
    let (status, transition) = (OrderStatus::Paid, Transition::Pay);
    assert_eq!(again, TransitionError::Forbidden { status, transition });
    assert_eq!(again.to_string(), "the order is paid; it cannot be paid");
    let refund = OrderCommand::Refund { amount: Some(101) };
    let too_large = order.apply(refund, &cause).unwrap_err();
    assert_eq!(
        too_large.to_string(),
        "at most 1.00 EUR can still be refunded"
    );
}
