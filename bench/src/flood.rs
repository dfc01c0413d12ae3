//! `konbini-bench flood`: a flood of log-ins, and what everybody else feels of it.
//!
//! While so many connections log in as fast as they are answered, rightly, with
//! wrong passwords and as nobody, others read at a steady pace. A read counts from
//! the moment it was due, so a shop that stalls cannot hide it. **Invariant:** a
//! run in which a read failed or was slow at p99, or in which the shop's memory
//! grew beyond its bound, never ends with exit code 0.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use indicatif::HumanBytes;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::client::{Access, Account, Client};
use crate::memory::resident_bytes;
use crate::progress::Progress;
use crate::series::Series;
use crate::table::{self, Table};

/// What a read may take at p99 while the flood lasts.
const P99_MAX: Duration = Duration::from_millis(20);
/// Between two reads of one kind.
const READ_EVERY: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Accounts that log in rightly, and as many that are tried wrongly.
const ACCOUNTS: usize = 16;
const PASSWORD: &str = "a kettle and three lamps";
const WRONG: &str = "a kettle and four lamps";

/// Flood a running shop with log-ins and measure how it serves everyone else.
///
/// Half of the connections log in with the right password, so that the shop is
/// busy hashing; a quarter with wrong ones and a quarter as people who have no
/// account. Exit code 1 when reads fail or take more than 20 ms at p99, or when
/// memory grows beyond its bound.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,

    /// Log-ins under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// How long the flood lasts, and the calm that it is compared with.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// The shop's processes, all of them. Without, memory is not looked at.
    #[arg(long)]
    pid: Vec<u32>,

    /// By how much the shop's memory may grow, in MiB.
    #[arg(long, default_value_t = 128)]
    growth_mib_max: u64,
}

/// What others read meanwhile.
const READS: [&str; 3] = ["product", "search", "users/me"];

/// How one phase went.
struct Phase {
    /// By read, in the order of [`READS`].
    reads: Vec<Series>,
    failed: u64,
    /// Log-ins by status.
    logins: BTreeMap<u16, u64>,
    memory_bytes_max: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let scene = Scene::set(client, staff).await?;
    let lasting = Duration::from_secs(args.seconds);
    let calm = scene.phase(0, lasting, &args.pid).await?;
    let flood = scene.phase(args.connections, lasting, &args.pid).await?;
    let growth_bytes = flood.memory_bytes_max.saturating_sub(calm.memory_bytes_max);
    let is_bounded = growth_bytes <= args.growth_mib_max << 20;

    let mut table = Table::default();
    table.section(&format!(
        "{} connections log in for {} s",
        args.connections, args.seconds
    ));
    for (status, &times) in &flood.logins {
        table.count(&format!("log-ins answered {status}"), times);
    }
    table.section("Reads meanwhile, and in the calm before");
    for (read, (calm, flood)) in READS.iter().zip(calm.reads.iter().zip(&flood.reads)) {
        let (calm, flood) = (calm.percentiles(), flood.percentiles());
        table.line(format_args!("{read}: {flood} (calm: {calm})"));
    }
    table.section("Memory of the shop");
    if args.pid.is_empty() {
        table.line("not looked at: give its processes with --pid");
    } else {
        table
            .row("before", HumanBytes(calm.memory_bytes_max))
            .row("at most", HumanBytes(flood.memory_bytes_max));
    }
    let slow = |read: &&Series| read.quantile(0.99) > P99_MAX;
    let slow = flood.reads.iter().filter(slow).count();
    let failed = calm.failed + flood.failed;
    table
        .section("Verdict")
        .verdict(
            slow == 0,
            &format!(
                "{slow} of {} reads took more than {} ms at p99",
                READS.len(),
                P99_MAX.as_millis()
            ),
        )
        .verdict(failed == 0, &format!("{failed} reads failed"))
        .verdict(
            is_bounded,
            &format!("memory grew by {}", HumanBytes(growth_bytes)),
        );
    table.print()?;
    let is_fine = slow == 0 && failed == 0 && is_bounded;
    Ok(table::exit(is_fine))
}

struct Scene {
    client: Client,
    product: String,
    reader: Account,
    /// Those who log in rightly, then those who are tried wrongly.
    emails: Vec<String>,
}

impl Scene {
    async fn set(client: Client, staff: Account) -> anyhow::Result<Self> {
        let run_id = format!("{:08x}", rand::random::<u32>());
        let mut emails: Vec<_> = (0..=2 * ACCOUNTS)
            .map(|number| format!("flood{number}-{run_id}@flood.example"))
            .collect();
        let progress = Progress::count("registering", emails.len() as u64);
        for email in &emails {
            let account = Account::new(email.clone(), PASSWORD.into());
            client.register(&account, "Flooded").await?;
            progress.step();
        }
        progress.finish();
        let request = client
            .request(Method::POST, &["v1", "products"])
            .json(&json!({
                "sku": format!("FLOOD-{run_id}"),
                "title": "A lamp that is read in a flood",
                "price": {"amount": 2_500, "currency": "EUR"},
                "status": "published",
            }));
        let made = client.send_as(&staff, request).await?;
        let Made { id } = made.expect(reqwest::StatusCode::CREATED, "making a product")?;
        // Nobody else logs in to it: a shop ends the oldest of too many log-ins.
        let email = emails.pop().context("an account for the reader")?;
        let reader = Account::new(email, PASSWORD.into());
        client.renew(&reader, "").await?;
        let client = client.candid()?;
        Ok(Self { client, product: id, reader, emails })
    }

    /// Reads for `lasting` while `connections` log in.
    async fn phase(
        &self,
        connections: u16,
        lasting: Duration,
        pids: &[u32],
    ) -> anyhow::Result<Phase> {
        let is_over = AtomicBool::new(false);
        let floods = (0..connections).map(|number| self.log_in(number.into(), &is_over));
        let reads = async {
            let until = Instant::now() + lasting;
            let reads = try_join_all((0..READS.len()).map(|read| self.read(read, until))).await;
            is_over.store(true, Ordering::Relaxed);
            reads
        };
        let (reads, floods, memory_bytes_max) = tokio::try_join!(
            reads,
            async { Ok(futures::future::join_all(floods).await) },
            watch(pids, &is_over)
        )?;
        let mut logins = BTreeMap::new();
        for (status, times) in floods.into_iter().flatten() {
            *logins.entry(status).or_default() += times;
        }
        let failed = reads.iter().map(|(_, failed)| failed).sum();
        let reads = reads.into_iter().map(|(series, _)| series).collect();
        Ok(Phase { reads, failed, logins, memory_bytes_max })
    }

    /// Reads at a steady pace: latencies from when each was due, and how many
    /// failed.
    async fn read(&self, read: usize, until: Instant) -> anyhow::Result<(Series, u64)> {
        let (mut series, mut failed) = (Series::new()?, 0);
        let mut due = tokio::time::interval(READ_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while Instant::now() < until {
            let due = due.tick().await.into_std();
            let sent = self.client.send_as(&self.reader, self.request(read)).await;
            series.record(due);
            failed += u64::from(!sent.is_ok_and(|answer| answer.status.is_success()));
        }
        Ok((series, failed))
    }

    fn request(&self, read: usize) -> RequestBuilder {
        match READS[read] {
            "product" => self.client.query(&["v1", "products", &self.product], &[]),
            "search" => {
                let path = ["v1", "products", "search"];
                self.client.query(&path, &[("q", "lamp")])
            }
            _ => self.client.query(&["v1", "users", "me"], &[]),
        }
    }

    /// Logs in as fast as it is answered; how often with which status, 0 for none.
    async fn log_in(&self, number: usize, is_over: &AtomicBool) -> BTreeMap<u16, u64> {
        let mut answered = BTreeMap::new();
        let account = number % ACCOUNTS;
        while !is_over.load(Ordering::Relaxed) {
            let (email, password) = match number % 4 {
                0 | 1 => (self.emails[account].clone(), PASSWORD),
                2 => (self.emails[ACCOUNTS + account].clone(), WRONG),
                _ => (format!("{:x}@flood.example", rand::random::<u64>()), WRONG),
            };
            let request = self
                .client
                .request(Method::POST, &["v1", "sessions"])
                .json(&json!({"email": email, "password": password}));
            let sent = self.client.send(request).await;
            let status = sent.map_or(0, |answer| answer.status.as_u16());
            *answered.entry(status).or_default() += 1;
        }
        answered
    }
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// The most memory that these processes had together.
async fn watch(pids: &[u32], is_over: &AtomicBool) -> anyhow::Result<u64> {
    let mut most = 0;
    let mut look = tokio::time::interval(LOOK_EVERY);
    while !is_over.load(Ordering::Relaxed) {
        look.tick().await;
        let bytes = pids.iter().map(|pid| resident_bytes(&pid.to_string()));
        let bytes: u64 = bytes
            .sum::<anyhow::Result<u64>>()
            .context("the shop's processes")?;
        most = most.max(bytes);
    }
    Ok(most)
}
