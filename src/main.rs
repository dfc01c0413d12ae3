//! konbini: a whole e-commerce backend in one binary.
//!
//! This package starts services and speaks to people at a terminal; it holds no
//! business rule. `up` runs all services in one process, `run` one of them.

mod allocator;
mod check;
mod cli;
mod config;
mod control;
mod demo;
mod keys;
mod products;
mod service_name;
mod services;
mod shop;
mod table;
mod up;
mod user;

use std::process::ExitCode;

use clap::Parser;
use owo_colors::OwoColorize;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(cli.run());
    // Blocking work that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One clear line, and the exit code that goes with the reason.
fn fail(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref::<chassis::Error>() {
        Some(error) => error.exit_code(),
        None if error.is::<shop::UsageError>() => 2,
        None => 1,
    };
    let lines: Vec<_> = error.chain().map(ToString::to_string).collect();
    anstream::eprintln!("{} {}", "konbini:".red().bold(), lines.join(": "));
    ExitCode::from(code)
}
