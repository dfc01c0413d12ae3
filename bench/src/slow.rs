//! `konbini-bench slow`: slow clients (slowloris), and the latency of everyone else.
//!
//! Half of the slow clients never finish a request's head, half never finish its body, a
//! byte a second each; a client that is cut reconnects at once, so their number is
//! constant. Idle notification streams are open beside them. Steady reads are measured
//! meanwhile and in the calm before. **Invariant:** a run in which a read failed
//! or was slow at p99, or in which a slow client was not cut, never ends with exit
//! code 0.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use reqwest::Url;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Credentials, StaffLogin};
use crate::cost::Subject;
use crate::load::SendOptions;
use crate::notify::{STREAMS_EACH, log_in, open_idle};
use crate::shop::AccountTokens;
use crate::steady_reads::{self, SteadyRead, SteadyReads};
use crate::table::{self, ReportTable};

/// Between two bytes of a slow client.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// The beginnings of requests with a slow head and with a slow body.
const HEAD: &str = "GET /v1/products HTTP/1.1\r\nHost: shop\r\nX-Slow: ";
const BODY: &str = "POST /v1/sessions HTTP/1.1\r\nHost: shop\r\n\
                    Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
/// The reader's account.
const PASSWORD: &str = "reads beside slow clients";

/// Keep clients of a byte a second and idle streams open, and measure how the shop
/// serves everyone else.
///
/// Exit code 1 when reads fail or take more than 20 ms at p99, or when slow clients
/// are not cut. A run has to last longer than the shop's timeout, 10 s unless
/// configured.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

    /// Clients that send a byte a second, half of them in the head.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=3000))]
    clients: u32,

    /// Idle streams of notifications.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(..=3000))]
    streams: u32,

    /// How long it lasts, and the calm that it is compared with.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    #[command(flatten)]
    send: SendOptions,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { access, clients, streams, seconds, send } = args;
    let (client, _staff) = access.open().await?;
    let reader = Credentials::new("reader@slow.example".into(), PASSWORD.into());
    let reader = client.log_in_all([reader]).await?;
    let accounts = (streams as usize).div_ceil(STREAMS_EACH);
    let waiting = log_in(&client, "dawdler", accounts).await?;
    let lasting = Duration::from_secs(seconds);

    let read = |name, path: &str| SteadyRead { name, path: path.to_owned() };
    let reads = SteadyReads {
        reads: vec![
            read("products", "/v1/products"),
            read("users/me", "/v1/users/me"),
        ],
        reader: AccountTokens::of(&client, reader).await?,
        next: 0,
    };
    let target = send.target(client.base())?;
    let mut plan = reads.plan(target, lasting);
    plan.subject = Subject::of(client.base(), &[]);
    let (_, calm) = plan.clone().run(reads.clone()).await?;
    let open = open_idle(&client, &waiting, streams as usize).await?;
    let (is_over, cut) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = address(client.base())?;
    let dawdling = (0..clients).map(|number| {
        let start = if number % 2 == 0 { HEAD } else { BODY };
        dawdle(&address, start, &is_over, &cut)
    });
    let measured = async {
        let slow = plan.run(reads).await;
        is_over.store(true, Ordering::Relaxed);
        slow
    };
    let (slow, came) = tokio::join!(measured, join_all(dawdling));
    let ((_, slow), cut) = (slow?, cut.into_inner());
    send.result.write(&[slow.result("slow", None)])?;
    drop(open);
    let came: u64 = came.into_iter().sum();
    ensure!(
        clients == 0 || came >= u64::from(clients),
        "not every slow client could connect"
    );

    let mut table = ReportTable::default();
    table
        .section(&format!(
            "{clients} clients of a byte a second for {seconds} s, {streams} idle streams"
        ))
        .count("slow connections", came)
        .count("of them cut by the shop", cut)
        .section("Reads meanwhile, and in the calm before");
    steady_reads::lines(&slow, &calm, &mut table);
    table.section("Verdict");
    let are_reads_fine = steady_reads::verdicts(&slow, &calm, &mut table);
    let is_cut = clients == 0 || cut > 0;
    table.verdict(is_cut, "slow clients are cut").print()?;
    Ok(table::exit(are_reads_fine && is_cut))
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
    let mut interval = tokio::time::interval(BYTE_EVERY);
    while !is_over.load(Ordering::Relaxed) {
        interval.tick().await;
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        came += 1;
        let mut sent = stream.write_all(start.as_bytes()).await;
        while sent.is_ok() && !is_over.load(Ordering::Relaxed) {
            interval.tick().await;
            sent = stream.write_all(b"x").await;
        }
        cut.fetch_add(u64::from(sent.is_err()), Ordering::Relaxed);
    }
    came
}
