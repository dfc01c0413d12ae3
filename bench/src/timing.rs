//! `konbini-bench timing`: the timing side channel of log-ins, by which an attacker could
//! learn which e-mail addresses have an account.
//!
//! A wrong password and an unknown address alternate in random order, one at a time. The
//! difference of the medians is reported without a verdict in the exit code, since a busy
//! host shifts medians.
//!
//! **Invariant:** a run in which the two got different problems never ends with exit code 0.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use rand::RngExt;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::client::{Credentials, ShopClient};
use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::table::{self, ReportTable};

/// Tries with one address; the shop throttles more failures than these.
const TRIES_EACH: u32 = 4;
/// The two medians are to be this close.
const DIFFERENCE_MAX: f64 = 0.05;
const PASSWORD: &str = "a kettle and three lamps";
const WRONG: &str = "a kettle and four lamps";

/// Compare how long a login takes with a wrong password and with an unknown
/// e-mail address.
///
/// Makes an account for every four tries, since a shop throttles more failures than
/// that.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shop's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,

    /// Tries of each kind.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tries: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = ShopClient::new(args.url)?;
    let run_id = format!("{:08x}", rand::random::<u32>());
    let known = |try_| format!("known{}-{run_id}@timing.example", try_ / TRIES_EACH);
    let unknown = |try_| format!("unknown{}-{run_id}@timing.example", try_ / TRIES_EACH);

    let accounts = args.tries.div_ceil(TRIES_EACH);
    let account = |number| Credentials::new(known(number * TRIES_EACH), PASSWORD.into());
    client.log_in_all((0..accounts).map(account)).await?;

    let strict = client.without_retries()?;
    let (mut wrong, mut unknown_series) = (Series::new()?, Series::new()?);
    let mut problems = Vec::new();
    let progress = PhaseProgress::count("logging in", (2 * args.tries).into());
    for try_ in 0..args.tries {
        let known_first = rand::rng().random_bool(0.5);
        for is_known in [known_first, !known_first] {
            let (email, series) = if is_known {
                (known(try_), &mut wrong)
            } else {
                (unknown(try_), &mut unknown_series)
            };
            let problem = fail(&strict, &email, series).await?;
            if !problems.contains(&problem) {
                problems.push(problem);
            }
            progress.step();
        }
    }
    progress.finish();
    report(&wrong, &unknown_series, &problems).print()?;
    let is_same = problems.len() == 1;
    Ok(table::exit(is_same))
}

/// Fails to log in; the problem, apart from the request's own id.
async fn fail(client: &ShopClient, email: &str, series: &mut Series) -> anyhow::Result<Value> {
    let request = client
        .request(Method::POST, &["v1", "sessions"])
        .json(&json!({"email": email, "password": WRONG}));
    let started = Instant::now();
    let answer = client.send(request).await?;
    series.record(started);
    ensure!(
        answer.status == StatusCode::UNAUTHORIZED,
        "a wrong login was answered {}",
        answer.describe()
    );
    let mut problem: Value = answer.json().context("a 401 without a problem document")?;
    problem["instance"].take();
    Ok(problem)
}

fn report(wrong: &Series, unknown_series: &Series, problems: &[Value]) -> ReportTable {
    let median = |series: &Series| series.quantile(0.5).as_secs_f64() * 1_000.0;
    let (known, unknown) = (median(wrong), median(unknown_series));
    let difference = (known - unknown).abs() / known.max(unknown);
    let mut table = ReportTable::default();
    table
        .section(&format!("{} tries of each kind", wrong.count()))
        .line(format_args!("wrong password: {}", wrong.percentiles()))
        .line(format_args!(
            "unknown e-mail: {}",
            unknown_series.percentiles()
        ))
        .row("median, wrong password, ms", format_args!("{known:.3}"))
        .row("median, unknown e-mail, ms", format_args!("{unknown:.3}"))
        .verdict(
            difference <= DIFFERENCE_MAX,
            &format!("the medians differ by {:.2} %", difference * 100.0),
        )
        .verdict(
            problems.len() == 1,
            &format!("{} different answers were given", problems.len()),
        );
    table
}
