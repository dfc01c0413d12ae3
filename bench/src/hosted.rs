//! A shop that this program boots for scenarios, each run as a process of this same
//! program against it, exactly as people run them.
//!
//! **Invariant:** what a scenario prints is kept, so that a failure can be explained.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory as _;
use testkit::shop::{Form, Shop};

use crate::result::{self, RunResult};

/// This very program, even if its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
const EMAIL: &str = "staff@bench.example";
/// It protects nothing: the shop is gone with this program.
const PASSWORD: &str = "a kettle and three lamps";
/// How the shop marks that the demo catalogue is complete.
const FILLED: &str = "filled";
/// Lines of a failed scenario's output that are shown.
const LINES_SHOWN: usize = 15;

/// An open shop in one process with the demo catalogue, in a folder and on a port of its own.
pub(crate) struct HostedShop(Shop);

/// What a scenario measured and printed.
pub(crate) struct FinishedScenario {
    /// Of its result file; none if it wrote none.
    pub(crate) runs: Vec<RunResult>,
    /// Whether it kept what it promises.
    pub(crate) kept: bool,
    printed: String,
}

impl HostedShop {
    /// Opens a shop of `binary`, or of the `konbini` beside this program.
    pub(crate) async fn open(binary: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut shop = Shop::new(binary)?;
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
        Ok(Self(shop))
    }

    /// Runs a scenario with its arguments on this shop, which writes its result to `file`.
    pub(crate) async fn run(
        &mut self,
        scenario: &[String],
        file: &Path,
    ) -> anyhow::Result<FinishedScenario> {
        let mut arguments = scenario.to_vec();
        arguments.push(format!("--url={}", self.0.url("/")));
        // The disk that is measured with the shop is the one it writes to.
        if takes(scenario, "dir") {
            arguments.push(format!("--dir={}", self.0.data().display()));
        }
        let finished = run(&arguments, file).await?;
        // A shop that ended explains more than the scenario that noticed.
        self.0.check()?;
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
