//! `konbini-bench store-age`: size, opening time and speed of a store after a million
//! orders.
//!
//! Measured and reported, without a verdict. Orders are written as a shop writes them:
//! one transaction that places an order, two that change it, each with its event.
//! Opening is measured in a fresh process, whose memory is then the store's alone.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use indicatif::HumanBytes;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use store::{Options, Read, Record, Store, Table, Tx};

use crate::process::resident_bytes;
use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::table;

const CLIENTS: u64 = 64;
const CUSTOMERS: u64 = 50_000;
const LINES: u16 = 3;

/// The write rate is reported for each of these parts of the run.
const PARTS: usize = 10;

/// Reads of an idle store, enough for a steady p99.
const IDLE_READS: u32 = 100_000;

/// Between two reads beside the writers: a shop reads all the time, but not as
/// fast as it can.
const READ_EVERY: Duration = Duration::from_millis(1);

const ORDERS: Table<u64, Row> = Table::new("orders");
const ORDER_LINES: Table<(u64, u16), Row> = Table::new("order_lines");
const BY_CUSTOMER: Table<(u64, u64), ()> = Table::new("by_customer");
const LOG: Table<u64, Row> = Table::new("log");

/// Write orders until a store is old, then measure it.
#[derive(Parser)]
pub(crate) struct Args {
    /// How many orders are written, each with 3 lines, 3 events and 2 updates.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..))]
    orders: u64,
    /// The folder whose disk is used; its files are removed afterwards.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How much of the database sled may keep in memory, in MiB.
    #[arg(long, default_value_t = 8)]
    cache_mib: u64,
}

/// The process that opens the aged store; started by `store-age`.
#[derive(Parser)]
pub(crate) struct ReaderArgs {
    dir: PathBuf,
    #[arg(long)]
    orders: u64,
    #[arg(long)]
    cache_mib: u64,
}

/// A row of a given size; its content does not matter to the store.
#[derive(Serialize, Deserialize)]
struct Row {
    number: u64,
    status: u8,
    text: String,
}
impl Record for Row {}

impl Row {
    /// A row that is stored in about `bytes`, its key left aside.
    fn of(number: u64, status: u8, bytes: usize) -> Self {
        Self { number, status, text: "o".repeat(bytes - 34) }
    }
}

fn order_row(order: u64, status: u8) -> Row {
    Row::of(order, status, 600)
}

fn line_row(order: u64) -> Row {
    Row::of(order, 0, 150)
}

fn event_row(order: u64, status: u8) -> Row {
    Row::of(order, status, 350)
}

/// What the reader process found, as one line of JSON.
#[derive(Serialize, Deserialize)]
struct Opened {
    open_ms: u64,
    resident_bytes: u64,
    resident_after_reads_bytes: u64,
    reads: String,
}

/// Writes, measures, prints.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir_in(&args.dir)
        .with_context(|| format!("cannot make a folder in {}", args.dir.display()))?;
    let dir = folder.path().join("store");
    let store = Store::open(&dir, &options(args.cache_mib))?;
    let written = write(&store, args.orders)?;
    let resident = resident_bytes(&[std::process::id()])?;
    let closing = Instant::now();
    store.close();
    let close_ms = closing.elapsed().as_millis();

    let mut table = table::ReportTable::default();
    table
        .section(&format!(
            "After {} orders",
            indicatif::HumanCount(args.orders)
        ))
        .row("live bytes", HumanBytes(live_bytes(args.orders)?))
        .row("on disk", HumanBytes(folder_bytes(&dir)?))
        .row("resident while writing", HumanBytes(resident))
        .line(format_args!(
            "transactions: {:.0} a second, {}",
            written.all.rate(),
            written.all.percentiles()
        ))
        .line(format_args!(
            "orders a second, by tenth: {}",
            written.rates.join(" ")
        ))
        .line(format_args!(
            "reads while writing: {}",
            written.reads.percentiles()
        ))
        .row("closing", format!("{close_ms} ms"));
    for time in ["first", "second"] {
        let opened = open_elsewhere(&dir, &args)?;
        table
            .section(&format!("Opened in a fresh process, {time} time"))
            .row("time to open", format!("{} ms", opened.open_ms))
            .row("resident once open", HumanBytes(opened.resident_bytes))
            .row(
                "resident after the reads",
                HumanBytes(opened.resident_after_reads_bytes),
            )
            .line(format_args!(
                "{IDLE_READS} random reads, idle: {}",
                opened.reads
            ));
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store, reads from it, and prints what that took.
pub(crate) fn run_reader(args: ReaderArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let store = Store::open(&args.dir, &options(args.cache_mib))?;
    let open_ms = u64::try_from(start.elapsed().as_millis())?;
    let resident = resident_bytes(&[std::process::id()])?;
    let mut reads = Series::new()?;
    for _ in 0..IDLE_READS {
        read_one(&store, args.orders, &mut reads)?;
    }
    let opened = Opened {
        open_ms,
        resident_bytes: resident,
        resident_after_reads_bytes: resident_bytes(&[std::process::id()])?,
        reads: reads.percentiles(),
    };
    println!("{}", serde_json::to_string(&opened)?);
    store.close();
    Ok(ExitCode::SUCCESS)
}

fn open_elsewhere(dir: &Path, args: &Args) -> anyhow::Result<Opened> {
    let out = Command::new(std::env::current_exe()?)
        .arg("store-age-reader")
        .arg(dir)
        .arg(format!("--orders={}", args.orders))
        .arg(format!("--cache-mib={}", args.cache_mib))
        .output()?;
    let complaint = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success(),
        "the aged store was not opened: {complaint}"
    );
    serde_json::from_slice(&out.stdout).context("the reader process said something else")
}

fn options(cache_mib: u64) -> Options {
    Options { cache_bytes: cache_mib * 1024 * 1024, ..Options::default() }
}

/// Measurements taken while writing.
struct Written {
    all: Series,
    /// Orders a second in each part of the run.
    rates: Vec<String>,
    /// Of the last part only: the store is at its oldest.
    reads: Series,
}

fn write(store: &Store, orders: u64) -> anyhow::Result<Written> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let (next, last_seq) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let progress = PhaseProgress::count("orders", orders);
    let (mut all, mut reads, mut rates) = (Series::new()?, Series::new()?, Vec::new());
    for part in 1..=PARTS as u64 {
        let (until, begin) = (orders * part / PARTS as u64, Instant::now());
        let before = orders * (part - 1) / PARTS as u64;
        next.store(before, Ordering::Relaxed);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (store, progress) = (store.clone(), progress.clone());
            let (next, last_seq) = (next.clone(), last_seq.clone());
            let place = place_orders(store, next, until, last_seq, progress);
            clients.spawn_on(place, runtime.handle());
        }
        let done = runtime.block_on(async {
            let mut pooled = Series::new()?;
            let mut pause = tokio::time::interval(READ_EVERY);
            loop {
                tokio::select! {
                    client = clients.join_next() => match client {
                        Some(series) => pooled.add(&series.context("a client panicked")??),
                        None => return anyhow::Ok(pooled),
                    },
                    _ = pause.tick(), if part == PARTS as u64 => {
                        read_one(store, before, &mut reads)?;
                    }
                }
            }
        })?;
        all.add(&done);
        all.add_elapsed(begin.elapsed());
        let rate = (until - before) as f64 / begin.elapsed().as_secs_f64();
        rates.push(format!("{rate:.0}"));
    }
    progress.finish();
    Ok(Written { all, rates, reads })
}

/// Takes orders off the shared counter until all of this part are written.
async fn place_orders(
    store: Store,
    next: Arc<AtomicU64>,
    until: u64,
    last_seq: Arc<AtomicU64>,
    progress: PhaseProgress,
) -> anyhow::Result<Series> {
    let mut series = Series::new()?;
    loop {
        let order = next.fetch_add(1, Ordering::Relaxed);
        if order >= until {
            return Ok(series);
        }
        for status in 0..LIFE {
            let (start, seq) = (Instant::now(), last_seq.clone());
            store
                .write_when_free(move |tx| live_on(tx, order, status, &seq))
                .await?;
            series.record(start);
        }
        progress.step();
    }
}

/// Placed, then changed twice.
const LIFE: u8 = 3;

fn live_on(
    tx: &mut Tx<'_>,
    order: u64,
    status: u8,
    last_seq: &AtomicU64,
) -> Result<(), store::Error> {
    // Only the writer thread comes here, so the log's order is its own.
    let seq = last_seq.fetch_add(1, Ordering::Relaxed);
    tx.put(ORDERS, &order, &order_row(order, status))?;
    tx.put(LOG, &seq, &event_row(order, status))?;
    if status == 0 {
        let customer = order.wrapping_mul(0x9E37_79B9_7F4A_7C15) % CUSTOMERS;
        tx.put(BY_CUSTOMER, &(customer, order), &())?;
        for line in 0..LINES {
            tx.put(ORDER_LINES, &(order, line), &line_row(order))?;
        }
    }
    Ok(())
}

fn read_one(store: &Store, orders: u64, series: &mut Series) -> anyhow::Result<()> {
    let order = rand::rng().random_range(0..orders);
    let start = Instant::now();
    let row = store.get(ORDERS, &order)?;
    series.record(start);
    ensure!(
        row.is_some_and(|row| row.number == order),
        "order {order} is not there"
    );
    Ok(())
}

/// What an ideal file would hold: each row's last version, and its key.
fn live_bytes(orders: u64) -> anyhow::Result<u64> {
    let bytes = |row: Row| {
        store::encode(&row)
            .map_err(anyhow::Error::msg)
            .map(|row| row.len())
    };
    let (order, line, event) = (
        8 + bytes(order_row(orders, LIFE))?,
        10 + bytes(line_row(orders))?,
        8 + bytes(event_row(orders, LIFE))?,
    );
    let by_customer = 16 + store::encode(&()).map_err(anyhow::Error::msg)?.len();
    let each = order + usize::from(LINES) * line + usize::from(LIFE) * event + by_customer;
    Ok(orders * each as u64)
}

fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
