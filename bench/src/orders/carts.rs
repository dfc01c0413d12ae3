//! What an order through a cart costs, beside one that is placed at once.
//!
//! Every account makes a cart, then all carts are completed, then every account places an order
//! of the same content at once: three phases, again and again, each under its own count of the
//! shop's processor time. So the two ways are compared within one run, whatever else the host
//! does. **Invariant:** a run in which anything was answered other than 201 is an error.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::RngExt;
use serde::Serialize;

use crate::load::{Arrivals, Items, Judgement, LoadOperation, LoadPlan, LoadRequest, Requests};
use crate::series::Series;
use crate::shop::AccountTokens;
use crate::table::ReportTable;

/// Accounts of one client: an account has one cart at a time, and a phase has to last.
pub(super) const ACCOUNTS_EACH: u16 = 8;
/// After a phase, for what follows of it in other services: they share a sync within 0.1 s.
const SETTLE: Duration = Duration::from_millis(300);
/// What an order through a cart may cost, over one that is placed at once.
const RATIO_MAX: f64 = 1.25;

/// Who orders what: the requests of one phase at a time.
pub(super) struct CartLoad {
    tokens: AccountTokens,
    accounts: Vec<CartAccount>,
    products: Vec<String>,
    phase: Phase,
    /// The beginning of this phase's keys.
    key: String,
    /// The next account of this phase, and the one that each worker acts for.
    next: usize,
    acting: Vec<usize>,
    costs: [PhaseCost; 3],
}

#[derive(Default)]
struct CartAccount {
    /// The product of this round.
    product: usize,
    /// The path of the open cart.
    cart: Option<String>,
}

/// The phases of a round.
#[derive(Clone, Copy)]
enum Phase {
    Make,
    Complete,
    Place,
}

const PHASES: [Phase; 3] = [Phase::Make, Phase::Complete, Phase::Place];

/// What a phase cost over all rounds.
struct PhaseCost {
    latency: Series,
    shop_us: u64,
}

/// Everything that is printed. Processor time in microseconds, latencies in milliseconds.
#[derive(Serialize)]
pub(super) struct CartsReport {
    accounts: u64,
    rounds: u64,
    orders_each_way: u64,
    making_us: f64,
    completing_us: f64,
    placing_us: f64,
    completing_p50_ms: f64,
    placing_p50_ms: f64,
    /// Of an order through a cart over one that is placed at once.
    ratio: f64,
}

impl CartLoad {
    pub(super) fn new(tokens: AccountTokens, products: Vec<String>) -> anyhow::Result<Self> {
        Ok(Self {
            accounts: (0..tokens.len()).map(|_| CartAccount::default()).collect(),
            tokens,
            products,
            phase: Phase::Make,
            key: String::new(),
            next: 0,
            acting: Vec::new(),
            costs: new_costs()?,
        })
    }

    /// Goes round through the warm-up and through the measured time after it.
    pub(super) async fn run(mut self, plan: LoadPlan) -> anyhow::Result<CartsReport> {
        let (warm_up, measured) = (plan.warm_up, plan.measured.unwrap_or_default());
        let phase_plan = LoadPlan {
            arrivals: Arrivals::Closed,
            warm_up: Duration::ZERO,
            measured: None,
            settle: SETTLE,
            ..plan
        };
        self.acting = vec![0; phase_plan.workers];
        let run: u32 = rand::random();
        let (begun, mut rounds, mut is_warm) = (Instant::now(), 0_u64, false);
        while begun.elapsed() < warm_up + measured || rounds == 0 {
            if !is_warm && begun.elapsed() >= warm_up {
                (self.costs, rounds, is_warm) = (new_costs()?, 0, true);
            }
            let mut rng = rand::rng();
            for account in &mut self.accounts {
                account.product = rng.random_range(0..self.products.len());
            }
            for phase in PHASES {
                (self.phase, self.next) = (phase, 0);
                self.key = format!("{run:08x}-{}-{rounds}-{is_warm}", phase.name());
                let (load, measured) = phase_plan.clone().run(self).await?;
                self = load;
                measured.ensure_expected(phase.name())?;
                let used = measured.shop_processor_us();
                self.costs[phase as usize].shop_us += used.context(
                    "the shop's processor time cannot be read; name its processes with --pid",
                )?;
            }
            rounds += 1;
        }
        Ok(CartsReport::new(
            self.accounts.len() as u64,
            rounds,
            &self.costs,
        ))
    }
}

fn new_costs() -> anyhow::Result<[PhaseCost; 3]> {
    let none = || anyhow::Ok(PhaseCost { latency: Series::new()?, shop_us: 0 });
    Ok([none()?, none()?, none()?])
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Complete => "complete",
            Self::Place => "place",
        }
    }
}

impl Requests for CartLoad {
    fn kinds(&self) -> Vec<String> {
        vec![self.phase.name().to_owned()]
    }

    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let number = self.next;
        let account = self.accounts.get_mut(number)?;
        (self.next, self.acting[worker]) = (number + 1, number);
        let items = [(self.products[account.product].as_str(), 1)];
        match self.phase {
            Phase::Make => request.post("/v1/carts", format_args!("{}", Items(&items))),
            Phase::Complete => {
                // An account whose cart was not made posts to the root, which fails the run.
                let cart = account.cart.take().unwrap_or_default();
                request.post(&format!("{cart}/complete"), format_args!("{{}}"))
            }
            Phase::Place => request.post("/v1/orders", format_args!("{}", Items(&items))),
        };
        request.bearer(&self.tokens.get(number));
        let key = write!(request.fields, "idempotency-key: {}-{number}\r\n", self.key);
        key.expect("a String takes any text");
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let latency = &mut self.costs[self.phase as usize].latency;
        latency.record_lasting(operation.response_time);
        if let (Phase::Make, Ok(response)) = (self.phase, &operation.response) {
            let account = self.acting[operation.worker];
            self.accounts[account].cart = response.location.map(str::to_owned);
        }
        Judgement::of(operation.status() == 201)
    }
}

impl CartsReport {
    fn new(accounts: u64, rounds: u64, costs: &[PhaseCost; 3]) -> Self {
        let orders = accounts * rounds;
        let us = |cost: &PhaseCost| cost.shop_us as f64 / orders.max(1) as f64;
        let p50 = |cost: &PhaseCost| cost.latency.quantile(0.5).as_secs_f64() * 1e3;
        let [making, completing, placing] = costs;
        Self {
            accounts,
            rounds,
            orders_each_way: orders,
            making_us: us(making),
            completing_us: us(completing),
            placing_us: us(placing),
            completing_p50_ms: p50(completing),
            placing_p50_ms: p50(placing),
            ratio: us(completing) / us(placing).max(f64::EPSILON),
        }
    }

    /// An order through a cart costs little more than one that is placed at once.
    pub(super) fn passed(&self) -> bool {
        self.ratio <= RATIO_MAX
    }

    pub(super) fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        table
            .section("Orders through carts, and orders placed at once")
            .count("accounts, each with a cart", self.accounts)
            .count("rounds", self.rounds)
            .count("orders each way", self.orders_each_way);
        for (what, figure) in [
            ("processor time of making a cart, shop, µs", self.making_us),
            (
                "of completing it, with all that follows, µs",
                self.completing_us,
            ),
            ("of placing the same at once, µs", self.placing_us),
        ] {
            table.row(what, format_args!("{figure:.0}"));
        }
        for (what, figure) in [
            ("completing, p50 ms", self.completing_p50_ms),
            ("placing, p50 ms", self.placing_p50_ms),
        ] {
            table.row(what, format_args!("{figure:.2}"));
        }
        table.section("Verdict");
        let text = format!(
            "completing costs {:.2} of placing, at most {RATIO_MAX}",
            self.ratio
        );
        table.verdict(self.passed(), &text);
        table
    }
}
