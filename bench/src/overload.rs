//! `konbini-bench overload`: log-ins as fast as the shop answers them, and the latency of
//! everyone else.
//!
//! Half of the connections log in with the right password, a quarter with wrong ones and a
//! quarter as unknown accounts, while steady reads are measured.
//!
//! **Invariant:** a run in which a read failed or was late at p99, or in which the shop's
//! memory grew beyond its bound, never ends with exit code 0.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanBytes;

use crate::client::{Credentials, NewProduct, ShopClient, StaffLogin};
use crate::cost::Subject;
use crate::load::{
    Judgement, LoadOperation, LoadPlan, LoadRequest, LoadTarget, Measured, Requests, SendOptions,
};
use crate::shop::AccountTokens;
use crate::steady_reads::{self, SteadyRead, SteadyReads};
use crate::table::{self, ReportTable};

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

    /// The shop's processes, all of them. By default they are found by its address.
    #[arg(long)]
    pid: Vec<u32>,

    #[command(flatten)]
    send: SendOptions,

    /// By how much the shop's memory may grow, in MiB.
    #[arg(long, default_value_t = 128)]
    growth_mib_max: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let setup = Setup::set(&client, &staff, &args).await?;
    let lasting = Duration::from_secs(args.seconds);
    let calm = setup.read(lasting).await?;
    let log_ins = LoadPlan {
        measured: Some(lasting),
        ..LoadPlan::closed(setup.target.clone(), args.connections.into())
    };
    let log_ins = log_ins.run(LogIns { emails: setup.emails.clone() });
    let (reads, log_ins) = tokio::try_join!(setup.read(lasting), log_ins)?;
    let (_, log_ins) = log_ins;
    let mut result = reads.result("overload", None);
    result.loads.extend(log_ins.loads.iter().cloned());
    args.send.result.write(&[result])?;

    let mut table = ReportTable::default();
    table.section(&format!(
        "{} connections log in for {} s",
        args.connections, args.seconds
    ));
    for (status, &times) in &log_ins.loads[0].answers {
        table.count(&format!("log-ins answered {status}"), times);
    }
    table.section("Reads meanwhile, and in the calm before");
    steady_reads::lines(&reads, &calm, &mut table);
    table.section("Memory of the shop");
    let (before, most) = (resident_bytes(&calm), resident_bytes(&reads));
    if reads.costs.is_empty() {
        table.line("unknown: give its processes with --pid");
    } else {
        table
            .row("before", HumanBytes(before))
            .row("at most", HumanBytes(most));
    }
    table.section("Verdict");
    let are_reads_fine = steady_reads::verdicts(&reads, &calm, &mut table);
    let growth_bytes = most.saturating_sub(before);
    let is_bounded = growth_bytes <= args.growth_mib_max << 20;
    let growth = format!("memory grew by {}", HumanBytes(growth_bytes));
    table.verdict(is_bounded, &growth).print()?;
    Ok(table::exit(are_reads_fine && is_bounded))
}

/// The most memory that each process had, together.
fn resident_bytes(measured: &Measured) -> u64 {
    let processes = measured.costs.iter();
    processes.map(|process| process.resident_bytes_max).sum()
}

struct Setup {
    target: LoadTarget,
    subject: Subject,
    reads: SteadyReads,
    /// Those who log in rightly, then those who are tried wrongly.
    emails: Vec<String>,
}

impl Setup {
    async fn set(client: &ShopClient, staff: &Credentials, args: &Args) -> anyhow::Result<Self> {
        let run_id = format!("{:08x}", rand::random::<u32>());
        let email = |number: usize| format!("overload{number}-{run_id}@overload.example");
        let emails: Vec<String> = (0..2 * ACCOUNTS).map(email).collect();
        for email in &emails {
            let account = Credentials::new(email.clone(), PASSWORD.into());
            client.register(&account).await?;
        }
        // The reader logs in alone: a shop ends the oldest of too many sessions.
        let reader = Credentials::new(email(2 * ACCOUNTS), PASSWORD.into());
        let reader = client.log_in_all([reader]).await?;
        let product = NewProduct {
            sku: format!("OVERLOAD-{run_id}"),
            title: "A lamp that is read under overload".into(),
            price: 2_500,
            stock: 0,
        };
        let product = client.create_product(staff, product).await?;
        let read = |name, path: String| SteadyRead { name, path };
        let reads = vec![
            read("product", format!("/v1/products/{product}")),
            read("search", "/v1/products/search?q=lamp".to_owned()),
            read("users/me", "/v1/users/me".to_owned()),
        ];
        Ok(Self {
            target: args.send.target(client.base())?,
            subject: Subject::of(client.base(), &args.pid),
            reads: SteadyReads {
                reads,
                reader: AccountTokens::of(client, reader).await?,
                next: 0,
            },
            emails,
        })
    }

    /// Reads for `lasting`.
    async fn read(&self, lasting: Duration) -> anyhow::Result<Measured> {
        let plan = LoadPlan {
            subject: self.subject.clone(),
            ..self.reads.plan(self.target.clone(), lasting)
        };
        Ok(plan.run(self.reads.clone()).await?.1)
    }
}

/// Log-ins as fast as they are answered.
struct LogIns {
    emails: Vec<String>,
}

impl Requests for LogIns {
    fn kinds(&self) -> Vec<String> {
        vec!["log-in".to_owned()]
    }

    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let account = worker % ACCOUNTS;
        let unknown = || format!("{:x}@overload.example", rand::random::<u64>());
        let (email, password) = match worker % 4 {
            0 | 1 => (self.emails[account].clone(), PASSWORD),
            2 => (self.emails[ACCOUNTS + account].clone(), WRONG),
            _ => (unknown(), WRONG),
        };
        let body = format_args!(r#"{{"email":"{email}","password":"{password}"}}"#);
        request.post("/v1/sessions", body);
        Some(0)
    }

    /// Whatever is answered is counted; a shop may refuse under overload.
    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        Judgement::of(operation.response.is_ok())
    }
}
