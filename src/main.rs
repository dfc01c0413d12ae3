//! konbini: a whole e-commerce backend in one binary.
//!
//! This package has the command line and starts the services; it has no business rules.
//! `up` runs all services in one process, `run` one of them.

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
    // Blocking work without a waiter must not delay the exit of the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Prints the error on one line, and returns its exit code.
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
