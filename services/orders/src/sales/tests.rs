//! The sums after random commands to many orders, before, during and after they are built for
//! orders of an earlier version, against a fold over all orders.

use std::time::Duration;

use model::{OrderId, Time, UserId};
use proptest::prelude::*;
use store::{Options, Store};

use super::*;
use crate::commands;
use crate::config::OrdersConfig;
use crate::domain::tests::{fail_refund, order};
use crate::domain::{
    Actor, Buyer, ChosenPayment, OrderCause, OrderCommand, OrderLine, Parcel, PaymentDetails,
    PaymentMethod, Settlement,
};
use crate::lists;

const ON_DELIVERY: ChosenPayment = ChosenPayment { method: PaymentMethod::OnDelivery, until: None };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn placed(number: u64, at: Time) -> Order {
    let template = order(1_000);
    let line = |product: &str, quantity: u32| OrderLine {
        product_id: product.parse().unwrap(),
        quantity,
        ..template.lines[0].clone()
    };
    let mut lines = vec![line("prod_01h455vb4pex5vsknk084sn02q", 2)];
    if number.is_multiple_of(3) {
        lines.push(line("prod_01h455vb4pex5vsknk084sn02r", 1));
    }
    let currency = if number.is_multiple_of(5) { "JPY" } else { "EUR" };
    let in_currency = |money: Money| Money { currency: currency.parse().unwrap(), ..money };
    for line in &mut lines {
        line.line_total = in_currency(line.line_total);
    }
    Order {
        id: OrderId::first_at(at),
        buyer: Buyer::Account(UserId::first_at(Time((number % 4).cast_signed()))),
        lines,
        total: in_currency(template.total),
        refunded_total: in_currency(template.refunded_total),
        settlement: Settlement {
            chosen: number.is_multiple_of(4).then_some(ON_DELIVERY),
            ..Settlement::default()
        },
        created_at: at,
        updated_at: at,
        ..template
    }
}

fn command() -> impl Strategy<Value = OrderCommand> {
    prop_oneof![
        5 => Just(OrderCommand::Confirm { reserved_until: None }),
        1 => Just(OrderCommand::Reject { shortages: Vec::new() }),
        5 => Just(OrderCommand::Pay(PaymentDetails::default())),
        2 => Just(OrderCommand::Ship(Parcel::default())),
        1 => Just(OrderCommand::Deliver),
        3 => Just(OrderCommand::Undo { step: None }),
        1 => Just(OrderCommand::Cancel),
        1 => Just(OrderCommand::Refund { amount: None }),
        3 => (1..700_i64).prop_map(|amount| OrderCommand::Refund { amount: Some(amount) }),
        3 => (1..700_i64).prop_map(fail_refund),
    ]
}

/// Which order, which command, and how many hours after the last one.
fn commands() -> impl Strategy<Value = Vec<(usize, OrderCommand, u64)>> {
    prop::collection::vec((any::<prop::sample::Index>(), command(), 0..40_u64), 200).prop_map(
        |all| {
            all.into_iter()
                .map(|(of, command, hours)| (of.index(150), command, hours))
                .collect()
        },
    )
}

fn ledger(log: Log) -> Ledger {
    Ledger {
        log,
        sums: Sums::new(),
        runs: SortedRuns::default(),
        numbers: Numbers::new(&OrdersConfig::default()),
        calls: CallQueue::default(),
    }
}

/// A shop that takes commands.
struct Books {
    store: Store,
    ledger: Ledger,
    now: Time,
}

impl Books {
    async fn place(&mut self, number: u64) {
        self.now = self.now.after(Duration::from_secs(600));
        let order = placed(number, self.now);
        let placing = self
            .store
            .write(move |tx| tables::insert(tx, order).map(|_| ()));
        placing.await.unwrap();
    }

    /// Applies commands to the orders of their numbers; some are refused.
    async fn apply(&mut self, commands: &[(usize, OrderCommand, u64)]) {
        let ids = lists::ids(&self.store, &self.ledger.runs, None, None, None).unwrap();
        let ids: Vec<OrderId> = ids.collect::<Result<_, _>>().unwrap();
        for (number, command, hours) in commands.iter().cloned() {
            self.now = self.now.after(Duration::from_secs(hours * 60 * 60));
            let (ledger, id) = (self.ledger.clone(), ids[number % ids.len()]);
            let staff = UserId::first_at(Time(1));
            let cause = OrderCause::new(self.now, Actor::User(staff));
            let apply = self.store.write(move |tx| {
                let stored = tables::find(tx, id)?;
                commands::apply(tx, &ledger, stored, command, &cause)
            });
            match apply.await {
                Ok(_) | Err(crate::Error::Transition(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn assert_sums(&self) {
        let mut expected = AllSums::default();
        for row in self.store.scan(ORDERS.all()).unwrap() {
            let order = tables::with_lines(&self.store, row.unwrap().1)
                .unwrap()
                .order;
            let history = tables::history(&self.store, &order).unwrap();
            expected.add_order(&order, &history);
        }
        let stored = AllSums::stored(&self.store).unwrap();
        assert_eq!(stored.differences(&expected), Vec::<String>::new());
        assert_eq!(stored, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_those_of_the_orders(first in commands(), meanwhile in commands(), after in commands()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), &Options::default()).unwrap();
            let log = Log::open(store.clone(), "orders", Time(1)).await.unwrap();
            let ledger = ledger(log);
            let mut books = Books { store: store.clone(), ledger, now: Time(0).after(DAY) };
            for number in 0..150 {
                books.place(number).await;
            }
            // Orders of an earlier version: nothing is summed.
            books.apply(&first).await;
            assert_eq!(AllSums::stored(&store).unwrap(), AllSums::default());
            let sums = books.ledger.sums.clone();
            assert!(!sums.0.walk_batch(&store, &count_known).await.unwrap());
            books.apply(&meanwhile[..100]).await;
            books.place(150).await;
            books.apply(&meanwhile[100..]).await;
            assert!(sums.0.walk_batch(&store, &count_known).await.unwrap());
            books.assert_sums();
            books.apply(&after).await;
            books.assert_sums();
        });
    }
}

#[tokio::test]
async fn a_report_has_each_day_and_the_dearest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let log = Log::open(store.clone(), "orders", Time(1)).await.unwrap();
    let ledger = ledger(log);
    assert!(
        ledger
            .sums
            .0
            .walk_batch(&store, &count_known)
            .await
            .unwrap()
    );
    let mut books = Books { store: store.clone(), ledger, now: Time(0).after(DAY) };
    for number in 0..4 {
        books.place(number).await;
    }
    let confirm = OrderCommand::Confirm { reserved_until: None };
    let pay = OrderCommand::Pay(PaymentDetails::default());
    let refund = OrderCommand::Refund { amount: Some(300) };
    // The newest order is number 0 of the list, and the oldest one is in yen.
    for number in 0..4 {
        books
            .apply(&[(number, confirm.clone(), 0), (number, pay.clone(), 0)])
            .await;
    }
    books
        .apply(&[(1, refund, 24), (2, OrderCommand::Cancel, 0)])
        .await;
    let shown =
        |report: Result<SalesReport, store::Error>| serde_json::to_value(report.unwrap()).unwrap();
    let (first, end) = (Day(1), Day(3));
    let money =
        |amount: i64, currency: &str| serde_json::json!({ "amount": amount, "currency": currency });
    let days = shown(by_day(&store, first, end));
    let expected = serde_json::json!([
        { "day": "1970-01-02", "orders": 2, "units": 5, "gross": money(2_000, "EUR"), "tax": money(0, "EUR"), "refunds": money(0, "EUR") },
        { "day": "1970-01-02", "orders": 1, "units": 3, "gross": money(1_000, "JPY"), "tax": money(0, "JPY"), "refunds": money(0, "JPY") },
        { "day": "1970-01-03", "orders": 0, "units": 0, "gross": money(0, "EUR"), "tax": money(0, "EUR"), "refunds": money(300, "EUR") },
    ]);
    assert_eq!(days["items"], expected);
    assert_eq!(days["totals"][0]["gross"], money(2_000, "EUR"));
    assert_eq!(days["totals"][0]["refunds"], money(300, "EUR"));
    assert_eq!(days["totals"][1]["orders"], 1);
    let products = shown(by_product(&store, first, end));
    let units: Vec<_> = products["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["units"])
        .collect();
    assert_eq!(units, [4, 2, 1, 1], "{products}");
    let categories = shown(by_category(&store, first, end));
    assert_eq!(categories["items"][0]["units"], 5);
    assert_eq!(categories["items"][0]["category"], "");
    assert_eq!(
        shown(by_day(&store, Day(0), Day(1)))["items"],
        serde_json::json!([])
    );
    let buyer = spent(&store, CustomerId::first_at(Time(3))).unwrap();
    assert_eq!((buyer.orders, buyer.spent["EUR"]), (1, 1_000));
}
