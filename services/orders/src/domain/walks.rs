//! Random lives of orders against a model that knows the table and nothing else.

use model::{Fact, Id, Money, Shortage, Time};
use proptest::prelude::*;

use super::life::{By, Cause, Change, Refused, Status, Step};
use super::{Line, Order};

/// The contract's table: from, step, to. What is not in it is refused.
const TABLE: &[(&str, &str, &str)] = &[
    ("pending", "reserve", "confirmed"),
    ("pending", "refuse", "rejected"),
    ("pending", "cancel", "cancelled"),
    ("confirmed", "pay", "paid"),
    ("confirmed", "cancel", "cancelled"),
    ("paid", "ship", "shipped"),
    ("paid", "cancel", "cancelled"),
    ("shipped", "deliver", "delivered"),
    ("paid", "refund a part", "paid"),
    ("shipped", "refund a part", "shipped"),
    ("delivered", "refund a part", "delivered"),
    ("paid", "refund the rest", "refunded"),
    ("shipped", "refund the rest", "refunded"),
    ("delivered", "refund the rest", "refunded"),
];

#[derive(Debug, Clone)]
enum Command {
    Reserve,
    Refuse,
    Pay,
    Ship,
    Deliver,
    Cancel,
    Refund(Option<i64>),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let command = prop_oneof![
        2 => Just(Command::Reserve),
        1 => Just(Command::Refuse),
        3 => Just(Command::Pay),
        2 => Just(Command::Ship),
        2 => Just(Command::Deliver),
        1 => Just(Command::Cancel),
        1 => Just(Command::Refund(None)),
        4 => (1..700_i64).prop_map(|amount| Command::Refund(Some(amount))),
    ];
    prop::collection::vec(command, 1..16)
}

pub(super) fn order(total: i64) -> Order {
    let total = Money { amount: total, currency: "EUR".parse().unwrap() };
    let line = Line {
        product_id: "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        sku: "LAMP".into(),
        title: "Desk lamp".into(),
        quantity: 1,
        unit_price: total,
        line_total: total,
    };
    Order {
        id: "order_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        user_id: "user_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        status: Status::Pending,
        lines: vec![line],
        line_parts: 0,
        total,
        refunded_total: Money::zero(total.currency),
        shipping_address: None,
        note: None,
        request_id: "r".into(),
        settled_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        accepted: false,
        changes: 0,
        created_at: Time(1),
        updated_at: Time(1),
    }
}

/// The model: a state, and how much money the shop has of the customer's.
struct Model {
    status: &'static str,
    total: i64,
    paid: i64,
    kept: i64,
}

impl Model {
    /// The state after it, or that it is refused.
    fn obey(&mut self, command: &Command) -> bool {
        let step = match command {
            Command::Reserve => "reserve",
            Command::Refuse => "refuse",
            Command::Pay => "pay",
            Command::Ship => "ship",
            Command::Deliver => "deliver",
            Command::Cancel => "cancel",
            Command::Refund(Some(amount)) if *amount < self.kept => "refund a part",
            Command::Refund(_) => "refund the rest",
        };
        let too_much = matches!(command, Command::Refund(Some(amount)) if *amount > self.kept);
        let row = TABLE
            .iter()
            .find(|(from, by, _)| (*from, *by) == (self.status, step));
        let Some((_, _, to)) = row.filter(|_| !too_much) else {
            return false;
        };
        self.status = to;
        match command {
            Command::Pay => (self.paid, self.kept) = (self.total, self.total),
            Command::Refund(Some(amount)) => self.kept -= amount,
            Command::Refund(None) | Command::Cancel => self.kept = 0,
            _ => {}
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn money_and_history_are_whole(total in 0..2_000_i64, commands in commands()) {
        let mut order = order(total);
        let mut model = Model { status: "pending", total, paid: 0, kept: 0 };
        let mut rows: Vec<Change> = Vec::new();
        let (mut refunded, mut answer) = (0, None);
        for (at, command) in (2_i64..).zip(&commands) {
            let before = order.clone();
            let cause = Cause::new(Time(at), By::User(order.user_id)).because("why");
            let taken = match command {
                Command::Reserve => order.reserve(Time(at), None),
                Command::Refuse => order.refuse(Time(at), vec![Shortage {
                    product_id: Id::new(), requested: 1, available: 0,
                }]),
                Command::Pay => order.pay(cause),
                Command::Ship => order.ship(cause, None, None),
                Command::Deliver => order.deliver(cause),
                Command::Cancel => order.cancel(cause),
                Command::Refund(amount) => order.refund(cause, *amount),
            };
            prop_assert_eq!(taken.is_ok(), model.obey(command), "{:?} {:?}", before.status, command);
            prop_assert_eq!(order.status.name(), model.status);
            let Ok(taken) = taken else {
                // What is refused leaves nothing behind.
                prop_assert_eq!(&order, &before);
                continue;
            };
            refunded += match taken.fact {
                Fact::OrderRefunded { amount, in_full, .. } => {
                    prop_assert_eq!(in_full, order.status == Status::Refunded);
                    amount.amount
                }
                Fact::OrderCancelled { refunded, .. } => refunded.map_or(0, |money| money.amount),
                _ => 0,
            };
            prop_assert_eq!(order.updated_at, Time(at));
            if !matches!(command, Command::Reserve | Command::Refuse) {
                rows.push(taken.change);
            }
            // Whatever happens later, how it was settled reads the same.
            let settled = order.as_settled();
            if answer.is_none() {
                answer.clone_from(&settled);
            }
            prop_assert_eq!(&settled, &answer);
        }
        prop_assert_eq!(order.refunded_total.amount, refunded);
        prop_assert_eq!(model.paid, refunded + model.kept);
        prop_assert!(refunded <= total);

        let history: Vec<_> = order.first_changes().into_iter().chain(rows).collect();
        prop_assert_eq!(history[0].from, None);
        for pair in history.windows(2) {
            prop_assert_eq!(pair[1].from, Some(pair[0].to));
            prop_assert!(pair[0].at < pair[1].at);
        }
        prop_assert_eq!(history.last().unwrap().to, order.status);
    }
}

/// Each state and step that the table does not have is refused by its name.
#[test]
fn refusals_name_the_state() {
    let mut paid = order(100);
    paid.reserve(Time(2), None).unwrap();
    paid.pay(Cause::new(Time(3), By::Payments)).unwrap();
    let again = paid.pay(Cause::new(Time(4), By::Payments)).unwrap_err();
    assert_eq!(
        again,
        Refused::Forbidden { status: Status::Paid, step: Step::Pay }
    );
    assert_eq!(again.to_string(), "the order is paid; it cannot be paid");
    let much = paid
        .refund(Cause::new(Time(4), By::Payments), Some(101))
        .unwrap_err();
    assert_eq!(much.to_string(), "at most 100 EUR can still be refunded");
}

/// The bytes of an order on disk: a change here is a change of format.
#[test]
fn golden_bytes() {
    let mut order = order(1999);
    order.reserve(Time(2), Some(Time(3))).unwrap();
    let uuid = b"\xc4\x10\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57";
    let money = b"\x82\xa6amount\xcd\x07\xcf\xa8currency\xa3EUR";
    let golden = [
        b"\x01\x8b\xa2id".as_slice(),
        uuid,
        b"\xa7user_id",
        uuid,
        b"\xa6status\xa9confirmed\xa5lines\x91\x86\xaaproduct_id",
        uuid,
        b"\xa3sku\xa4LAMP\xa5title\xa9Desk lamp\xa8quantity\x01\xaaunit_price",
        money,
        b"\xaaline_total",
        money,
        b"\xa5total",
        money,
        b"\xaerefunded_total\x82\xa6amount\x00\xa8currency\xa3EUR",
        b"\xaarequest_id\xa1r\xaasettled_at\x02\xaereserved_until\x03",
        b"\xaacreated_at\x01\xaaupdated_at\x02",
    ];
    assert_eq!(store::encode(&order).unwrap(), golden.concat());
    assert_eq!(store::decode::<Order>(&golden.concat()).unwrap(), order);
}
