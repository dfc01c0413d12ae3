//! A shop that this program boots for scenarios, each run as a process of this same
//! program against it, exactly as people run them.
//!
//! **Invariant:** what a scenario prints is kept, so that a failure can be explained.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory as _;
use testkit::shop::{Form, Shop};

use crate::client::ShopClient;
use crate::hardware::OwnShopArgs;
use crate::result::{self, RunResult};
use crate::search;

/// This very program, even if its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
pub(crate) const EMAIL: &str = "staff@bench.example";
/// It protects nothing: the shop is gone with this program.
pub(crate) const PASSWORD: &str = "a kettle and three lamps";
/// How the shop marks that the demo catalogue is complete.
const FILLED: &str = "filled";
/// Lines of a failed scenario's output that are shown.
const LINES_SHOWN: usize = 15;

/// An open shop in one process with the demo catalogue, in a folder and on a port of its own.
pub(crate) struct HostedShop {
    shop: Shop,
    /// What its results say of the hardware.
    hardware: Option<String>,
}

/// What a scenario measured and printed.
pub(crate) struct FinishedScenario {
    /// Of its result file; none if it wrote none.
    pub(crate) runs: Vec<RunResult>,
    /// Whether it kept what it promises.
    pub(crate) kept: bool,
    printed: String,
}

impl HostedShop {
    /// Opens the shop, and waits until its catalogue can be searched.
    pub(crate) async fn open(own_shop: &OwnShopArgs) -> anyhow::Result<Self> {
        let mut shop = own_shop.shop()?;
        let hardware = own_shop.hardware.described(&shop);
        shop.add_user(EMAIL, "admin", PASSWORD)?;
        shop.fill_with_demo();
        shop.open(Form::Up)?;
        shop.ready().await?;
        let marker = shop.data().join("DEMO");
        let is_filled = async || {
            let text = std::fs::read_to_string(&marker);
            text.is_ok_and(|text| text.starts_with(FILLED))
        };
        testkit::eventually("the demo catalogue is imported", is_filled).await;
        // The index follows the products.
        let client = ShopClient::new(shop.url("/"))?;
        let is_searchable = async || {
            search::count_titles(&client)
                .await
                .is_ok_and(|found| found > 0)
        };
        testkit::eventually("the demo catalogue can be searched", is_searchable).await;
        Ok(Self { shop, hardware })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shop.address()
    }

    /// Runs a scenario with its arguments on this shop, which writes its result to `file`.
    pub(crate) async fn run(
        &mut self,
        scenario: &[String],
        file: &Path,
    ) -> anyhow::Result<FinishedScenario> {
        let mut arguments = scenario.to_vec();
        arguments.push(format!("--url={}", self.shop.url("/")));
        // The disk that is measured with the shop is the one it writes to.
        if takes(scenario, "dir") {
            arguments.push(format!("--dir={}", self.shop.data().display()));
        }
        let mut finished = run(&arguments, file).await?;
        // A shop that ended explains more than the scenario that noticed.
        self.shop.check()?;
        if self.hardware.is_some() && !finished.runs.is_empty() {
            for run in &mut finished.runs {
                run.hardware.clone_from(&self.hardware);
            }
            result::write(file, &finished.runs)?;
        }
        Ok(finished)
    }
}

/// Runs a scenario with its arguments, which writes its result to `file` if it measures any.
pub(crate) async fn run(scenario: &[String], file: &Path) -> anyhow::Result<FinishedScenario> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", file.display()));
        }
        _ => {}
    }
    let mut command = testkit::shop::command(THIS_PROGRAM);
    command.args(scenario);
    if takes(scenario, "out") {
        command.arg("--out").arg(file);
    }
    command.envs([("KONBINI_EMAIL", EMAIL), ("KONBINI_PASSWORD", PASSWORD)]);
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = running.await?.context("cannot run this program again")?;
    let runs = if file.exists() { result::read(file)? } else { Vec::new() };
    let printed = [output.stdout, output.stderr];
    let printed = printed.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(FinishedScenario {
        runs,
        kept: output.status.success(),
        printed: printed.join("\n"),
    })
}

/// Whether a scenario has a long option of this name.
fn takes(scenario: &[String], option: &str) -> bool {
    let program = crate::Cli::command();
    let name = scenario.first().map_or("", String::as_str);
    let subcommand = program.find_subcommand(name);
    subcommand.is_some_and(|it| it.get_arguments().any(|arg| arg.get_long() == Some(option)))
}

impl FinishedScenario {
    /// The end of what the scenario printed, its complaint last.
    pub(crate) fn last_lines(&self) -> String {
        let lines: Vec<&str> = self
            .printed
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    /// The line that says most in one: the first broken promise, or the last of all.
    pub(crate) fn last_line(&self) -> &str {
        let mut lines = self.printed.lines();
        let broken = lines.find(|line| line.starts_with('✗'));
        let last = || self.printed.lines().rfind(|line| !line.is_empty());
        broken
            .or_else(last)
            .unwrap_or_default()
            .trim_start_matches(['✗', ' '])
    }
}
