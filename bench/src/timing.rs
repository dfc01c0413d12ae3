//! `konbini-bench timing`: the timing side channel of log-ins, by which an attacker could
//! learn which e-mail addresses have an account.
//!
//! A wrong password and an unknown address alternate in random order, one at a time. The
//! difference of the medians is reported without a verdict in the exit code, since a busy
//! host shifts medians.
//!
//! **Invariant:** a run in which the two got different problems never ends with exit code 0.

use std::collections::VecDeque;
use std::process::ExitCode;

use anyhow::bail;
use rand::RngExt;
use reqwest::Url;
use serde_json::Value;

use crate::client::{Credentials, ShopClient};
use crate::load::{
    HttpVersion, Judgement, LoadOperation, LoadPlan, LoadRequest, LoadTarget, Requests,
    ResultOptions,
};
use crate::progress::PhaseProgress;
use crate::result::LoadResult;
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

    #[command(flatten)]
    result: ResultOptions,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = ShopClient::new(args.url)?;
    let run_id = format!("{:08x}", rand::random::<u32>());
    let accounts = args.tries.div_ceil(TRIES_EACH);
    let account = |number| {
        let email = TriedLogin::Wrong.email(number * TRIES_EACH, &run_id);
        Credentials::new(email, PASSWORD.into())
    };
    client.log_in_all((0..accounts).map(account)).await?;

    let tries = (0..args.tries).flat_map(|number| {
        let mut pair = [(TriedLogin::Wrong, number), (TriedLogin::Unknown, number)];
        if rand::rng().random_bool(0.5) {
            pair.reverse();
        }
        pair
    });
    let progress = PhaseProgress::count("logging in", (2 * args.tries).into());
    let tries = tries.collect();
    let log_ins = FailedLogIns { tries, run_id, problems: Vec::new(), progress };
    let plan = LoadPlan::closed(LoadTarget::of(client.base(), HttpVersion::Http1, None)?, 1);
    let (log_ins, measured) = plan.run(log_ins).await?;
    log_ins.progress.finish();
    measured.ensure_expected("a wrong login")?;
    args.result.write(&[measured.result("timing", None)])?;
    let [wrong, unknown] = &measured.loads[..] else {
        bail!("the two kinds were not measured");
    };
    report(wrong, unknown, &log_ins.problems).print()?;
    Ok(table::exit(log_ins.problems.len() == 1))
}

/// Why a log-in fails.
#[derive(Clone, Copy)]
enum TriedLogin {
    Wrong,
    Unknown,
}

impl TriedLogin {
    fn email(self, number: u32, run_id: &str) -> String {
        let who = match self {
            Self::Wrong => "known",
            Self::Unknown => "unknown",
        };
        format!("{who}{}-{run_id}@timing.example", number / TRIES_EACH)
    }
}

/// Log-ins that fail, one at a time.
struct FailedLogIns {
    tries: VecDeque<(TriedLogin, u32)>,
    run_id: String,
    /// The different problems, apart from each request's own id.
    problems: Vec<Value>,
    progress: PhaseProgress,
}

impl Requests for FailedLogIns {
    fn kinds(&self) -> Vec<String> {
        vec!["wrong password".to_owned(), "unknown e-mail".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let (login, number) = self.tries.pop_front()?;
        let email = login.email(number, &self.run_id);
        let body = format_args!(r#"{{"email":"{email}","password":"{WRONG}"}}"#);
        request.post("/v1/sessions", body);
        Some(login as usize)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        self.progress.step();
        let problem: Option<Value> = match &operation.response {
            Ok(response) if response.status == 401 => response.json(),
            _ => None,
        };
        let Some(mut problem) = problem else {
            return Judgement::Failed;
        };
        Value::take(&mut problem["instance"]);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Judgement::Expected
    }
}

fn report(wrong: &LoadResult, unknown: &LoadResult, problems: &[Value]) -> ReportTable {
    let median = |load: &LoadResult| load.response.p50_us / 1e3;
    let (known_ms, unknown_ms) = (median(wrong), median(unknown));
    let difference = (known_ms - unknown_ms).abs() / known_ms.max(unknown_ms);
    let mut table = ReportTable::default();
    table
        .section(&format!("{} tries of each kind", wrong.operations))
        .line(format_args!(
            "wrong password: {}",
            wrong.response.percentiles()
        ))
        .line(format_args!(
            "unknown e-mail: {}",
            unknown.response.percentiles()
        ))
        .row("median, wrong password, ms", format_args!("{known_ms:.3}"))
        .row(
            "median, unknown e-mail, ms",
            format_args!("{unknown_ms:.3}"),
        )
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
