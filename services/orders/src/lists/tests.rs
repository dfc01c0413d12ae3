//! Lists against a model that filters and sorts all orders, and the rows that a page reads.

use std::cell::Cell;
use std::ops::Bound;

use futures::executor::block_on;
use model::{Money, UserId};
use proptest::prelude::*;
use store::Store;

use super::runs::tests::{load, runs_of_eight, store_with};
use super::*;
use crate::domain::tests::order;
use crate::domain::{Actor, Buyer, Guest, OrderCause, OrderLine, Parcel, StatusChange};

const PRODUCTS: [&str; 2] = [
    "prod_01h455vb4pex5vsknk084sn02q",
    "prod_01h455vb4pex5vsknk084sn02r",
];

/// Every third is a guest.
fn buyer(number: u64) -> Buyer {
    let id = CustomerId::first_at(Time(number.cast_signed()));
    match number % 3 {
        2 => Buyer::Guest(Guest { id, contact: None }),
        _ => Buyer::Account(UserId::from_uuid(id.uuid())),
    }
}

fn customer(number: u64) -> CustomerId {
    buyer(number).customer_id()
}

fn product(number: usize) -> ProductId {
    PRODUCTS[number].parse().unwrap()
}

/// An order whose id was made at that millisecond.
fn made_at(millis: i64) -> Order {
    let template = order(1);
    let id = OrderId::first_at(Time(millis));
    Order {
        id,
        created_at: Time(millis),
        updated_at: Time(millis),
        ..template
    }
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let one = (
        0..3_u64,
        0..8_usize,
        0..4_usize,
        0..4_i64,
        0..40_i64,
        -900..900_i64,
    );
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let made = all.into_iter().zip(0..);
        let made = made.map(|((owner, status, products, total, second, skew), number)| {
            let template = made_at(2_000 + 1_000 * second + number);
            let line =
                |number| OrderLine { product_id: product(number), ..template.lines[0].clone() };
            let lines = (0..2)
                .filter(|number| products & (1 << number) != 0)
                .map(line);
            Order {
                buyer: buyer(owner),
                status: OrderStatus::ALL[status],
                lines: lines.collect(),
                total: Money { amount: total, ..template.total },
                created_at: Time(template.created_at.0 + skew),
                ..template
            }
        });
        made.collect()
    })
}

fn filters() -> impl Strategy<Value = OrderFilter> {
    let buyers = prop::option::of(prop::collection::btree_set(
        (0..3_u64).prop_map(customer),
        1..3,
    ));
    let status = prop::option::of((0..8_usize).prop_map(|number| OrderStatus::ALL[number]));
    let product = prop::option::of((0..2_usize).prop_map(product));
    let time = || prop::option::weighted(0.3, (0..45_000_i64).prop_map(Time));
    (buyers, status, product, time(), time()).prop_map(
        |(buyers, status, product, created_from, created_to)| OrderFilter {
            buyers,
            status,
            product,
            order: None,
            created_from,
            created_to,
        },
    )
}

/// Reads a list to its end.
fn walk<P>(mut page: impl FnMut(Option<P>) -> OrderPage<P>) -> Vec<OrderId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let OrderPage { orders, next } = page(after);
        ids.extend(orders.iter().map(|stored| stored.order.id));
        match next {
            None => return ids,
            next => after = next,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_have_the_orders_that_fit_in_order(
        orders in orders(),
        filters in prop::collection::vec(filters(), 8),
        limit in 1..5_usize,
    ) {
        let (_dir, store, runs) = store_with(&orders, runs_of_eight());
        // Half of the checks are made by the next process.
        let next = runs_of_eight();
        load(&store, &next);
        for (filter, runs) in filters.into_iter().zip([&runs, &next].into_iter().cycle()) {
            let mut fitting: Vec<_> = orders.iter().filter(|order| filter.fits(order)).collect();
            fitting.sort_by_key(|order| order.id);
            let mut expected: Vec<_> = fitting.iter().map(|order| order.id).collect();
            let of_age = |age| walk(|after| by_age(&store, runs, &filter, age, after, limit).unwrap());
            prop_assert_eq!(&of_age(AgeOrder::OldestFirst), &expected, "{:?}", filter);
            expected.reverse();
            prop_assert_eq!(&of_age(AgeOrder::NewestFirst), &expected, "{:?}", filter);
            fitting.sort_by_key(|order| (order.total.amount, order.id));
            let mut expected: Vec<_> = fitting.iter().map(|order| order.id).collect();
            for sort in [TotalOrder::SmallestFirst, TotalOrder::LargestFirst] {
                let sorted = walk(|after| by_total(&store, runs, &filter, sort, after, limit).unwrap());
                prop_assert_eq!(&sorted, &expected, "{:?}", filter);
                // The index of totals has the same list as the sort in memory.
                let walked = walk(|after| {
                    by_index_of_totals(&store, runs, &filter, sort, after, limit).unwrap()
                });
                prop_assert_eq!(&walked, &expected, "{:?}", filter);
                expected.reverse();
            }
        }
    }
}

/// A store whose rows are counted as they are read.
struct Counted<'a> {
    store: &'a Store,
    rows: Cell<usize>,
}

type RawRow = Result<(Vec<u8>, Vec<u8>), store::Error>;

impl Read for Counted<'_> {
    fn raw(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, store::Error> {
        self.rows.set(self.rows.get() + 1);
        self.store.raw(table, key)
    }

    fn raw_scan(
        &self,
        table: &'static str,
        bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, store::Error> {
        let rows = self.store.raw_scan(table, bounds, newest_first)?;
        Ok(Box::new(
            rows.inspect(|_| self.rows.set(self.rows.get() + 1)),
        ))
    }
}

/// A shop of that many orders: a hundredth are of each of a hundred buyers, one in a thousand is
/// paid and one confirmed, the rest are delivered; every other has the second product.
fn shop_of(count: i64) -> Vec<Order> {
    let made = (0..count).map(|number| {
        let template = made_at(10_000 * number);
        let line = OrderLine {
            product_id: product(usize::from(number % 2 == 1)),
            ..template.lines[0].clone()
        };
        let status = match number % 1_000 {
            0 => OrderStatus::Paid,
            1 => OrderStatus::Confirmed,
            _ => OrderStatus::Delivered,
        };
        Order {
            buyer: buyer((number % 100).unsigned_abs()),
            status,
            lines: vec![line],
            total: Money { amount: number * 7_919 % 100_003, ..template.total },
            ..template
        }
    });
    made.collect()
}

/// The most rows that a page of each filter reads in a shop of so many orders.
fn assert_bounded(count: i64) {
    let (_dir, store, runs) = store_with(&shop_of(count), SortedRuns::default());
    let everybody = OrderFilter::default;
    let middle = Time(10_000 * count / 2);
    let day = OrderFilter {
        created_from: Some(middle),
        created_to: Some(Time(middle.0 + 24 * 60 * 60 * 1000)),
        ..everybody()
    };
    let buyers: BTreeSet<_> = (0..40).map(customer).collect();
    // Paid orders have the first product, and none has the second.
    let no_such = OrderFilter {
        status: Some(OrderStatus::Paid),
        product: Some(product(1)),
        ..everybody()
    };
    for (name, filter, rows_max) in [
        ("none", everybody(), 45),
        ("a day", day.clone(), 50),
        (
            "a status",
            OrderFilter { status: Some(OrderStatus::Paid), ..everybody() },
            45,
        ),
        (
            "a product",
            OrderFilter { product: Some(product(1)), ..everybody() },
            45,
        ),
        (
            "a user",
            OrderFilter { buyers: Some([customer(7)].into()), ..everybody() },
            60,
        ),
        (
            "many buyers",
            OrderFilter { buyers: Some(buyers), ..everybody() },
            120,
        ),
        (
            "a status and a product",
            OrderFilter {
                status: Some(OrderStatus::Paid),
                product: Some(product(0)),
                ..everybody()
            },
            1_000,
        ),
        ("nothing in common", no_such, INDEX_ROWS_MAX + 100),
    ] {
        for age in [AgeOrder::NewestFirst, AgeOrder::OldestFirst] {
            let counted = Counted { store: &store, rows: Cell::new(0) };
            by_age(&counted, &runs, &filter, age, None, 20).unwrap();
            let read = counted.rows.get();
            assert!(read <= rows_max, "{name}: {read} rows of {count} orders");
        }
    }
    assert_bounded_by_total(&store, &runs, count, &day);
}

fn assert_bounded_by_total(store: &Store, runs: &SortedRuns, count: i64, day: &OrderFilter) {
    // An order here has two entries; of each run its own row and one or two parts are read.
    let of_runs = 3 * (2 * usize::try_from(count).unwrap() / 6_144);
    for (name, filter, rows_max) in [
        ("by total", OrderFilter::default(), 45 + of_runs),
        (
            "a day by total",
            day.clone(),
            INDEX_ROWS_MAX + 2 * SORTED_MAX + 100,
        ),
        (
            "a status by total",
            OrderFilter {
                status: Some(OrderStatus::Delivered),
                ..OrderFilter::default()
            },
            INDEX_ROWS_MAX + 2 * SORTED_MAX + 100,
        ),
    ] {
        for sort in [TotalOrder::LargestFirst, TotalOrder::SmallestFirst] {
            let counted = Counted { store, rows: Cell::new(0) };
            by_total(&counted, runs, &filter, sort, None, 20).unwrap();
            let read = counted.rows.get();
            assert!(read <= rows_max, "{name}: {read} rows of {count} orders");
        }
    }
}

#[test]
fn a_page_reads_few_rows() {
    assert_bounded(3_000);
}

#[test]
#[ignore = "writes 100,000 orders, which takes ten seconds"]
fn a_page_reads_few_rows_of_many_orders() {
    assert_bounded(100_000);
}

/// A parcel that only the history of an order of an earlier version had.
#[test]
fn what_an_earlier_version_lacks_is_completed() {
    let (_dir, store, _) = store_with(&[made_at(2_000)], runs_of_eight());
    let parcel = Parcel { carrier: Some("DHL".into()), tracking: None };
    let shipped = parcel.clone();
    let write = store.write(move |tx| {
        let mut old = tables::find(tx, made_at(2_000).id)?;
        let cause = OrderCause::new(Time(3_000), Actor::Products);
        let change = StatusChange {
            parcel: shipped,
            ..StatusChange::within(OrderStatus::Shipped, &cause)
        };
        tables::append_history(tx, &mut old, &change)?;
        Ok::<_, Error>(tables::complete(tx, &mut old)?)
    });
    block_on(write).unwrap();
    let completed = tables::find(&store, made_at(2_000).id).unwrap();
    assert_eq!(completed.order.parcel, parcel);
}
