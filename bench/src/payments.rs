//! `konbini-bench payments`: a double of the payment provider that sends its
//! webhooks rightly once and wrongly in every way known.
//!
//! It opens a shop of its own, since some ways need one that is half down. Each
//! message is held against one expectation: the answer, and the order's state
//! afterwards. **Invariant:** a run in which one of them differs never ends with
//! exit code 0.

pub(crate) mod provider;
mod scenarios;
mod setup;

use std::process::ExitCode;

use serde::Serialize;
use testkit::shop::Form;

use self::scenarios::SCENARIOS;
use self::setup::Setup;
use crate::client::{Credentials, ShopClient};
use crate::hardware::OwnShopArgs;
use crate::progress::PhaseProgress;
use crate::table::{self, ReportTable};

const STAFF_EMAIL: &str = "staff@payments.example";
const BUYER_EMAIL: &str = "buyer@payments.example";
const PASSWORD: &str = "a kettle and three lamps";

/// Send payment webhooks wrongly in every way, and check what comes of it.
///
/// Starts the real binary in a temporary folder, places orders and plays the
/// payment provider (Standard Webhooks). Prints each message, its expected and its actual effect.
/// Exit code 1 when anything else was got than expected.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    own_shop: OwnShopArgs,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// One thing that was tried.
#[derive(Serialize)]
struct WebhookCheck {
    sent: String,
    /// The answer, and after the arrow the order's state.
    expected: String,
    got: String,
}

impl WebhookCheck {
    fn is_as_expected(&self) -> bool {
        self.expected == self.got
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut shop = args.own_shop.shop()?;
    shop.add_user(STAFF_EMAIL, "staff", PASSWORD)?;
    let secrets = provider::WebhookSecrets::new();
    shop.configure(&secrets.settings())?;
    shop.open(Form::Run)?;
    shop.ready().await?;
    let client = ShopClient::new(shop.url("/"))?;
    let staff = Credentials::new(STAFF_EMAIL.into(), PASSWORD.into());
    let buyer = Credentials::new(BUYER_EMAIL.into(), PASSWORD.into());
    client.register(&buyer).await?;
    let mut setup = Setup::begin(shop, client, staff, buyer, secrets).await?;
    let progress = PhaseProgress::count("playing scenarios", SCENARIOS.len() as u64);
    for scenario in SCENARIOS {
        scenario(&mut setup).await?;
        progress.step();
    }
    progress.finish();
    let rows = setup.end().await?;
    let is_fine = rows.iter().all(WebhookCheck::is_as_expected);
    table::print(args.json, &rows, || table(&rows))?;
    Ok(table::exit(is_fine))
}

fn table(rows: &[WebhookCheck]) -> ReportTable {
    let mut table = ReportTable::default();
    table.section("What the payment provider sent, and what came of it");
    for row in rows {
        let WebhookCheck { sent, expected, got } = row;
        if row.is_as_expected() {
            table.kept(&format!("{sent:<58} {got}"));
        } else {
            table.broken(&format!("{sent:<58} {got}, not {expected}"));
        }
    }
    let wrong = rows.iter().filter(|row| !row.is_as_expected()).count();
    table
        .section("Verdict")
        .count("things tried", rows.len() as u64)
        .verdict(wrong == 0, &format!("{wrong} came out otherwise"));
    table
}
