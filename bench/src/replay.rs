//! `konbini-bench replay`: real invoices, placed as orders of their customers.
//!
//! Phases, each bounded: read the invoices, find their products, apply the
//! rules, log the customers in, note the stock, place the orders, audit the
//! stock. Only placing is timed. **Invariant:** a run that saw a 5xx or stock
//! that does not add up never ends with exit code 0.

pub(crate) mod checkout;
pub(crate) mod invoice;
pub(crate) mod report;
pub(crate) mod shelf;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use self::invoice::Skipped;
use self::report::ReplayReport;
use self::shelf::StockAudit;
use crate::client::StaffLogin;
use crate::cost::Subject;
use crate::load::{self, Arrivals, LoadPlan, SendOptions};
use crate::table;

/// Replay real invoices as orders of their customers.
///
/// FILE holds invoices as JSON Lines in time order (UCI "Online Retail"), and
/// may be compressed with xz. Import its products first. Rules: repeated SKUs
/// of an invoice are added up; cancellations, adjustments, lines of no pieces,
/// without a product or above 1,000 pieces are skipped and counted; an invoice
/// of more than 100 lines becomes several orders; an invoice without a customer
/// is the guest's. Orders start in time order.
///
/// Afterwards the stock of every product ordered is audited: nothing is
/// oversold, and the units reserved are those confirmed. So no one else should
/// order meanwhile. Exit code 1 on any 5xx, or when the audit finds fault.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The invoices, .jsonl or .jsonl.xz.
    file: PathBuf,

    #[command(flatten)]
    access: StaffLogin,

    /// How many invoices to replay, the earliest first.
    #[arg(long, default_value_t = 5_000)]
    invoices: u32,

    /// Place each order when its invoice was, so many times as fast, whether or not those
    /// before are answered [default: as fast as they are answered].
    #[arg(long, value_parser = load::rate)]
    speed: Option<f64>,

    /// Orders under way at most.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// Part of every order's Idempotency-Key: a run with the id of an earlier
    /// run places no order twice. Random unless given.
    #[arg(long, value_parser = run_id)]
    run_id: Option<String>,

    #[command(flatten)]
    send: SendOptions,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn run_id(given: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(given.to_owned())
    } else {
        Err("a run id is 1 to 64 visible ASCII characters".to_owned())
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let run_id = args
        .run_id
        .unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
    anstream::eprintln!("run {run_id}");

    let mut skipped = Skipped::default();
    let invoices = invoice::read(&args.file, args.invoices as usize, &mut skipped)?;
    let products = shelf::products(&client, invoice::skus(&invoices)).await?;
    ensure!(
        !products.is_empty(),
        "the shop sells none of the products on these invoices; import them first"
    );
    let (mut parts, mut offsets) = (Vec::new(), Vec::new());
    let first = invoices
        .first()
        .context("the file has no invoices")?
        .placed_at()?;
    for invoice in &invoices {
        let of_invoice = invoice::parts(invoice, &products, &mut skipped);
        let offset = invoice.placed_at()?.since(first);
        offsets.extend(std::iter::repeat_n(offset, of_invoice.len()));
        parts.extend(of_invoice);
    }
    let accounts = checkout::open_accounts(&client, &parts).await?;
    let customers = accounts.len() as u64;
    let before = shelf::levels(&client, &staff, &parts, "noting stock").await?;
    let target = args.send.target(client.base())?;
    let mut plan = LoadPlan::closed(target, args.concurrency.into());
    if let Some(speed) = args.speed {
        plan.arrivals = Arrivals::Replay { offsets: offsets.into(), speed };
    }
    plan.subject = Subject::of(client.base(), &[]);
    // The audit looks at what was ordered, which the load takes with it.
    let ordered = parts.clone();
    let (counts, measured) = checkout::place_all(&client, accounts, parts, plan, &run_id).await?;
    args.send.result.write(&[measured.result("replay", None)])?;
    let after = shelf::levels(&client, &staff, &ordered, "auditing stock").await?;

    let mut server_errors = client.faults();
    server_errors.extend(counts.faults.clone());
    let seconds = measured.lasting.as_secs_f64();
    let report = ReplayReport {
        run_id,
        invoices: invoices.len() as u64,
        skipped,
        customers,
        orders: counts.orders(),
        confirmed: counts.confirmed,
        unknown: counts.unknown,
        replayed: counts.replayed,
        seconds,
        orders_per_second: if seconds > 0.0 {
            counts.orders() as f64 / seconds
        } else {
            0.0
        },
        latency_ms: counts.latency.quantiles(),
        missed_starts: measured.client.missed_starts,
        server_errors,
        audit: StockAudit::new(&before, &after, &counts)?,
        outcomes: counts.outcomes,
    };
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(report.passed()))
}
