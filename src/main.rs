//! konbini: a whole e-commerce backend in one binary.
//!
//! This package has the command line and starts the services; it has no business rules.
//! `up` runs all services in one process, `run` one of them.

mod allocator;
mod backup;
mod bundle;
mod check;
mod cli;
mod compact;
mod config;
mod control;
mod demo;
mod doctor;
mod events;
mod generate;
mod keys;
mod mail;
mod output;
mod positions;
mod products;
mod reservations;
mod rollback;
mod salvage;
mod service_name;
mod services;
mod settings;
mod shop;
mod status;
mod systemd;
mod table;
mod up;
mod upgrade;
mod user;

use std::process::ExitCode;

use clap::Parser;
use owo_colors::OwoColorize;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// By how much the priority of work in the background is lowered (nice(2)): as far as it goes.
const BACKGROUND: i32 = 19;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    raise_descriptor_limit();
    if cli.is_background() {
        // The shop goes first. Threads have the priority of the one that starts them, so this
        // comes before the runtime; without it the command is only less polite.
        let _ = nice(BACKGROUND);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(cli.run());
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    };
    chassis::telemetry::finish();
    // Blocking work without a waiter must not delay the exit of the process.
    runtime.shutdown_background();
    code
}

/// Raises the soft limit of open files to the hard one. Each connection is a file, and the
/// usual soft limit of 1,024 is for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is, which only bounds the connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Prints the error on one line, and returns its exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref::<chassis::Error>() {
        Some(error) => error.exit_code(),
        None if error.is::<shop::UsageError>() => 2,
        None => 1,
    };
    let lines: Vec<_> = error.chain().map(ToString::to_string).collect();
    crate::output::error_line!("{} {}", "konbini:".red().bold(), lines.join(": "));
    ExitCode::from(code)
}
