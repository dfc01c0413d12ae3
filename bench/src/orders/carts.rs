//! What an order through a cart costs, beside one that is placed at once.
//!
//! Every account makes a cart, then all carts are completed, then every account places an order
//! of the same content at once: three phases, again and again, each under its own count of the
//! shop's processor time. So the two ways are compared within one run, whatever else the host
//! does. **Invariant:** a run in which anything was answered other than 201 is an error.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::RngExt;
use serde::Serialize;

use crate::http1::Http1Connection;
use crate::process::Process;
use crate::series::Series;
use crate::table::ReportTable;

/// Accounts of one client: an account has one cart at a time, and a phase has to last.
pub(super) const ACCOUNTS_EACH: u16 = 8;
/// After a phase, for what follows of it in other services: they share a sync within 0.1 s.
const SETTLE: Duration = Duration::from_millis(300);
/// What an order through a cart may cost, over one that is placed at once.
const RATIO_MAX: f64 = 1.25;

/// Who orders what, and where.
pub(super) struct CartLoad {
    pub(super) address: SocketAddr,
    /// Those of each client.
    pub(super) tokens: Vec<Vec<String>>,
    pub(super) products: Vec<String>,
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
    shop: Duration,
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

struct CartClient<'a> {
    load: &'a CartLoad,
    wire: Http1Connection,
    accounts: Vec<CartAccount<'a>>,
}

struct CartAccount<'a> {
    token: &'a str,
    /// The product of this round.
    product: usize,
    /// The path of the open cart.
    cart: Option<String>,
}

impl CartLoad {
    /// Goes round through `warm_up` and through the `measured` time after it.
    pub(super) fn run(
        &self,
        shop: &[Process],
        warm_up: Duration,
        measured: Duration,
    ) -> anyhow::Result<CartsReport> {
        let mut clients = Vec::new();
        for tokens in &self.tokens {
            clients.push(CartClient::connect(self, tokens)?);
        }
        let run: u32 = rand::random();
        let mut costs = new_costs()?;
        let (begun, mut rounds, mut is_warm) = (Instant::now(), 0_u64, false);
        while begun.elapsed() < warm_up + measured || rounds == 0 {
            if !is_warm && begun.elapsed() >= warm_up {
                (costs, rounds, is_warm) = (new_costs()?, 0, true);
            }
            for client in &mut clients {
                client.choose();
            }
            for (phase, cost) in PHASES.into_iter().zip(&mut costs) {
                let key = format!("{run:08x}-{}-{rounds}-{is_warm}", phase.name());
                phase.run(&mut clients, &key, shop, cost)?;
            }
            rounds += 1;
        }
        let accounts = self.tokens.iter().map(|tokens| tokens.len() as u64).sum();
        Ok(CartsReport::new(accounts, rounds, &costs))
    }
}

fn new_costs() -> anyhow::Result<[PhaseCost; 3]> {
    let none = || anyhow::Ok(PhaseCost { latency: Series::new()?, shop: Duration::ZERO });
    Ok([none()?, none()?, none()?])
}

fn used(shop: &[Process]) -> anyhow::Result<Duration> {
    let used: Option<Duration> = shop.iter().map(|process| process.used()).sum();
    used.context("the shop's processor time cannot be read; name its processes with --pid")
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Complete => "complete",
            Self::Place => "place",
        }
    }

    fn run(
        self,
        clients: &mut [CartClient<'_>],
        key: &str,
        shop: &[Process],
        cost: &mut PhaseCost,
    ) -> anyhow::Result<()> {
        let before = used(shop)?;
        let latencies = std::thread::scope(|scope| {
            let work = clients.iter_mut().enumerate().map(|(number, client)| {
                let key = format!("{key}-{number}");
                scope.spawn(move || client.work(self, &key))
            });
            let work: Vec<_> = work.collect();
            let ended = work.into_iter().map(|client| {
                let ended = client.join();
                ended.map_err(|_| anyhow::anyhow!("a client panicked"))?
            });
            ended.collect::<anyhow::Result<Vec<Series>>>()
        })?;
        std::thread::sleep(SETTLE);
        cost.shop += used(shop)? - before;
        for latency in &latencies {
            cost.latency.add(latency);
        }
        Ok(())
    }
}

impl<'a> CartClient<'a> {
    fn connect(load: &'a CartLoad, tokens: &'a [String]) -> anyhow::Result<Self> {
        let wire = Http1Connection::connect(load.address).context("cannot connect to the shop")?;
        let account = |token: &'a String| CartAccount { token, product: 0, cart: None };
        Ok(Self { load, wire, accounts: tokens.iter().map(account).collect() })
    }

    /// Chooses the products of a round.
    fn choose(&mut self) {
        let mut rng = rand::rng();
        for account in &mut self.accounts {
            account.product = rng.random_range(0..self.load.products.len());
        }
    }

    /// Does the work of a phase for each account.
    fn work(&mut self, phase: Phase, key: &str) -> anyhow::Result<Series> {
        let mut latency = Series::new()?;
        for (number, account) in self.accounts.iter_mut().enumerate() {
            let product = &self.load.products[account.product];
            let items = format!(r#"{{"items":[{{"product_id":"{product}","quantity":1}}]}}"#);
            let (path, body) = match phase {
                Phase::Make => ("/v1/carts".to_owned(), items),
                Phase::Complete => {
                    let cart = account.cart.take().context("no cart was made")?;
                    (format!("{cart}/complete"), "{}".to_owned())
                }
                Phase::Place => ("/v1/orders".to_owned(), items),
            };
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\nidempotency-key: {key}-{number}\r\n\
                 content-length: {}\r\n\r\n{body}",
                self.load.address,
                account.token,
                body.len(),
            );
            let start = Instant::now();
            let answer: io::Result<_> = self.wire.exchange(request.as_bytes());
            let (status, location) = answer.with_context(|| format!("POST {path}"))?;
            latency.record(start);
            ensure!(status == 201, "POST {path} was answered {status}");
            if let Phase::Make = phase {
                account.cart = location;
            }
        }
        Ok(latency)
    }
}

impl CartsReport {
    fn new(accounts: u64, rounds: u64, costs: &[PhaseCost; 3]) -> Self {
        let orders = accounts * rounds;
        let us = |cost: &PhaseCost| cost.shop.as_secs_f64() * 1e6 / orders.max(1) as f64;
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
