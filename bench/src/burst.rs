//! `konbini-bench burst`: far more buyers than pieces, all at once.
//!
//! **Invariant:** a run in which anything was sold twice, or anything sellable was
//! refused, or anything was answered other than confirmed or out of stock, never
//! ends with exit code 0.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::client::{Credentials, NewProduct, ServerErrors, ShopClient, StaffLogin};
use crate::cost::Subject;
use crate::load::{LoadPlan, SendOptions};
use crate::replay::checkout::{OUT_OF_STOCK, REJECTED_LATER};
use crate::replay::invoice::{self, OrderPart, Skipped};
use crate::replay::{checkout, shelf};
use crate::series::QuantilesMs;
use crate::table::{self, ReportTable};

/// Let many buyers ask for few pieces of one product, all at once.
///
/// A product is made for the run, and accounts for the buyers, unless an earlier
/// run made them: a log-in costs the shop tens of milliseconds of a core, so
/// thousands of buyers take minutes to arrive. Exactly the pieces that are there
/// must be confirmed, everyone else must be refused as out of stock, and the
/// stock must show it. Exit code 1 otherwise.
///
/// With --invoices the buyers are those of real invoices: everyone who ever
/// ordered the item that was ordered most often, in order of time, each as many
/// pieces as then.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

    /// How many order, one piece each.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    buyers: u32,

    /// How many pieces there are [default: 500; of real invoices, half of what
    /// they ask for].
    #[arg(long)]
    pieces: Option<i64>,

    /// Orders under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// How many accounts the buyers share [default: each has their own].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    accounts: Option<u32>,

    /// Real invoices, .jsonl or .jsonl.xz (UCI "Online Retail").
    #[arg(long, conflicts_with_all = ["buyers", "accounts"])]
    invoices: Option<PathBuf>,

    #[command(flatten)]
    send: SendOptions,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct BurstReport {
    item: String,
    pieces: i64,
    asked_for: i64,
    orders: u64,
    customers: u64,
    confirmed_pieces: i64,
    /// In the smallest order that was refused.
    refused_least: Option<i64>,
    on_hand: i64,
    reserved: i64,
    /// Orders by answer.
    outcomes: BTreeMap<String, u64>,
    seconds: f64,
    orders_per_second: f64,
    latency_ms: QuantilesMs,
    server_errors: ServerErrors,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let run_id = format!("{:08x}", rand::random::<u32>());
    let (item, mut parts) = match &args.invoices {
        Some(file) => hottest(file)?,
        None => (
            "one piece each".to_owned(),
            crowd(args.buyers, args.accounts),
        ),
    };
    let asked_for: u64 = parts.iter().map(pieces_of).sum();
    let asked_for = i64::try_from(asked_for).context("too many pieces")?;
    let half = if args.invoices.is_some() { asked_for / 2 } else { 500 };
    let pieces = args.pieces.unwrap_or(half);
    let accounts = checkout::open_accounts(&client, &parts).await?;
    let product = put_on_sale(&client, &staff, &run_id, pieces).await?;
    for part in &mut parts {
        part.items[0].0 = product.clone();
    }
    let target = args.send.target(client.base())?;
    let mut plan = LoadPlan::closed(target, args.connections.into());
    plan.subject = Subject::of(client.base(), &[]);
    let (customers, one) = (accounts.len() as u64, parts[..1].to_vec());
    let (counts, measured) = checkout::place_all(&client, accounts, parts, plan, &run_id).await?;
    args.send.result.write(&[measured.result("burst", None)])?;
    let levels = shelf::levels(&client, &staff, &one, "reading stock").await?;
    let mut server_errors = client.faults();
    server_errors.extend(counts.faults.clone());
    let seconds = measured.lasting.as_secs_f64();
    let level = levels.get(&product).context("a product without stock")?;
    let of_product = counts.pieces.get(&product).copied().unwrap_or_default();
    let report = BurstReport {
        item,
        pieces,
        asked_for,
        orders: counts.orders(),
        customers,
        confirmed_pieces: of_product.confirmed,
        refused_least: of_product.refused_least,
        on_hand: level.on_hand,
        reserved: level.reserved,
        seconds,
        orders_per_second: counts.orders() as f64 / seconds,
        latency_ms: counts.latency.quantiles(),
        server_errors,
        outcomes: counts.outcomes,
    };
    table::print(args.json, &report, || report.table())?;
    let passed = report.verdicts().iter().all(|(kept, _)| *kept);
    Ok(table::exit(passed))
}

fn pieces_of(part: &OrderPart) -> u64 {
    part.items.iter().map(|(_, pieces)| pieces).sum()
}

/// So many orders of one piece, of whatever is put there later.
fn crowd(buyers: u32, accounts: Option<u32>) -> Vec<OrderPart> {
    let nothing: Arc<str> = Arc::from("");
    let order = |number: u32| OrderPart {
        invoice: format!("burst-{number}"),
        number: 1,
        customer: Some(format!("burst{}", number % accounts.unwrap_or(buyers))),
        items: vec![(nothing.clone(), 1)],
    };
    (0..buyers).map(order).collect()
}

/// The orders of the item that most orders hold, that item alone.
fn hottest(file: &Path) -> anyhow::Result<(String, Vec<OrderPart>)> {
    let mut skipped = Skipped::default();
    let invoices = invoice::read(file, usize::MAX, &mut skipped)?;
    let skus = invoice::skus(&invoices).into_iter();
    let products = skus.map(|sku| (sku.to_owned(), Arc::from(sku))).collect();
    let parts: Vec<OrderPart> = invoices
        .iter()
        .flat_map(|invoice| invoice::parts(invoice, &products, &mut skipped))
        .collect();
    let mut orders: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
    for (sku, _) in parts.iter().flat_map(|part| &part.items) {
        *orders.entry(sku).or_default() += 1;
    }
    let hottest = orders.into_iter().max_by_key(|(_, orders)| *orders);
    let (sku, _) = hottest.context("the invoices order nothing")?;
    let sku = sku.clone();
    let only = |mut part: OrderPart| {
        part.items.retain(|(item, _)| *item == sku);
        (!part.items.is_empty()).then_some(part)
    };
    let parts = parts.into_iter().filter_map(only).collect();
    Ok((format!("all orders of item {sku}"), parts))
}

async fn put_on_sale(
    client: &ShopClient,
    staff: &Credentials,
    run_id: &str,
    pieces: i64,
) -> anyhow::Result<Arc<str>> {
    ensure!(pieces > 0, "--pieces must be more than 0");
    let product = NewProduct {
        sku: format!("BURST-{run_id}"),
        title: format!("What everyone wants, run {run_id}"),
        price: 9_900,
        stock: pieces,
    };
    Ok(client.create_product(staff, product).await?.into())
}

impl BurstReport {
    fn verdicts(&self) -> [(bool, String); 4] {
        let Self { pieces, confirmed_pieces, on_hand, reserved, .. } = self;
        let left = pieces - confirmed_pieces;
        let refused = self.outcomes.get(OUT_OF_STOCK).copied().unwrap_or(0)
            + self.outcomes.get(REJECTED_LATER).copied().unwrap_or(0);
        let confirmed: u64 = ["201 confirmed", "202 then confirmed"]
            .iter()
            .filter_map(|outcome| self.outcomes.get(*outcome))
            .sum();
        let wanted = self.refused_least.unwrap_or(i64::MAX);
        let is_sold = if refused == 0 {
            self.asked_for <= *pieces
        } else {
            left < wanted
        };
        [
            (
                (0..=*pieces).contains(confirmed_pieces) && on_hand == pieces,
                format!("{confirmed_pieces} of {pieces} pieces confirmed, none oversold"),
            ),
            (
                reserved == confirmed_pieces,
                format!("stock shows {reserved} reserved of {on_hand}"),
            ),
            (
                is_sold,
                format!("{refused} orders refused as out of stock, none that could be sold"),
            ),
            (
                confirmed + refused == self.orders && self.server_errors.count == 0,
                format!(
                    "{confirmed} confirmed and {refused} refused are all {} orders",
                    self.orders
                ),
            ),
        ]
    }

    fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        table
            .section(&format!("Burst: {}", self.item))
            .count("orders", self.orders)
            .count("customers", self.customers)
            .row("pieces asked for", self.asked_for)
            .row("pieces there", self.pieces);
        table.section("Answers");
        for (outcome, &orders) in &self.outcomes {
            table.count(outcome, orders);
        }
        table
            .section("Pace")
            .row("seconds", format_args!("{:.2}", self.seconds))
            .row("orders/s", format_args!("{:.0}", self.orders_per_second));
        self.latency_ms.rows(&mut table);
        table.section("Verdict");
        for (kept, text) in self.verdicts() {
            table.verdict(kept, &text);
        }
        for fault in &self.server_errors.first {
            table.line(fault);
        }
        table
    }
}
