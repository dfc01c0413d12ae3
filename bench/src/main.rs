//! konbini-bench: load, replays and torture from outside.
//!
//! Everything that measures a shop speaks to it over HTTP as a customer would;
//! only the store's own rigs link a crate of ours, and it is `store`. No service
//! is ever linked here. This file only names the subcommands; each module owns
//! its `Args` and its `run`, and a run that found fault ends with exit code 1.

mod aged;
mod catalogue;
mod client;
mod import;
mod lines;
mod plug;
mod progress;
mod replay;
mod series;
mod store_bench;
mod table;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Fill a running konbini with real products and real orders, and measure it.
#[derive(Parser)]
#[command(name = "konbini-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Import(import::Args),
    Replay(replay::Args),
    Store(store_bench::Args),
    Aged(aged::Args),
    #[command(hide = true)]
    AgedReader(aged::ReaderArgs),
    Plug(plug::Args),
    #[command(hide = true)]
    PlugWriter(plug::WriterArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Import(args) => over_http(import::run(args)),
        Command::Replay(args) => over_http(replay::run(args)),
        Command::Store(args) => store_bench::run(args),
        Command::Aged(args) => aged::run(args),
        Command::AgedReader(args) => aged::run_reader(args),
        Command::Plug(args) => plug::run(args),
        Command::PlugWriter(args) => plug::run_writer(args),
    };
    outcome.unwrap_or_else(|error| {
        anstream::eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs a command that speaks to a shop, on the runtime its client needs.
fn over_http(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()
        .context("cannot start the async runtime")?
        .block_on(command)
}
