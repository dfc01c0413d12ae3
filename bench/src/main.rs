//! konbini-bench: load, replays and torture from outside.
//!
//! Everything that measures a shop speaks to it over HTTP as a customer would;
//! only the store's own rigs link a crate of ours, `store`, and a played service
//! the `mesh` that it is announced on. No service is ever linked here. This file
//! only names the subcommands; each module owns its `Args` and its `run`, and a run
//! that found fault ends with exit code 1.

mod aged;
mod catalogue;
mod client;
mod doors;
mod flood;
mod import;
mod lines;
mod memory;
mod ordering;
mod payments;
mod plug;
mod progress;
mod relevance;
mod replay;
mod rolling;
mod rush;
mod searching;
mod series;
mod slow;
mod store_bench;
mod table;
mod telling;
mod timing;
mod torture;
mod vary;

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
    Vary(vary::Args),
    Relevance(relevance::Args),
    Search(searching::Args),
    Replay(replay::Args),
    Orders(ordering::Args),
    Torture(torture::Args),
    Rolling(rolling::Args),
    Rush(rush::Args),
    Payments(payments::Args),
    Flood(flood::Args),
    Slow(slow::Args),
    Doors(doors::Args),
    Notify(telling::Args),
    Timing(timing::Args),
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
        Command::Vary(args) => vary::run(args),
        Command::Relevance(args) => over_http(relevance::run(args)),
        Command::Search(args) => over_http(searching::run(args)),
        Command::Replay(args) => over_http(replay::run(args)),
        Command::Orders(args) => over_http(ordering::run(args)),
        Command::Torture(args) => over_http(torture::run(args)),
        Command::Rolling(args) => over_http(rolling::run(args)),
        Command::Rush(args) => over_http(rush::run(args)),
        Command::Payments(args) => over_http(payments::run(args)),
        Command::Flood(args) => over_http(flood::run(args)),
        Command::Slow(args) => over_http(slow::run(args)),
        Command::Doors(args) => over_http(doors::run(args)),
        Command::Notify(args) => over_http(telling::run(args)),
        Command::Timing(args) => over_http(timing::run(args)),
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
