//! `konbini-bench all`: every scenario that suits it, one after the other, and a page of
//! what they measured.
//!
//! Loads go to one shop that this program boots, which grows by what each leaves in it;
//! scenarios that kill and restart boot their own. **Invariant:** a scenario that broke a
//! promise or could not run is named, and makes the exit code 1; the others run all the same.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::hardware::OwnShopArgs;
use crate::hosted::{self, FinishedScenario, HostedShop};
use crate::report;
use crate::table::{self, ReportTable};

/// Run every scenario, and draw a page of the results.
///
/// With --quick in less than a quarter of an hour on two cores; without, each scenario takes
/// the time it takes by itself. Nothing has to be running; all is done in temporary folders.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Short runs.
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    own_shop: OwnShopArgs,

    /// Where the result files and the page go.
    #[arg(long, default_value = "konbini-bench-results")]
    dir: PathBuf,

    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// A scenario with its arguments.
struct SuiteEntry {
    /// The name of its result file.
    name: &'static str,
    scenario: &'static str,
    /// Added for a short run.
    quick: &'static str,
    subject: SuiteSubject,
}

/// What an entry measures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SuiteSubject {
    /// The shop that all such entries share.
    SharedShop,
    /// Shops that the scenario boots itself.
    OwnShop,
    /// Gateways, which share the whole host with the proxies that they are compared with.
    Gateways,
    /// No shop.
    Library,
}

use SuiteSubject::{Gateways, Library, OwnShop, SharedShop};

/// In this order: the shop is fresh for the figures that people quote.
const SUITE: [SuiteEntry; 17] = [
    entry("orders-1", "orders --clients 1", "--seconds 5", SharedShop),
    entry(
        "orders-64",
        "orders --clients 64",
        "--seconds 8",
        SharedShop,
    ),
    entry(
        "orders-500-a-second",
        "orders --clients 64 --rate 500",
        "--seconds 8",
        SharedShop,
    ),
    entry("search", "search", "--count 400", SharedShop),
    entry("mix", "run", "--seconds 10 --warm-up 2", SharedShop),
    entry(
        "sweep",
        "sweep",
        "--values 100,200,400,800,1600 --seconds 4 --warm-up 1",
        SharedShop,
    ),
    entry("notify", "notify --rate 100", "--seconds 5", SharedShop),
    entry("burst", "burst", "--buyers 600 --pieces 100", SharedShop),
    entry("overload", "overload", "--seconds 5", SharedShop),
    entry(
        "slow",
        "slow",
        "--clients 200 --streams 100 --seconds 12",
        SharedShop,
    ),
    entry("timing", "timing", "--tries 60", SharedShop),
    entry("gateway", "gateway", "--rounds 1 --seconds 1", Gateways),
    entry("rolling", "rolling", "", OwnShop),
    entry("payments", "payments", "", OwnShop),
    entry(
        "coupons",
        "coupons",
        "--cap 20 --buyers 300 --accounts 16 --kills 3",
        OwnShop,
    ),
    entry("torture", "torture", "--kills 6", OwnShop),
    entry("store", "store", "--rounds 2", Library),
];

const fn entry(
    name: &'static str,
    scenario: &'static str,
    quick: &'static str,
    subject: SuiteSubject,
) -> SuiteEntry {
    SuiteEntry { name, scenario, quick, subject }
}

/// What became of a scenario.
struct SuiteOutcome {
    name: &'static str,
    command: String,
    seconds: u64,
    finished: anyhow::Result<FinishedScenario>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot make {}", args.dir.display()))?;
    let is_wanted = |entry: &&SuiteEntry| {
        let only = args.only.as_ref();
        only.is_none_or(|only| entry.name.contains(only.as_str()))
    };
    let mut shop: Option<HostedShop> = None;
    let mut outcomes = Vec::new();
    for entry in SUITE.iter().filter(is_wanted) {
        let arguments = entry.arguments(&args);
        let file = args.dir.join(entry.name).with_extension("json");
        anstream::eprintln!("{}: {}", entry.name, arguments.join(" "));
        let began = Instant::now();
        let finished = match entry.subject {
            SharedShop => {
                let shared = match shop.take() {
                    Some(shared) => shared,
                    None => HostedShop::open(&args.own_shop).await?,
                };
                shop.insert(shared).run(&arguments, &file).await
            }
            OwnShop | Gateways | Library => hosted::run(&arguments, &file).await,
        };
        outcomes.push(SuiteOutcome {
            name: entry.name,
            command: arguments.join(" "),
            seconds: began.elapsed().as_secs(),
            finished,
        });
    }
    let files: Vec<PathBuf> = outcomes
        .iter()
        .filter(|outcome| {
            outcome
                .finished
                .as_ref()
                .is_ok_and(|it| !it.runs.is_empty())
        })
        .map(|outcome| args.dir.join(outcome.name).with_extension("json"))
        .collect();
    let page = args.dir.join("page.html");
    let rows = outcomes.iter().map(SuiteOutcome::row).collect();
    report::write_page(&page, &files, rows)?;
    let passed = outcomes.iter().all(SuiteOutcome::is_kept);
    table(&outcomes, &page.display().to_string()).print()?;
    Ok(table::exit(passed))
}

impl SuiteEntry {
    fn arguments(&self, args: &Args) -> Vec<String> {
        let quick = if args.quick { self.quick } else { "" };
        let words = self.scenario.split(' ').chain(quick.split_whitespace());
        let mut arguments: Vec<String> = words.map(str::to_owned).collect();
        match self.subject {
            OwnShop => arguments.extend(args.own_shop.arguments()),
            Gateways => arguments.extend(args.own_shop.binary_argument()),
            SharedShop | Library => {}
        }
        arguments
    }
}

impl SuiteOutcome {
    fn is_kept(&self) -> bool {
        self.finished.as_ref().is_ok_and(|it| it.kept)
    }

    /// A sentence of what happened.
    fn verdict(&self) -> String {
        match &self.finished {
            Ok(FinishedScenario { kept: true, .. }) => "kept its promises".to_owned(),
            Ok(finished) => format!("broke a promise: {}", finished.last_line()),
            Err(error) => format!("did not run: {error:#}"),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.command.clone(),
            format!("{} s", self.seconds),
            self.verdict(),
        ]
    }
}

fn table(outcomes: &[SuiteOutcome], page: &str) -> ReportTable {
    let mut table = ReportTable::default();
    table.section("Scenarios");
    for outcome in outcomes {
        let text = format!(
            "{:<12}{:>5} s  {}",
            outcome.name,
            outcome.seconds,
            outcome.verdict()
        );
        table.verdict(outcome.is_kept(), &text);
    }
    table.line(format!("the page: {page}"));
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn every_scenario_takes_its_arguments() {
        for quick in [true, false] {
            for entry in &SUITE {
                let args = Args {
                    quick,
                    own_shop: OwnShopArgs { binary: Some("konbini".into()), ..Default::default() },
                    dir: PathBuf::new(),
                    only: None,
                };
                let mut arguments = vec!["konbini-bench".to_owned()];
                arguments.extend(entry.arguments(&args));
                if entry.subject == SharedShop {
                    arguments.push("--url=http://127.0.0.1:8080/".to_owned());
                    arguments.push("--out=result.json".to_owned());
                }
                match crate::Cli::try_parse_from(&arguments) {
                    Ok(_) => {}
                    // The account, which comes by the environment.
                    Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                        let error = error.to_string();
                        assert!(error.contains("--email"), "{arguments:?}: {error}");
                    }
                    Err(error) => panic!("{arguments:?}: {error}"),
                }
            }
        }
    }
}
