//! Short runs of the scenarios that verify a shop of their own, against the
//! `konbini` that was built beside this program (`cargo build`, or `cargo test
//! --workspace`, which does).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod loads;

use std::process::Command;

/// Runs a scenario; the failure is its report.
fn passes(scenario: &[&str]) {
    passes_in(scenario, &[]);
}

/// Runs a scenario with these variables.
fn passes_in(scenario: &[&str], variables: &[(&str, &str)]) {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_konbini-bench"));
    bench.envs(variables.iter().copied());
    let out = bench.args(scenario).output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.status.success(), "{scenario:?}\n{}", said.join("\n"));
}

/// Any processes of a shop in one or in five, killed in the middle of work.
#[test]
fn a_tortured_shop_keeps_its_promises() {
    passes(&["torture", "--kills", "8"]);
}

/// Webhooks of the payment provider, right, wrong and out of order.
#[test]
fn wrong_payments_change_nothing() {
    passes(&["payments"]);
}

/// A code that few of many buyers can have, while orders and products are killed.
#[test]
fn a_code_is_redeemed_as_often_as_its_cap_says() {
    passes(&[
        "coupons",
        "--cap",
        "20",
        "--buyers",
        "300",
        "--accounts",
        "16",
        "--kills",
        "3",
    ]);
}
