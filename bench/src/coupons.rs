//! `konbini-bench coupons`: far more buyers than a code has uses, all at once, while orders and
//! products are killed.
//!
//! Two of three buyers place through a cart, one of them without an account, and some of those
//! that got the code cancel, which gives its use back. **Invariant:** a run in which the code was not redeemed by exactly as many
//! orders as its cap allows, or in which a buyer got no order, or two, never ends with exit code 0.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::RngExt;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use testkit::shop::{Form, Shop};
use tokio::task::JoinSet;

use crate::client::ShopClient;
use crate::hardware::OwnShopArgs;
use crate::payments::provider::WebhookSecrets;
use crate::progress::PhaseProgress;
use crate::table::{self, ReportTable};
use crate::torture::cart;
use crate::torture::operation::{Action, Operation, OrderStep, OrderedBasket, OrderedProduct};
use crate::torture::setup::{PASSWORD, STAFF, STAFF_EMAIL, ShopExtent, TortureSetup};
use crate::torture::workload::Workload;

/// The processes that are killed, in turn.
const VICTIMS: [&[&str]; 3] = [&["orders"], &["products"], &["orders", "products"]];
/// From the last decided order to the kill, so that it comes anywhere.
const DELAY_MS: std::ops::Range<u64> = 0..60;
/// Of the orders with the code in the first half, so many per cent are cancelled.
const CANCELLED_PERCENT: u32 = 20;
/// What settles by itself does so by then.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Let many buyers redeem a code that few can have, all at once.
///
/// Starts the real binary in a temporary folder, as five processes, and kills orders and
/// products with SIGKILL meanwhile. Everyone orders with the code, two of three through a
/// cart, and one of these without an account; it takes a tenth off for as many orders as its cap says, and no more. Exit code 1
/// unless exactly so many orders have it in the end, and the code's own count agrees.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many orders the code is for.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    cap: u32,

    /// How many order with it, one piece each.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    buyers: u32,

    /// How many accounts the buyers share, each with one order under way: a log-in costs the
    /// shop tens of milliseconds of a core.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    accounts: u16,

    /// How often orders, products or both are killed.
    #[arg(long, default_value_t = 6)]
    kills: u32,

    #[command(flatten)]
    own_shop: OwnShopArgs,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct CouponsReport {
    cap: u64,
    buyers: u64,
    kills: u32,
    /// Placings by how they were answered.
    outcomes: BTreeMap<String, u64>,
    cancelled: u64,
    /// Orders that the shop shows.
    orders: u64,
    /// Those that have the code and count as a sale.
    redeemed: u64,
    /// The code's own count.
    uses: u64,
    seconds: f64,
    faults: Vec<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { cap, buyers, .. } = args;
    ensure!(
        cap <= buyers / 2,
        "--buyers must be twice --cap at least: some cancel, and others take their place"
    );
    let mut shop = args.own_shop.shop()?;
    shop.add_user(STAFF_EMAIL, "admin", PASSWORD)?;
    let secrets = WebhookSecrets::new();
    shop.configure(&secrets.settings())?;
    let decision = redeem(&mut shop, &args, secrets).await;
    let is_fine = decision.as_ref().is_ok_and(CouponsReport::passed);
    if !is_fine {
        let folder = shop.keep();
        anstream::eprintln!("the shop's data and logs are in {}", folder.display());
    }
    let report = decision?;
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(is_fine))
}

async fn redeem(
    shop: &mut Shop,
    args: &Args,
    secrets: WebhookSecrets,
) -> anyhow::Result<CouponsReport> {
    shop.open(Form::Run)?;
    shop.ready().await?;
    let client = ShopClient::new(shop.url("/"))?;
    let extent = ShopExtent {
        buyers: args.accounts.into(),
        pieces: args.buyers.into(),
        caps: vec![args.cap.into()],
    };
    let setup = TortureSetup::open(&client, extent, secrets).await?;
    let workload = Arc::new(Workload::new(setup));
    let started = Instant::now();
    let (next, cancelled) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut accounts = JoinSet::new();
    for who in 1..=usize::from(args.accounts) {
        let (workload, next, cancelled) = (workload.clone(), next.clone(), cancelled.clone());
        let buyers = args.buyers;
        accounts.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= buyers {
                    return anyhow::Ok(());
                }
                let turn = if number < buyers / 2 { Turn::Early } else { Turn::Late };
                if buy(&workload, who, number, turn).await? == Some(Cancelled) {
                    cancelled.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    kill(shop, args, &workload).await?;
    for account in accounts.join_all().await {
        account?;
    }
    let seconds = started.elapsed().as_secs_f64();
    shop.ready().await?;
    let (orders, uses) = audit(&client, &workload.setup).await?;
    shop.check()?;
    let mut faults = workload.faults();
    faults.extend(
        shop.panicked()
            .iter()
            .map(|name| format!("{name} panicked")),
    );
    let mut outcomes = BTreeMap::new();
    for entry in workload.decided() {
        let (action, status) = (&entry.operation.action, entry.decision.status);
        if action.is_placing() {
            *outcomes
                .entry(format!("{} {status}", action.name()))
                .or_default() += 1;
        }
    }
    Ok(CouponsReport {
        cap: args.cap.into(),
        buyers: args.buyers.into(),
        kills: args.kills,
        outcomes,
        cancelled: cancelled.load(Ordering::Relaxed).into(),
        orders: orders.len() as u64,
        redeemed: orders.iter().filter(|order| order.redeems()).count() as u64,
        uses,
        seconds,
        faults,
    })
}

/// The use of the code was given back.
#[derive(PartialEq, Eq)]
struct Cancelled;

/// Whether enough buyers come later to redeem what one gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Early,
    Late,
}

/// Places one order with the code; some that got it, and come early enough for others, cancel.
async fn buy(
    workload: &Workload,
    who: usize,
    number: u32,
    turn: Turn,
) -> anyhow::Result<Option<Cancelled>> {
    let product = number as usize % workload.setup.products.len();
    let lines = vec![OrderedProduct { product, pieces: 1 }];
    let basket = OrderedBasket { lines, code: Some(0) };
    let setup = &workload.setup;
    let action = match number % 3 {
        0 => Action::Place(basket),
        1 => Action::Complete(cart::fill(setup, who, &basket).await?, basket),
        _ => Action::Complete(cart::fill_as_guest(setup, &basket).await?, basket),
    };
    let is_guest = number % 3 == 2;
    let operation = Operation { who, key: format!("coupon-{number}"), action };
    let Some(decision) = workload.perform(operation).await else {
        return Ok(None);
    };
    let Some(id) = decision.order().filter(|_| decision.is_success()) else {
        return Ok(None);
    };
    let order: CouponOrder =
        serde_json::from_slice(&decision.body).context("a placed order without codes")?;
    let gives_back =
        turn == Turn::Early && !is_guest && rand::rng().random_range(0..100) < CANCELLED_PERCENT;
    if !order.redeems() || !gives_back {
        return Ok(None);
    }
    let action = Action::OrderStep(id, OrderStep::Cancel);
    let cancel = Operation { who, key: format!("back-{number}"), action };
    let decision = workload.perform(cancel).await;
    Ok(decision
        .filter(|decision| decision.is_success())
        .map(|_| Cancelled))
}

/// Kills the processes that place an order, in the middle of work.
async fn kill(shop: &mut Shop, args: &Args, workload: &Workload) -> anyhow::Result<()> {
    let progress = PhaseProgress::count("killing", args.kills.into());
    for (kill, victims) in (0..args.kills).zip(VICTIMS.iter().cycle()) {
        workload
            .progress((args.buyers / (args.kills + 1)).into())
            .await?;
        let delay = rand::rng().random_range(DELAY_MS);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        shop.kill(victims)?;
        // As long as a request waits for stock, now and then.
        let down = if kill % 3 == 2 { 2_500 } else { 20 };
        tokio::time::sleep(Duration::from_millis(down)).await;
        for victim in *victims {
            shop.start(victim)?;
        }
        progress.step();
    }
    progress.finish();
    Ok(())
}

#[derive(Deserialize)]
struct CouponOrder {
    status: String,
    codes: Vec<CouponCode>,
}

#[derive(Deserialize)]
struct CouponCode {
    applied: bool,
}

#[derive(Deserialize)]
struct Coupon {
    uses: u64,
}

impl CouponOrder {
    /// Whether it uses the code.
    fn redeems(&self) -> bool {
        let is_sale = !matches!(self.status.as_str(), "rejected" | "cancelled");
        is_sale && self.codes.iter().any(|code| code.applied)
    }
}

/// Every order, once none is pending, and the code's own count.
async fn audit(
    client: &ShopClient,
    setup: &TortureSetup,
) -> anyhow::Result<(Vec<CouponOrder>, u64)> {
    let staff = &setup.people[STAFF];
    let deadline = Instant::now() + SETTLE;
    loop {
        let orders: Vec<CouponOrder> = client.all(staff, &["v1", "orders"]).await?;
        let is_settled = orders.iter().all(|order| order.status != "pending");
        if is_settled || Instant::now() >= deadline {
            let path = ["v1", "promotions", &setup.codes[0].promotion];
            let answer = client.send_as(staff, client.request(Method::GET, &path));
            let coupon: Coupon = answer.await?.expect(StatusCode::OK, "reading the code")?;
            return Ok((orders, coupon.uses));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl CouponsReport {
    fn passed(&self) -> bool {
        self.verdicts().iter().all(|(kept, _)| *kept)
    }

    fn verdicts(&self) -> [(bool, String); 4] {
        let Self { cap, buyers, orders, redeemed, uses, .. } = self;
        let decided: u64 = self.outcomes.values().sum();
        [
            (
                redeemed == cap,
                format!("{redeemed} orders redeemed the code, of {cap} that can"),
            ),
            (uses == redeemed, format!("the code counts {uses} uses")),
            (
                decided == *buyers && orders == buyers,
                format!("{buyers} buyers were answered {decided} times and have {orders} orders"),
            ),
            (
                self.faults.is_empty(),
                format!("{} things were seen amiss on the way", self.faults.len()),
            ),
        ]
    }

    fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        table
            .section("A code that few can have")
            .count("buyers", self.buyers)
            .count("uses of the code", self.cap)
            .count("kills of orders, products or both", self.kills.into())
            .count("orders with the code that were cancelled", self.cancelled)
            .row("seconds", format_args!("{:.1}", self.seconds));
        table.section("Answers");
        for (outcome, &orders) in &self.outcomes {
            table.count(outcome, orders);
        }
        table.section("Verdict");
        for (kept, text) in self.verdicts() {
            table.verdict(kept, &text);
        }
        for fault in self.faults.iter().take(10) {
            table.line(fault);
        }
        table
    }
}
