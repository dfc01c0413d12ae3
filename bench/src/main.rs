//! konbini-bench: load, replays, torture and power cuts from outside.
//!
//! Everything that measures a shop uses it over HTTP as a customer would; only the rigs of
//! the store link `store`, and a played service the `mesh` that it is announced on. No
//! service is ever linked here. Each module is one subcommand with its `Args` and `run`.
//!
//! **Invariant:** a run whose verification failed ends with exit code 1.

mod against;
mod all;
mod burst;
mod catalogue;
mod client;
mod compare;
mod comparison;
mod cost;
mod coupons;
mod daemon;
mod gateway;
mod generator;
mod hardware;
mod hosted;
mod import;
mod json_lines;
mod load;
mod mix;
mod mix_run;
mod notify;
mod orders;
mod overload;
mod payments;
mod power_cut;
mod process;
mod progress;
mod relevance;
mod replay;
mod report;
mod result;
mod rolling;
mod search;
mod series;
mod shop;
mod slow;
mod statistics;
mod steady_reads;
mod store_age;
mod store_bench;
mod sweep;
mod table;
mod timing;
mod torture;
mod vary;
mod yardsticks;

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
    Search(search::Args),
    Replay(replay::Args),
    Orders(orders::Args),
    Run(mix_run::MixArgs),
    Sweep(sweep::Args),
    Torture(torture::Args),
    Rolling(rolling::Args),
    #[command(alias = "rush")]
    Burst(burst::Args),
    Payments(payments::Args),
    Coupons(coupons::Args),
    #[command(alias = "flood")]
    Overload(overload::Args),
    Slow(slow::Args),
    #[command(alias = "doors")]
    Gateway(gateway::Args),
    Generator(generator::Args),
    Yardsticks(yardsticks::Args),
    Notify(notify::Args),
    Timing(timing::Args),
    Store(store_bench::Args),
    #[command(alias = "aged")]
    StoreAge(store_age::Args),
    #[command(hide = true)]
    StoreAgeReader(store_age::ReaderArgs),
    Compare(compare::Args),
    Against(against::Args),
    All(all::Args),
    Report(report::Args),
    #[command(alias = "plug")]
    PowerCut(power_cut::Args),
    #[command(hide = true)]
    PowerCutWriter(power_cut::WriterArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Import(args) => over_http(import::run(args)),
        Command::Vary(args) => vary::run(args),
        Command::Relevance(args) => over_http(relevance::run(args)),
        Command::Search(args) => over_http(search::run(args)),
        Command::Replay(args) => over_http(replay::run(args)),
        Command::Orders(args) => over_http(orders::run(args)),
        Command::Run(args) => over_http(mix_run::run(args)),
        Command::Sweep(args) => over_http(sweep::run(args)),
        Command::Torture(args) => over_http(torture::run(args)),
        Command::Rolling(args) => over_http(rolling::run(args)),
        Command::Burst(args) => over_http(burst::run(args)),
        Command::Payments(args) => over_http(payments::run(args)),
        Command::Coupons(args) => over_http(coupons::run(args)),
        Command::Overload(args) => over_http(overload::run(args)),
        Command::Slow(args) => over_http(slow::run(args)),
        Command::Gateway(args) => over_http(gateway::run(args)),
        Command::Generator(args) => over_http(generator::run(args)),
        Command::Yardsticks(args) => over_http(yardsticks::run(args)),
        Command::Notify(args) => over_http(notify::run(args)),
        Command::Timing(args) => over_http(timing::run(args)),
        Command::Store(args) => store_bench::run(args),
        Command::StoreAge(args) => store_age::run(args),
        Command::StoreAgeReader(args) => store_age::run_reader(args),
        Command::Against(args) => over_http(against::run(args)),
        Command::Report(args) => report::run(&args),
        Command::All(args) => over_http(all::run(args)),
        Command::Compare(args) => compare::run(&args),
        Command::PowerCut(args) => power_cut::run(args),
        Command::PowerCutWriter(args) => power_cut::run_writer(args),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_two_options_of_a_scenario_have_one_name() {
        super::Cli::command().debug_assert();
    }
}
