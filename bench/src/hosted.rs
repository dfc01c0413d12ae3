//! A shop that this program boots for scenarios, each run as a process of this same
//! program against it, exactly as people run them.
//!
//! **Invariant:** a run whose scenario wrote no result file is an error with what it
//! printed last, whatever its exit code.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};
use testkit::shop::{Form, Shop};

use crate::result::{self, RunResult};

const EMAIL: &str = "staff@bench.example";
/// It protects nothing: the shop is gone with this program.
const PASSWORD: &str = "a kettle and three lamps";
/// How the shop marks that the demo catalogue is complete.
const FILLED: &str = "filled";
/// Lines of a failed scenario's output that are shown.
const LINES_SHOWN: usize = 15;

/// An open shop in one process with the demo catalogue, in a folder and on a port of its own.
pub(crate) struct HostedShop(Shop);

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

    /// Runs a scenario with its arguments on this shop.
    pub(crate) async fn run(&mut self, scenario: &[String]) -> anyhow::Result<Vec<RunResult>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("result.json");
        let mut command = this_program(scenario)?;
        command.args(["--url", self.0.url("/").as_str()]);
        command.arg("--out").arg(&file);
        let output = finish(command).await?;
        // A shop that ended explains more than the scenario that noticed.
        self.0.check()?;
        runs_of(&file, &output, scenario)
    }
}

/// This program with the arguments of a scenario, and the credentials of a hosted shop.
pub(crate) fn this_program(scenario: &[String]) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = testkit::shop::command(program);
    command.args(scenario);
    command.envs([("KONBINI_EMAIL", EMAIL), ("KONBINI_PASSWORD", PASSWORD)]);
    Ok(command)
}

/// Waits for a command's end.
pub(crate) async fn finish(mut command: Command) -> anyhow::Result<Output> {
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await?.context("cannot run this program again")
}

/// The last lines that a command printed, its complaint last.
pub(crate) fn last_lines(output: &Output) -> String {
    let printed = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let printed = printed.join("\n");
    let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

fn runs_of(file: &Path, output: &Output, scenario: &[String]) -> anyhow::Result<Vec<RunResult>> {
    let shown = scenario.join(" ");
    match file.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(
                "`{shown}` ended with {}\n{}",
                output.status,
                last_lines(output)
            )
        }
        _ => {}
    }
    let runs = result::read(file)?;
    ensure!(!runs.is_empty(), "`{shown}` measured nothing");
    Ok(runs)
}
