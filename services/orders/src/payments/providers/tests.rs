//! Random histories of an order and two providers: each payment opened, paid, failed,
//! refunded and disputed there, in answers that are applied late, repeatedly and in any order,
//! beside staff, products and expiry.
//!
//! Money is conserved: each payment that was taken in pays the order, waits for products, or is
//! listed as unmatched, and is never two of these; refunds, done and pending, are those that the
//! providers were asked for and that did not come back, and never more than the payment.

use std::collections::BTreeSet;

use model::{Money, OrderId, Time};
use proptest::prelude::*;
use proptest::sample::Index;
use store::Tx;

use super::*;
use crate::domain::tests::order;
use crate::domain::{Actor, Order, OrderCause, OrderCommand, OrderStatus, Parcel, Revival};
use crate::payments::tables::{self, Attempt, ProviderAttempt};
use crate::payments::tests::faults_of;
use crate::payments::{refunds, revival};
use crate::sales::Ledger;
use crate::{Error, commands, tables as orders};

const TOTAL: i64 = 1_000;
/// Histories of one transaction.
const HISTORIES: usize = 100;

#[derive(Debug, Clone)]
enum Step {
    Open(bool),
    /// What becomes of a payment at its provider.
    Become(Index, AttemptStatus),
    /// The truth about a payment is read.
    Read(Index),
    /// An answer that was read before is applied, again or for the first time.
    Apply(Index),
    /// Staff ask for a refund.
    Ask(i64),
    /// A provider makes the oldest refund that it was not asked for yet, or refuses it.
    Make(RefundStatus),
    /// A pending refund is done at the provider, or fails.
    Finish(Index, RefundStatus),
    /// The money of a refund comes back to the provider.
    TakeBack(Index),
    /// A payment and its refunds are not asked about any more.
    GiveUp(Index),
    RefundThere(Index, i64),
    Dispute(Index),
    Command(OrderCommand, Actor),
}

fn staff() -> Actor {
    Actor::User("user_01h455vb4pex5vsknk084sn02r".parse().unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    let ended = prop_oneof![
        5 => Just(AttemptStatus::Succeeded),
        1 => Just(AttemptStatus::Failed),
        1 => Just(AttemptStatus::Expired),
    ];
    let made = || {
        prop_oneof![
            2 => Just(RefundStatus::Succeeded),
            2 => Just(RefundStatus::Pending),
            1 => Just(RefundStatus::Failed),
        ]
    };
    let by_staff = prop_oneof![
        Just(OrderCommand::Ship(Parcel::default())),
        Just(OrderCommand::Deliver),
        Just(OrderCommand::Cancel),
        Just(OrderCommand::Refund { amount: Some(100) }),
    ];
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Open),
        5 => (any::<Index>(), ended).prop_map(|(of, status)| Step::Become(of, status)),
        6 => any::<Index>().prop_map(Step::Read),
        9 => any::<Index>().prop_map(Step::Apply),
        4 => prop_oneof![Just(300), Just(TOTAL)].prop_map(Step::Ask),
        4 => made().prop_map(Step::Make),
        2 => (any::<Index>(), made()).prop_map(|(of, status)| Step::Finish(of, status)),
        2 => any::<Index>().prop_map(Step::TakeBack),
        1 => any::<Index>().prop_map(Step::GiveUp),
        1 => (any::<Index>(), Just(50)).prop_map(|(of, amount)| Step::RefundThere(of, amount)),
        1 => any::<Index>().prop_map(Step::Dispute),
        3 => Just(Step::Command(OrderCommand::Confirm { reserved_until: None }, Actor::Products)),
        1 => Just(Step::Command(OrderCommand::Reject { shortages: Vec::new() }, Actor::Products)),
        1 => Just(Step::Command(OrderCommand::Cancel, Actor::Expiry)),
        3 => by_staff.prop_map(|command| Step::Command(command, staff())),
    ]
}

/// An order in a store, and the truth that the providers have.
struct History<'a, 's> {
    tx: &'a mut Tx<'s>,
    ledger: &'a Ledger,
    id: OrderId,
    truth: Vec<(PaymentMethod, FetchedPayment)>,
    read: Vec<(PaymentMethod, FetchedPayment)>,
    /// What was refunded by hand, in minor units.
    by_hand: i64,
    taken: BTreeSet<String>,
    objects: u32,
}

impl<'a, 's> History<'a, 's> {
    fn begin(tx: &'a mut Tx<'s>, ledger: &'a Ledger) -> Self {
        let id = OrderId::new();
        orders::insert(tx, Order { id, ..order(TOTAL) }).unwrap();
        Self {
            tx,
            ledger,
            id,
            truth: Vec::new(),
            read: Vec::new(),
            by_hand: 0,
            taken: BTreeSet::new(),
            objects: 0,
        }
    }

    fn order(&self) -> Order {
        orders::find(&*self.tx, self.id).unwrap().order
    }

    fn object(&mut self, prefix: &str) -> String {
        self.objects += 1;
        format!("{prefix}_{}_{}", self.objects, self.id)
    }

    /// A payment of which the truth is changed.
    fn payment(&mut self, of: Index) -> Option<&mut FetchedPayment> {
        let count = self.truth.len();
        (count > 0).then(|| &mut self.truth[of.index(count)].1)
    }

    fn open(&mut self, is_stripe: bool, at: Time) -> Result<(), Error> {
        let method = if is_stripe {
            PaymentMethod::Stripe
        } else {
            PaymentMethod::Mollie
        };
        let payment_id = PaymentId::new();
        let at_provider = Some(ProviderAttempt::new("https://a".into()));
        let attempt = Attempt { id: payment_id, method, at_provider };
        let id = self.object("p");
        // Every seventh one is lost with what came after an older copy of the store.
        if !self.objects.is_multiple_of(7) {
            tables::put_attempt(self.tx, self.id, &attempt)?;
        }
        // The answer to every third one is lost, and one in five is of another amount.
        if !self.objects.is_multiple_of(3) {
            let begun = BegunPayment { id: id.clone(), redirect_url: None };
            applying::attempt_opened(self.tx, self.ledger, (self.id, payment_id), begun, at)?;
        }
        let amount = if self.objects.is_multiple_of(5) {
            TOTAL - 1
        } else {
            TOTAL
        };
        let payment = FetchedPayment {
            reference: format!("ref {id}"),
            id,
            status: AttemptStatus::Pending,
            amount: Money { amount, currency: "EUR".parse().unwrap() },
            order_id: Some(self.id.to_string()),
            payment_id: Some(payment_id),
            refunds: Vec::new(),
            disputes: Vec::new(),
        };
        self.truth.push((method, payment));
        Ok(())
    }

    fn apply(&mut self, of: Index, at: Time) -> Result<(), Error> {
        let count = self.read.len();
        if count == 0 {
            return Ok(());
        }
        let (method, payment) = self.read[of.index(count)].clone();
        if payment.status == AttemptStatus::Succeeded {
            self.taken.insert(payment.reference.clone());
        }
        applying::fetched(self.tx, self.ledger, method, &payment, at).map(drop)
    }

    /// The provider that an order's refunds go back by makes one, as it would for a repeat: once.
    fn make(&mut self, status: RefundStatus, at: Time) -> Result<(), Error> {
        let all = refunds::all(&*self.tx, self.id)?;
        let known = |id: &RefundId| {
            let mut refunds = self.truth.iter().flat_map(|(_, payment)| &payment.refunds);
            refunds.any(|made| made.refund_id == Some(*id))
        };
        let mut asked = all.into_iter();
        let asked = asked.find(|(id, row)| row.status == RefundStatus::Pending && !known(id));
        let Some((refund_id, row)) = asked else {
            return Ok(());
        };
        let paid_by = |payment: &&FetchedPayment| payment.reference == row.payment;
        let payment = self.truth.iter().map(|(_, payment)| payment).find(paid_by);
        let payment = payment.expect("a refund is of a payment");
        let kept = payment.refunds.iter();
        let kept = kept.filter(|made| made.status != RefundStatus::Failed);
        let gone: i64 = kept.map(|made| made.amount.amount).sum();
        if status == RefundStatus::Failed || gone + row.amount.amount > payment.amount.amount {
            let (refund, status) = ((self.id, refund_id), RefundStatus::Refused);
            return applying::settle(self.tx, self.ledger, refund, status, at);
        }
        let id = self.object("re");
        let made = FetchedRefund { id, refund_id: Some(refund_id), status, amount: row.amount };
        let mut payments = self.truth.iter_mut();
        let payment = payments.find(|(_, payment)| payment.reference == row.payment);
        let (method, payment) = payment.expect("a refund is of a payment");
        payment.refunds.push(made.clone());
        // The answer to every second one is lost; a later fetch finds it.
        if !self.objects.is_multiple_of(2) {
            return Ok(());
        }
        let refund = (self.id, refund_id);
        applying::refund_made(self.tx, self.ledger, *method, refund, &made, at)
    }

    /// One of the refunds of a status becomes another.
    fn finish(&mut self, of: Index, from: RefundStatus, to: RefundStatus) {
        let refunds = self
            .truth
            .iter_mut()
            .flat_map(|(_, payment)| &mut payment.refunds);
        let mut found: Vec<_> = refunds.filter(|made| made.status == from).collect();
        let count = found.len();
        if count > 0 {
            found[of.index(count)].status = to;
        }
    }

    fn give_up(&mut self, of: Index, at: Time) -> Result<(), Error> {
        let Some(payment) = self.payment(of).cloned() else {
            return Ok(());
        };
        for id in [payment.id, payment.reference] {
            applying::unanswered(self.tx, self.ledger, self.id, &id, at)?;
        }
        Ok(())
    }

    fn take(&mut self, step: Step, at: Time) -> Result<(), Error> {
        match step {
            Step::Open(is_stripe) => self.open(is_stripe, at)?,
            Step::Become(of, status) => {
                let payment = self.payment(of);
                let payment = payment.filter(|it| it.status == AttemptStatus::Pending);
                if let Some(payment) = payment {
                    payment.status = status;
                }
            }
            Step::Read(of) if !self.truth.is_empty() => {
                let read = self.truth[of.index(self.truth.len())].clone();
                self.read.push(read);
            }
            Step::Read(_) => {}
            Step::Apply(of) => self.apply(of, at)?,
            Step::Ask(amount) => {
                let mut stored = orders::find(&*self.tx, self.id)?;
                if stored.order.paid_by_provider().is_some() {
                    let (calls, cause) = (&self.ledger.calls, OrderCause::new(at, staff()));
                    let amount = Some(amount);
                    refunds::request(self.tx, calls, &mut stored.order, amount, &cause)?;
                    orders::save(self.tx, &stored)?;
                }
            }
            Step::Make(status) => self.make(status, at)?,
            Step::Finish(of, status) => self.finish(of, RefundStatus::Pending, status),
            Step::TakeBack(of) => self.finish(of, RefundStatus::Succeeded, RefundStatus::Failed),
            Step::GiveUp(of) => self.give_up(of, at)?,
            Step::RefundThere(of, amount) => {
                let id = self.object("re");
                let amount = Money { amount, currency: "EUR".parse().unwrap() };
                let status = RefundStatus::Succeeded;
                let refund = FetchedRefund { id, refund_id: None, status, amount };
                let payment = self.payment(of);
                let payment = payment.filter(|it| it.status == AttemptStatus::Succeeded);
                payment
                    .into_iter()
                    .for_each(|it| it.refunds.push(refund.clone()));
            }
            Step::Dispute(of) => {
                let id = self.object("dp");
                let payment = self.payment(of);
                let payment = payment.filter(|it| it.status == AttemptStatus::Succeeded);
                if let Some(payment) = payment {
                    let amount = payment.amount;
                    payment.disputes.push(FetchedDispute { id, amount });
                }
            }
            Step::Command(command, by) => self.command(command, by, at)?,
        }
        Ok(())
    }

    fn command(&mut self, command: OrderCommand, by: Actor, at: Time) -> Result<(), Error> {
        let stored = orders::find(&*self.tx, self.id)?;
        let cause = OrderCause::new(at, by);
        let is_due = stored.order.status == OrderStatus::Confirmed;
        match by {
            Actor::Products => {
                revival::stock_outcome(self.tx, self.ledger, stored, command, cause)?;
            }
            Actor::Expiry if !is_due => {}
            _ => {
                let by_hand = match command {
                    OrderCommand::Refund { amount } => amount.unwrap_or(0),
                    _ => 0,
                };
                commands::apply(self.tx, self.ledger, stored, command, &cause)?;
                self.by_hand += by_hand;
            }
        }
        Ok(())
    }

    /// What is wrong with the money.
    fn faults(&self) -> Vec<String> {
        let order = self.order();
        let rows = tables::unmatched(&*self.tx, None).unwrap();
        let listed: Vec<String> = rows
            .filter_map(|row| row.unwrap().1.reference)
            .filter(|reference| reference.ends_with(&self.id.to_string()))
            .collect();
        let is_awaited =
            order.settlement.revival == Revival::Awaited || order.status == OrderStatus::Pending;
        let mut faults = Vec::new();
        for reference in &self.taken {
            let is_named = order.payment.as_ref() == Some(reference);
            let pays = is_named && (order.is_paid() || is_awaited);
            let times = listed.iter().filter(|it| *it == reference).count();
            if usize::from(pays) + times != 1 {
                faults.push(format!(
                    "{reference} pays: {pays}, listed {times} times: {order:?}"
                ));
            }
        }
        faults.extend(
            listed
                .iter()
                .filter(|it| !self.taken.contains(*it))
                .map(|it| format!("{it} is listed")),
        );
        let rows = refunds::all(&*self.tx, self.id).unwrap();
        let sum = |status: RefundStatus| -> i64 {
            let of_status = rows
                .iter()
                .filter(|(_, row)| row.status == status && !row.uncounted);
            of_status.map(|(_, row)| row.amount.amount).sum()
        };
        let (pending, refunded) = (order.settlement.refund_pending, order.refunded_total.amount);
        let paid = if order.is_paid() { TOTAL } else { 0 };
        if pending != sum(RefundStatus::Pending) {
            faults.push(format!("{pending} are pending, and not those asked for"));
        }
        if refunded != sum(RefundStatus::Succeeded) + self.by_hand || refunded + pending > paid {
            faults.push(format!(
                "{refunded} refunded, {pending} pending, {paid} paid"
            ));
        }
        faults
    }

    /// The refunds whose status is not that at their provider, once all is known of them.
    fn unsettled(&self) -> Vec<String> {
        let refunds = self.truth.iter().flat_map(|(_, payment)| &payment.refunds);
        let asked = refunds.filter_map(|made| Some((made.refund_id?, made.status)));
        let of_row = |(id, status)| {
            let row = refunds::find(&*self.tx, self.id, id).unwrap()?;
            (row.status != status).then(|| format!("{id} is {:?}, not {status:?}", row.status))
        };
        asked.filter_map(of_row).collect()
    }

    /// Has all refunds done at their providers, and takes in the truth about everything.
    fn settle_all(&mut self, at: Time) -> Result<(), Error> {
        for _ in 0..20 {
            self.make(RefundStatus::Succeeded, at)?;
        }
        for (_, payment) in &mut self.truth {
            let refunds = payment.refunds.iter_mut();
            let pending = refunds.filter(|made| made.status == RefundStatus::Pending);
            pending.for_each(|made| made.status = RefundStatus::Succeeded);
        }
        for (method, payment) in self.truth.clone() {
            if payment.status == AttemptStatus::Succeeded {
                self.taken.insert(payment.reference.clone());
            }
            applying::fetched(self.tx, self.ledger, method, &payment, at)?;
        }
        Ok(())
    }
}

fn run(tx: &mut Tx<'_>, ledger: &Ledger, steps: Vec<Step>) -> Vec<String> {
    let mut history = History::begin(tx, ledger);
    let shown = format!("{steps:?}");
    for (at, step) in (2..).zip(steps) {
        match history.take(step, Time(at)) {
            Ok(()) | Err(Error::Transition(_)) => {}
            Err(error) => return vec![error.to_string()],
        }
    }
    // Histories have any length, so each moment of one is the end of another.
    let mut faults = history.faults();
    if let Err(error) = history.settle_all(Time(1_000)) {
        faults.push(error.to_string());
    }
    faults.extend(history.faults());
    faults.extend(history.unsettled());
    if history.order().settlement.refund_pending > 0 {
        faults.push("a refund is pending after all".into());
    }
    faults
        .into_iter()
        .map(|fault| format!("{fault} after {shown}"))
        .collect()
}

/// Refunds an order, has the money come back to the provider, and applies what was read before.
fn apply_an_answer_of_before(tx: &mut Tx<'_>, ledger: &Ledger, _: Vec<()>) -> Vec<String> {
    let mut history = History::begin(tx, ledger);
    let confirm = OrderCommand::Confirm { reserved_until: None };
    history.command(confirm, Actor::Products, Time(1)).unwrap();
    history.open(true, Time(2)).unwrap();
    history.truth[0].1.status = AttemptStatus::Succeeded;
    history.settle_all(Time(3)).unwrap();
    history.take(Step::Ask(400), Time(4)).unwrap();
    history.settle_all(Time(5)).unwrap();
    assert_eq!(history.order().refunded_total.amount, 400);
    let (method, before) = history.truth[0].clone();
    history.truth[0].1.refunds[0].status = RefundStatus::Failed;
    history.settle_all(Time(6)).unwrap();
    applying::fetched(history.tx, ledger, method, &before, Time(7)).unwrap();
    assert_eq!(history.order().refunded_total.amount, 0);
    let mut faults = history.faults();
    faults.extend(history.unsettled());
    faults
}

#[test]
fn a_refund_that_came_back_stays_failed_whatever_is_read_later() {
    let faults = faults_of(vec![Vec::new()], apply_an_answer_of_before);
    assert!(faults.is_empty(), "{}", faults[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn money_is_conserved_whatever_providers_answer(
        histories in prop::collection::vec(prop::collection::vec(step(), 1..30), HISTORIES),
    ) {
        let faults = faults_of(histories, run);
        prop_assert!(faults.is_empty(), "{}", faults[0]);
    }
}
