//! Random histories of an order whose payments two providers tell of at once, each repeatedly,
//! late and in any order, beside staff, products and expiry.
//!
//! Money is conserved: each payment that succeeded pays the order, alone or with other parts of
//! the total, waits for products, or is listed as unmatched, and is never two of these.

use std::collections::{BTreeMap, BTreeSet};

use mesh::Log;
use model::{Money, OrderId, Time};
use proptest::prelude::*;
use store::{Options, Store, Tx};

use super::tables::UnmatchedRow;
use super::webhook::{self, SignedMessage};
use super::{revival, tables};
use crate::config::OrdersConfig;
use crate::domain::tests::order;
use crate::domain::{
    Actor, ChosenPayment, Order, OrderCause, OrderCommand, OrderStatus, Parcel, PaymentDetails,
    PaymentMessage, PaymentMethod, PaymentResult, Revival,
};
use crate::lists::SortedRuns;
use crate::numbers::Numbers;
use crate::payments::providers::calls::CallQueue;
use crate::sales::{Ledger, Sums};
use crate::{Error, commands, tables as orders};

const TOTAL: i64 = 1_000;
/// What the payments of a provider amount to. Some add up to the total.
const AMOUNTS: [i64; 5] = [TOTAL, TOTAL, TOTAL - 1, 400, 300];
/// Histories of one transaction.
const HISTORIES: usize = 100;

#[derive(Debug, Clone)]
enum Step {
    /// A message of a provider: about which of its payments, and which of several about that.
    Message(u8, usize, u8, PaymentResult),
    /// What products, staff or expiry do.
    Command(OrderCommand, Actor),
    Choose(PaymentMethod),
}

fn staff() -> Actor {
    Actor::User("user_01h455vb4pex5vsknk084sn02r".parse().unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        6 => Just(PaymentResult::Succeeded),
        2 => Just(PaymentResult::Failed),
        1 => Just(PaymentResult::Refunded),
        1 => Just(PaymentResult::Disputed),
    ];
    let method = prop_oneof![
        Just(PaymentMethod::Transfer),
        Just(PaymentMethod::OnDelivery)
    ];
    let by_staff = prop_oneof![
        Just(OrderCommand::Pay(PaymentDetails::default())),
        Just(OrderCommand::Ship(Parcel::default())),
        Just(OrderCommand::Deliver),
        Just(OrderCommand::Cancel),
        Just(OrderCommand::Refund { amount: None }),
        Just(OrderCommand::Refund { amount: Some(300) }),
    ];
    prop_oneof![
        8 => (0..2_u8, 0..AMOUNTS.len(), 0..2_u8, result)
            .prop_map(|(provider, payment, copy, result)| {
                Step::Message(provider, payment, copy, result)
            }),
        3 => Just(Step::Command(OrderCommand::Confirm { reserved_until: None }, Actor::Products)),
        1 => Just(Step::Command(OrderCommand::Reject { shortages: Vec::new() }, Actor::Products)),
        2 => Just(Step::Command(OrderCommand::Cancel, Actor::Expiry)),
        3 => by_staff.prop_map(|command| Step::Command(command, staff())),
        1 => method.prop_map(Step::Choose),
    ]
}

/// An order in a store, with the payments that the providers reported.
struct History<'a, 's> {
    tx: &'a mut Tx<'s>,
    ledger: &'a Ledger,
    id: OrderId,
    /// What they amount to.
    succeeded: BTreeMap<String, i64>,
}

impl History<'_, '_> {
    fn order(&self) -> Order {
        orders::find(&*self.tx, self.id).unwrap().order
    }

    fn take(&mut self, step: Step, at: Time) -> Result<(), Error> {
        match step {
            Step::Message(provider, payment, copy, result) => {
                let reference = format!("{provider}-{payment}");
                let amount = AMOUNTS[payment];
                if result == PaymentResult::Succeeded {
                    self.succeeded.insert(reference.clone(), amount);
                }
                let amount = Money { amount, currency: "EUR".parse().unwrap() };
                let signed = SignedMessage {
                    id: format!("{} {reference} {result:?} {copy}", self.id),
                    kind: None,
                    named: None,
                    message: Some(PaymentMessage {
                        result,
                        order_id: Some(self.id),
                        amount,
                        reference,
                        method: None,
                    }),
                };
                webhook::receive(self.tx, self.ledger, signed, at)?;
            }
            Step::Command(command, by) => {
                let stored = orders::find(&*self.tx, self.id)?;
                let cause = OrderCause::new(at, by);
                let is_due = stored.order.status == OrderStatus::Confirmed;
                match by {
                    Actor::Products => {
                        revival::stock_outcome(self.tx, self.ledger, stored, command, cause)?;
                    }
                    Actor::Expiry if !is_due => {}
                    _ => {
                        commands::apply(self.tx, self.ledger, stored, command, &cause)?;
                    }
                }
            }
            Step::Choose(method) => {
                let mut stored = orders::find(&*self.tx, self.id)?;
                stored.order.settlement.chosen = Some(ChosenPayment { method, until: None });
                orders::save(self.tx, &stored)?;
            }
        }
        Ok(())
    }

    /// What is wrong with the money.
    fn faults(&self) -> Vec<String> {
        let order = self.order();
        let rows = tables::unmatched(&*self.tx, None).unwrap();
        let of_order = |row: Result<(_, UnmatchedRow), _>| {
            let (_, row) = row.unwrap();
            (row.order_id == Some(self.id.to_string())).then_some(row.reference?)
        };
        let listed: BTreeSet<String> = rows.filter_map(of_order).collect();
        let is_awaited =
            order.status == OrderStatus::Pending || order.settlement.revival == Revival::Awaited;
        let mut faults = Vec::new();
        let unlisted = self.succeeded.iter();
        let unlisted = unlisted.filter(|(reference, _)| !listed.contains(*reference));
        let unlisted: BTreeMap<_, _> = unlisted.collect();
        let is_named = order
            .payment
            .as_ref()
            .is_some_and(|it| unlisted.contains_key(it));
        let is_taken = is_named && (order.is_paid() || is_awaited);
        let taken: i64 = unlisted.values().copied().sum();
        if taken != if is_taken { TOTAL } else { 0 } {
            faults.push(format!("{unlisted:?}: {order:?}"));
        }
        let known = |reference: &&String| self.succeeded.contains_key(*reference);
        let unknown = listed.iter().filter(|reference| !known(reference));
        faults.extend(unknown.map(|it| format!("{it} is listed")));
        let paid = if order.is_paid() { TOTAL } else { 0 };
        if order.refunded_total.amount > paid {
            faults.push(format!("more went back than came: {order:?}"));
        }
        faults
    }
}

fn run(tx: &mut Tx<'_>, ledger: &Ledger, steps: Vec<Step>) -> Vec<String> {
    let id = OrderId::new();
    orders::insert(tx, Order { id, ..order(TOTAL) }).unwrap();
    let mut history = History { tx, ledger, id, succeeded: BTreeMap::new() };
    let shown = format!("{steps:?}");
    for (at, step) in (2..).zip(steps) {
        match history.take(step, Time(at)) {
            Ok(()) | Err(Error::Transition(_)) => {}
            Err(error) => return vec![error.to_string()],
        }
    }
    // Histories have any length, so each moment of one is the end of another.
    let faults = history.faults();
    faults
        .into_iter()
        .map(|fault| format!("{fault} after {shown}"))
        .collect()
}

pub(super) async fn ledger_of(store: &Store) -> Ledger {
    Ledger {
        log: Log::open(store.clone(), "orders", Time(1)).await.unwrap(),
        sums: Sums::new(),
        runs: SortedRuns::default(),
        numbers: Numbers::new(&OrdersConfig::default()),
        calls: CallQueue::default(),
    }
}

/// The faults of histories of steps, all run in one transaction of a new store.
pub(super) fn faults_of<S: Send + 'static>(
    histories: Vec<Vec<S>>,
    run: fn(&mut Tx<'_>, &Ledger, Vec<S>) -> Vec<String>,
) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let faults = async {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let ledger = ledger_of(&store).await;
        let all = store.write(move |tx| {
            let runs = histories.into_iter().map(|steps| run(tx, &ledger, steps));
            Ok::<_, Error>(runs.flatten().collect())
        });
        all.await.unwrap()
    };
    runtime.unwrap().block_on(faults)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn money_is_conserved(
        histories in prop::collection::vec(prop::collection::vec(step(), 1..14), HISTORIES),
    ) {
        let faults = faults_of(histories, run);
        prop_assert!(faults.is_empty(), "{}", faults[0]);
    }
}
