//! `konbini-bench slow`: clients that take all the time there is, and what
//! everybody else feels of them.
//!
//! Half of the slow ones never finish a request's head, half never finish its body,
//! a byte a second each; whoever is cut comes back at once, so there are always as
//! many. Streams that hear nothing are open beside them. Others read at a steady
//! pace meanwhile and in the calm before. A read counts from the moment it was due,
//! so a shop that stalls cannot hide it. **Invariant:** a run in which a read failed
//! or was slow at p99, or in which a slow client was not cut, never ends with exit
//! code 0.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::{join_all, try_join_all};
use reqwest::Url;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use crate::client::{Access, Account, Client};
use crate::series::Series;
use crate::table::{self, Table};
use crate::telling::{STREAMS_EACH, log_in, open_idle};

/// What a read may take at p99 whoever is slow beside it.
const P99_MAX: Duration = Duration::from_millis(20);
/// Between two reads of one kind.
const READ_EVERY: Duration = Duration::from_millis(10);
/// Between two bytes of a slow client.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// A head and the beginning of a body, for whoever comes with a slow one.
const HEAD: &str = "GET /v1/products HTTP/1.1\r\nHost: shop\r\nX-Slow: ";
const BODY: &str = "POST /v1/sessions HTTP/1.1\r\nHost: shop\r\n\
                    Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
/// The reader's account.
const PASSWORD: &str = "reads on while others dawdle";

/// Keep clients of a byte a second and idle streams open, and measure how the shop
/// serves everyone else.
///
/// Exit code 1 when reads fail or take more than 20 ms at p99, or when slow clients
/// are not cut. A run has to last longer than the shop's timeout, 10 s unless
/// configured.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,

    /// Clients that send a byte a second, half of them in the head.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=3000))]
    clients: u32,

    /// Streams of notifications that hear nothing.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(..=3000))]
    streams: u32,

    /// How long it lasts, and the calm that it is compared with.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// What others read meanwhile.
const READS: [(&str, &[&str]); 2] = [
    ("products", &["v1", "products"]),
    ("users/me", &["v1", "users", "me"]),
];

/// How one phase went: latencies in the order of [`READS`].
struct Phase {
    reads: Vec<Series>,
    failed: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { access, clients, streams, seconds } = args;
    let (client, _staff) = access.open().await?;
    let reader = Account::new("reader@slow.example".into(), PASSWORD.into());
    client.register(&reader, "Reader").await?;
    client.renew(&reader, "").await?;
    let accounts = (streams as usize).div_ceil(STREAMS_EACH);
    let waiting = log_in(&client, "dawdler", accounts).await?;
    let (readers, lasting) = (client.candid()?, Duration::from_secs(seconds));

    let calm = phase(&readers, &reader, lasting).await?;
    let open = open_idle(&client, &waiting, streams as usize).await?;
    let (is_over, cut) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = address(client.base())?;
    let dawdling = (0..clients).map(|number| {
        let start = if number % 2 == 0 { HEAD } else { BODY };
        dawdle(&address, start, &is_over, &cut)
    });
    let measured = async {
        let slow = phase(&readers, &reader, lasting).await;
        is_over.store(true, Ordering::Relaxed);
        slow
    };
    let (slow, came) = tokio::join!(measured, join_all(dawdling));
    let (slow, cut) = (slow?, cut.into_inner());
    drop(open);
    let came: u64 = came.into_iter().sum();
    ensure!(
        clients == 0 || came >= u64::from(clients),
        "not every slow client could connect"
    );

    let mut table = Table::default();
    table
        .section(&format!(
            "{clients} clients of a byte a second for {seconds} s, {streams} idle streams"
        ))
        .count("slow connections", came)
        .count("of them cut by the shop", cut)
        .section("Reads meanwhile, and in the calm before");
    for ((read, _), (calm, slow)) in READS.iter().zip(calm.reads.iter().zip(&slow.reads)) {
        let (calm, slow) = (calm.percentiles(), slow.percentiles());
        table.line(format_args!("{read}: {slow} (calm: {calm})"));
    }
    let late = slow
        .reads
        .iter()
        .filter(|read| read.quantile(0.99) > P99_MAX)
        .count();
    let failed = calm.failed + slow.failed;
    let is_cut = clients == 0 || cut > 0;
    table
        .section("Verdict")
        .verdict(
            late == 0,
            &format!(
                "{late} of {} reads took more than {} ms at p99",
                READS.len(),
                P99_MAX.as_millis()
            ),
        )
        .verdict(failed == 0, &format!("{failed} reads failed"))
        .verdict(is_cut, "slow clients are cut")
        .print()?;
    Ok(table::exit(late == 0 && failed == 0 && is_cut))
}

fn address(base: &Url) -> anyhow::Result<String> {
    let host = base.host_str().context("the shop's address has no host")?;
    let port = base.port_or_known_default().unwrap_or(80);
    Ok(format!("{host}:{port}"))
}

/// Sends a byte a second until the run is over, coming back whenever it is cut;
/// returns how often it came.
async fn dawdle(address: &str, start: &str, is_over: &AtomicBool, cut: &AtomicU64) -> u64 {
    let mut came = 0;
    let mut pace = tokio::time::interval(BYTE_EVERY);
    while !is_over.load(Ordering::Relaxed) {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        came += 1;
        let mut sent = stream.write_all(start.as_bytes()).await;
        while sent.is_ok() && !is_over.load(Ordering::Relaxed) {
            pace.tick().await;
            sent = stream.write_all(b"x").await;
        }
        cut.fetch_add(u64::from(sent.is_err()), Ordering::Relaxed);
    }
    came
}

/// Reads of every kind for `lasting`.
async fn phase(client: &Client, reader: &Account, lasting: Duration) -> anyhow::Result<Phase> {
    let until = Instant::now() + lasting;
    let reads = READS
        .iter()
        .map(|(_, path)| read(client, reader, path, until));
    let reads = try_join_all(reads).await?;
    let failed = reads.iter().map(|(_, failed)| failed).sum();
    let reads = reads.into_iter().map(|(series, _)| series).collect();
    Ok(Phase { reads, failed })
}

/// Reads one path at a steady pace: latencies from when each was due, and how many
/// failed.
async fn read(
    client: &Client,
    reader: &Account,
    path: &[&str],
    until: Instant,
) -> anyhow::Result<(Series, u64)> {
    let (mut series, mut failed) = (Series::new()?, 0);
    let mut due = tokio::time::interval(READ_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while Instant::now() < until {
        let due = due.tick().await.into_std();
        let sent = client.send_as(reader, client.query(path, &[])).await;
        series.record(due);
        failed += u64::from(!sent.is_ok_and(|answer| answer.status.is_success()));
    }
    Ok((series, failed))
}
