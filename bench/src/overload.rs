//! `konbini-bench overload`: log-ins as fast as the shop answers them, and the latency of
//! everyone else.
//!
//! Half of the connections log in with the right password, a quarter with wrong ones and a
//! quarter as unknown accounts, while steady reads are measured.
//!
//! **Invariant:** a run in which a read failed or was late at p99, or in which the shop's
//! memory grew beyond its bound, never ends with exit code 0.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use indicatif::HumanBytes;
use reqwest::Method;
use serde_json::json;

use crate::client::{Credentials, NewProduct, ShopClient, StaffLogin};
use crate::process::resident_bytes;
use crate::steady_reads::{SteadyRead, SteadyReads};
use crate::table::{self, ReportTable};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Accounts that log in rightly, and as many that are tried wrongly.
const ACCOUNTS: usize = 16;
const PASSWORD: &str = "a kettle and three lamps";
const WRONG: &str = "a kettle and four lamps";

/// Overload a running shop with log-ins and measure how it serves everyone else.
///
/// Half of the connections log in with the right password, so that the shop is
/// busy hashing; a quarter with wrong ones and a quarter as people who have no
/// account. Exit code 1 when reads fail or take more than 20 ms at p99, or when
/// memory grows beyond its bound.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

    /// Log-ins under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// How long the overload lasts, and the calm that it is compared with.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// The shop's processes, all of them. Without, memory is not looked at.
    #[arg(long)]
    pid: Vec<u32>,

    /// By how much the shop's memory may grow, in MiB.
    #[arg(long, default_value_t = 128)]
    growth_mib_max: u64,
}

/// The measurements of one phase.
struct Phase {
    reads: SteadyReads,
    /// Log-ins by status, 0 for a transport failure.
    logins: BTreeMap<u16, u64>,
    memory_bytes_max: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let setup = Setup::set(client, staff).await?;
    let lasting = Duration::from_secs(args.seconds);
    let calm = setup.phase(0, lasting, &args.pid).await?;
    let overload = setup.phase(args.connections, lasting, &args.pid).await?;
    let growth_bytes = overload
        .memory_bytes_max
        .saturating_sub(calm.memory_bytes_max);
    let is_bounded = growth_bytes <= args.growth_mib_max << 20;

    let mut table = ReportTable::default();
    table.section(&format!(
        "{} connections log in for {} s",
        args.connections, args.seconds
    ));
    for (status, &times) in &overload.logins {
        table.count(&format!("log-ins answered {status}"), times);
    }
    table.section("Reads meanwhile, and in the calm before");
    overload
        .reads
        .lines(&setup.reads(), &calm.reads, &mut table);
    table.section("Memory of the shop");
    if args.pid.is_empty() {
        table.line("not looked at: give its processes with --pid");
    } else {
        table
            .row("before", HumanBytes(calm.memory_bytes_max))
            .row("at most", HumanBytes(overload.memory_bytes_max));
    }
    table.section("Verdict");
    let are_reads_fine = overload.reads.verdicts(&calm.reads, &mut table);
    let growth = format!("memory grew by {}", HumanBytes(growth_bytes));
    table.verdict(is_bounded, &growth).print()?;
    Ok(table::exit(are_reads_fine && is_bounded))
}

struct Setup {
    client: ShopClient,
    product: String,
    reader: Credentials,
    /// Those who log in rightly, then those who are tried wrongly.
    emails: Vec<String>,
}

impl Setup {
    async fn set(client: ShopClient, staff: Credentials) -> anyhow::Result<Self> {
        let run_id = format!("{:08x}", rand::random::<u32>());
        let mut emails: Vec<_> = (0..=2 * ACCOUNTS)
            .map(|number| format!("overload{number}-{run_id}@overload.example"))
            .collect();
        // The reader logs in alone: a shop ends the oldest of too many sessions.
        let reader = Credentials::new(emails.pop().context("the reader's")?, PASSWORD.into());
        for email in &emails {
            let account = Credentials::new(email.clone(), PASSWORD.into());
            client.register(&account).await?;
        }
        client.register(&reader).await?;
        client.renew(&reader, "").await?;
        let product = NewProduct {
            sku: format!("OVERLOAD-{run_id}"),
            title: "A lamp that is read under overload".into(),
            price: 2_500,
            stock: 0,
        };
        let product = client.create_product(&staff, product).await?;
        let client = client.without_retries()?;
        Ok(Self { client, product, reader, emails })
    }

    /// Reads for `lasting` while `connections` log in.
    async fn phase(
        &self,
        connections: u16,
        lasting: Duration,
        pids: &[u32],
    ) -> anyhow::Result<Phase> {
        let is_over = AtomicBool::new(false);
        let attempts = (0..connections).map(|number| self.log_in(number.into(), &is_over));
        let reads = async {
            let kinds = self.reads();
            let reads = SteadyReads::measure(&self.client, &self.reader, &kinds, lasting).await;
            is_over.store(true, Ordering::Relaxed);
            reads
        };
        let (reads, attempts, memory_bytes_max) = tokio::try_join!(
            reads,
            async { Ok(futures::future::join_all(attempts).await) },
            watch(pids, &is_over)
        )?;
        let mut logins = BTreeMap::new();
        for (status, times) in attempts.into_iter().flatten() {
            *logins.entry(status).or_default() += times;
        }
        Ok(Phase { reads, logins, memory_bytes_max })
    }

    fn reads(&self) -> [SteadyRead<'_>; 3] {
        let products = |last| vec!["v1", "products", last];
        let read = |name, path, query| SteadyRead { name, path, query };
        [
            read("product", products(&self.product), vec![]),
            read("search", products("search"), vec![("q", "lamp")]),
            read("users/me", vec!["v1", "users", "me"], vec![]),
        ]
    }

    /// Logs in as fast as it is answered; how often with which status, 0 for none.
    async fn log_in(&self, number: usize, is_over: &AtomicBool) -> BTreeMap<u16, u64> {
        let mut answered = BTreeMap::new();
        let account = number % ACCOUNTS;
        while !is_over.load(Ordering::Relaxed) {
            let (email, password) = match number % 4 {
                0 | 1 => (self.emails[account].clone(), PASSWORD),
                2 => (self.emails[ACCOUNTS + account].clone(), WRONG),
                _ => (
                    format!("{:x}@overload.example", rand::random::<u64>()),
                    WRONG,
                ),
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

/// The most memory that these processes had together.
async fn watch(pids: &[u32], is_over: &AtomicBool) -> anyhow::Result<u64> {
    let mut most = 0;
    let mut look = tokio::time::interval(LOOK_EVERY);
    while !is_over.load(Ordering::Relaxed) {
        look.tick().await;
        most = most.max(resident_bytes(pids).context("the shop's processes")?);
    }
    Ok(most)
}
