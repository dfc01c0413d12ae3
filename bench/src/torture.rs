//! `konbini-bench torture`: a shop of one's own that is killed again and again
//! while people use it, and an audit of what it shows afterwards.
//!
//! Everyone repeats an undecided operation under the same key, as a careful client
//! does. **Invariant:** a run whose audit has a finding, or in which anything was
//! answered that no key may lead to, never ends with exit code 0, and leaves the
//! shop's data and logs behind.

mod audit;
pub(crate) mod cart;
mod effects;
mod ledger;
mod observed;
pub(crate) mod operation;
mod people;
mod report;
pub(crate) mod setup;
mod verification;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use indicatif::HumanCount;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use testkit::shop::{Form, SERVICES, Shop};
use tokio::task::JoinSet;

use self::report::TortureReport;
use self::setup::{PASSWORD, PIECES_EACH, STAFF, STAFF_EMAIL, ShopExtent, TortureSetup};
use self::workload::Workload;
use crate::client::ShopClient;
use crate::hardware::OwnShopArgs;
use crate::payments::provider::WebhookSecrets;
use crate::progress::PhaseProgress;
use crate::table;

/// Few enough uses that some orders come too late for each code.
const CAPS: [u64; 3] = [5, 20, 60];
/// People of the staff account at work.
const CLERKS: usize = 3;
/// In a shop that is now one process, now five, kills between two changes.
const KILLS_PER_FORM: u64 = 5;
/// Operations decided between two kills.
const OPERATIONS: std::ops::Range<u64> = 10..80;
/// From the last of these operations to the kill, so that it comes anywhere.
const DELAY_MS: std::ops::Range<u64> = 0..60;
/// How long the killed are down: mostly as long as it takes to start them, now
/// and then longer than a request waits for stock, so that orders stay pending.
const DOWN_MS: [std::ops::Range<u64>; 4] = [0..20, 0..20, 100..400, 2_500..3_500];

/// Kill a shop in the middle of its work, again and again, and audit it.
///
/// Starts the real binary in a temporary folder, lets buyers and staff place, with
/// codes and through carts, cancel, pay, ship, deliver, refund, undo and move stock,
/// plays the payment provider, and kills processes with
/// SIGKILL at random moments. Whatever was not decided is sent again under the
/// same Idempotency-Key. Then an audit over HTTP looks for anything lost, doubled,
/// oversold or notified twice. Exit code 1 when it finds something.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often something is killed.
    #[arg(long, default_value_t = 20)]
    kills: u64,

    /// The operations and the kills follow from this number, their exact timing does
    /// not. Random unless given.
    #[arg(long)]
    seed: Option<u64>,

    #[command(flatten)]
    own_shop: OwnShopArgs,

    /// How many processes the shop is: one, five, or now one and now five over
    /// the same data.
    #[arg(long, value_enum, default_value_t = Forms::Both)]
    form: Forms,

    /// How many people buy at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    buyers: u16,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Forms {
    Up,
    Run,
    Both,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    anstream::eprintln!("seed {seed}");
    let shop = args.own_shop.shop()?;
    shop.add_user(STAFF_EMAIL, "admin", PASSWORD)?;
    let secrets = WebhookSecrets::new();
    // A cancellation is what it was asked for.
    let settings = "[orders]\nbuyer_cancels_paid = true\n";
    shop.configure(&format!("{settings}{}", secrets.settings()))?;
    let mut torture = Torture {
        shop,
        form: if args.form == Forms::Run { Form::Run } else { Form::Up },
        is_changing: args.form == Forms::Both,
        rng: StdRng::seed_from_u64(seed),
        killed: BTreeMap::new(),
    };
    let decision = torture.run(&args, seed, secrets).await;
    let is_fine = decision.as_ref().is_ok_and(TortureReport::passed);
    if !is_fine {
        let folder = torture.shop.keep();
        anstream::eprintln!("the shop's data and logs are in {}", folder.display());
    }
    let report = decision.with_context(|| format!("seed {seed}"))?;
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(is_fine))
}

struct Torture {
    shop: Shop,
    form: Form,
    is_changing: bool,
    rng: StdRng,
    /// How often each process was killed.
    killed: BTreeMap<&'static str, u64>,
}

impl Torture {
    async fn run(
        &mut self,
        args: &Args,
        seed: u64,
        secrets: WebhookSecrets,
    ) -> anyhow::Result<TortureReport> {
        let started = Instant::now();
        self.shop.open(self.form)?;
        self.shop.ready().await?;
        let client = ShopClient::new(self.shop.url("/"))?;
        let extent = ShopExtent {
            buyers: args.buyers.into(),
            pieces: PIECES_EACH,
            caps: CAPS.to_vec(),
        };
        let setup = TortureSetup::open(&client, extent, secrets).await?;
        let workload = Arc::new(Workload::new(setup));
        let mut people = JoinSet::new();
        let buyers = 1..=usize::from(args.buyers);
        for (number, who) in (0..).zip(buyers.chain([STAFF; CLERKS])) {
            people.spawn(people::live(workload.clone(), who, number, seed));
        }
        let decision = self.kill_all_over(args.kills, &workload).await;
        workload.close();
        decision?;
        people.join_all().await;
        self.shop.ready().await?;
        let verdicts = audit::audit(&client, &workload).await?;
        self.shop.check()?;
        let panicked = self.shop.panicked();
        let mut faults = workload.faults();
        faults.extend(panicked.iter().map(|name| format!("{name} panicked")));
        let took = started.elapsed();
        Ok(TortureReport::new(
            seed,
            &self.killed,
            &workload,
            took,
            verdicts,
            faults,
        ))
    }

    async fn kill_all_over(&mut self, kills: u64, workload: &Workload) -> anyhow::Result<()> {
        let progress = PhaseProgress::count("killing", kills);
        for kill in 1..=kills {
            // Mostly people are at work again before the next kill, but not always.
            if self.rng.random_range(0..4) > 0 {
                workload.progress(self.rng.random_range(OPERATIONS)).await?;
            }
            self.pause(DELAY_MS).await;
            if self.is_changing && kill.is_multiple_of(KILLS_PER_FORM) {
                self.change_form()?;
            } else {
                self.kill().await?;
            }
            let decided = HumanCount(workload.tries().decided);
            progress.note(format!("{decided} operations decided"));
            progress.step();
        }
        progress.finish();
        // And once more in peace, so that the last recovery is worked with, too.
        workload.progress(OPERATIONS.end).await
    }

    /// Kills the one process, or some of the five, and starts them again.
    async fn kill(&mut self) -> anyhow::Result<()> {
        let victims = match self.form {
            Form::Up => vec!["up"],
            Form::Run => {
                let most = [1, 1, 1, 1, 2, 2, SERVICES.len()];
                let many = most.choose(&mut self.rng).copied().unwrap_or(1);
                SERVICES.into_iter().sample(&mut self.rng, many)
            }
        };
        self.shop.kill(&victims)?;
        let down = DOWN_MS.choose(&mut self.rng).cloned().unwrap_or(0..1);
        self.pause(down).await;
        for victim in victims {
            *self.killed.entry(victim).or_default() += 1;
            self.shop.start(victim)?;
        }
        Ok(())
    }

    /// Kills everything and goes on in the other form over the same data.
    fn change_form(&mut self) -> anyhow::Result<()> {
        let victims = self.form.processes();
        self.shop.kill(victims)?;
        for &victim in victims {
            *self.killed.entry(victim).or_default() += 1;
        }
        self.form = self.form.other();
        self.shop.open(self.form)
    }

    /// A random moment; nothing is waited for here.
    async fn pause(&mut self, range_ms: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.rng.random_range(range_ms));
        tokio::time::sleep(pause).await;
    }
}
