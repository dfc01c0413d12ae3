//! `konbini-bench store`: durable transactions compared with a raw append and `fdatasync`.
//!
//! Three kinds of work alternate in one folder, so that a slow phase of the disk affects
//! each of them: raw appends of a transaction's bytes, one client's transactions, and those
//! of 64 clients that share the writer's batches.
//!
//! **Invariant:** a run that misses a target ends with exit code 1.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use store::{Options, Read, Store, Table, Tx};

use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::table;

/// One client may wait this many times as long as a raw append and sync.
const P50_TIMES_RAW_MAX: f64 = 2.5;

/// The raw loop's file grows with each record; the journal's blocks are there already,
/// and a sync of those takes about half the time. Below this the raw loop was
/// disturbed, and a ratio to it says nothing.
const P50_TIMES_RAW_MIN: f64 = 0.4;

/// So many times as many transactions must 64 clients get done as one.
const SHARED_TIMES_ALONE_MIN: f64 = 4.0;

/// Where a raw sync takes less than this, in seconds, clients gain little by sharing it: the
/// processor bounds them.
const SHARED_SYNC_MIN: f64 = 0.0003;

const CLIENTS: u64 = 64;

/// With its key, version and length, a row of some 300 bytes.
const ROW_BYTES: usize = 285;

const LAST: Table<u16, u64> = Table::new("last");
const LOG: Table<u64, String> = Table::new("log");
const STATE: Table<u64, String> = Table::new("state");
const INDEX: Table<(u64, u64), String> = Table::new("index");
const ACCOUNT: Table<u64, String> = Table::new("account");

/// Measure durable transactions of the store beside a raw append and sync.
#[derive(Parser)]
pub(crate) struct Args {
    /// The folder whose disk is measured; its files are removed afterwards.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How often the three kinds of work take turns.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How long each of them works in its turn, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    turn_ms: u64,
}

/// Measures, prints, and fails when a target is missed.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir_in(&args.dir)
        .with_context(|| format!("cannot make a folder in {}", args.dir.display()))?;
    let mut raw_file = File::create(folder.path().join("raw"))?;
    let store = Store::open(&folder.path().join("store"), &Options::default())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let turn = Duration::from_millis(args.turn_ms);
    let bytes = transaction_bytes()?;

    let (mut raw, mut alone, mut shared) = (Series::new()?, Series::new()?, Series::new()?);
    let progress = PhaseProgress::count("rounds", args.rounds);
    for _ in 0..args.rounds {
        raw.record_raw_syncs(&mut raw_file, &vec![7; bytes], turn)?;
        runtime.block_on(transact(&store, 1, turn, &mut alone))?;
        runtime.block_on(transact(&store, CLIENTS, turn, &mut shared))?;
        progress.step();
    }
    progress.finish();
    store.close();
    report(folder.path(), bytes, &raw, &alone, &shared)
}

async fn transact(
    store: &Store,
    clients: u64,
    turn: Duration,
    series: &mut Series,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut working = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (store, mut mine) = (store.clone(), Series::new()?);
        working.spawn(async move {
            while begin.elapsed() < turn {
                let start = Instant::now();
                store.write(move |tx| transaction(tx, client)).await?;
                mine.record(start);
            }
            Ok::<_, store::Error>(mine)
        });
    }
    while let Some(mine) = working.join_next().await {
        series.add(&mine.context("a client panicked")??);
    }
    series.add_elapsed(begin.elapsed());
    Ok(())
}

/// Four rows of a made-up service and the sequence number they share.
fn transaction(tx: &mut Tx<'_>, client: u64) -> Result<(), store::Error> {
    let seq = tx.get(LAST, &0)?.unwrap_or(0) + 1;
    tx.put(LAST, &0, &seq)?;
    tx.put(LOG, &seq, &row())?;
    // Spread over a catalogue's worth of keys, as a service's rows are.
    tx.put(
        STATE,
        &(seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 20_000),
        &row(),
    )?;
    tx.put(INDEX, &(client, seq), &row())?;
    tx.put(ACCOUNT, &(seq % 1_000), &row())
}

fn row() -> String {
    "r".repeat(ROW_BYTES)
}

/// What one transaction stores, keys included.
fn transaction_bytes() -> anyhow::Result<usize> {
    let value = store::encode(&row()).map_err(anyhow::Error::msg)?.len();
    let keys = 8 + 8 + 16 + 8;
    let last = 2 + store::encode(&u64::MAX).map_err(anyhow::Error::msg)?.len();
    Ok(4 * value + keys + last)
}

fn report(
    folder: &Path,
    bytes: usize,
    raw: &Series,
    alone: &Series,
    shared: &Series,
) -> anyhow::Result<ExitCode> {
    let mut table = table::ReportTable::default();
    table.section(&format!("Durable writes of {bytes} bytes"));
    for (what, series) in [
        ("raw append and fdatasync", raw),
        ("transactions, 1 client", alone),
        ("transactions, 64 clients", shared),
    ] {
        let rate = format!("{:.0} a second", series.rate());
        table.line(format_args!(
            "{what:<26} {rate:>18}   {}",
            series.percentiles()
        ));
    }
    let p50 = |series: &Series| series.quantile(0.5).as_secs_f64();
    let waits = p50(alone) / p50(raw).max(f64::EPSILON);
    let gains = shared.rate() / alone.rate().max(f64::EPSILON);
    let comparable = waits >= P50_TIMES_RAW_MIN;
    let quick = comparable && waits <= P50_TIMES_RAW_MAX;
    let is_sync_slow = p50(raw) >= SHARED_SYNC_MIN;
    let scales = !is_sync_slow || gains >= SHARED_TIMES_ALONE_MIN;
    let comparison = format!("one client's p50 is {waits:.2} times the raw p50");
    let comparison = if comparable {
        format!("{comparison} (at most {P50_TIMES_RAW_MAX})")
    } else {
        format!("{comparison}: the raw loop was disturbed, measure again")
    };
    table.verdict(quick, &comparison);
    let comparison = format!("64 clients do {gains:.1} times what one does");
    if is_sync_slow {
        let bound = format!("{comparison} (at least {SHARED_TIMES_ALONE_MIN})");
        table.verdict(scales, &bound);
    } else {
        table.line(format_args!(
            "{comparison}; syncs are too fast here to judge that"
        ));
    }
    table.line(format_args!("measured in {}", folder.display()));
    table.print()?;
    Ok(table::exit(quick && scales))
}
