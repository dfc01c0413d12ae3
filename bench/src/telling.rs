//! `konbini-bench notify`: how soon a buyer is told, and what those cost who wait.
//!
//! Buyers hold a stream of events each and order at a steady pace; the time of an
//! order runs from its request to the event on the buyer's stream, through the
//! gateway both ways. A request counts from the moment it was due, so a shop that
//! stalls cannot hide it. Idle streams are opened before, and the shop's memory is
//! looked at before and after. **Invariant:** a run in which an order was not told
//! of exactly once, or was not in the inbox by then, never ends with exit code 0.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Access, Account, Client};
use crate::memory::resident_bytes;
use crate::progress::Progress;
use crate::series::Series;
use crate::table::{self, Table};

/// What telling may take at p99.
const P99_MAX: Duration = Duration::from_millis(15);
/// What an open stream may cost the shop.
const STREAM_BYTES_MAX: u64 = 20 * 1024;
/// Who orders.
const BUYERS: usize = 8;
/// Streams of one account; the shop allows as many.
pub(crate) const STREAMS_EACH: usize = 16;
/// Log-ins and openings at once.
const CALLS_AT_ONCE: usize = 8;
/// How long after the last order its event may still come.
const TOLD_TIMEOUT: Duration = Duration::from_secs(30);
/// Of so many events, one buyer looks whether the inbox has it, too.
const LOOK_EVERY: usize = 20;
const PASSWORD: &str = "waits for what is told";

/// Order at a steady pace and measure how soon the buyers are told.
///
/// Exit code 1 when an order is told of late at p99, twice or never, or when an
/// open stream costs the shop more than 20 KiB.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,

    /// Orders a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,

    /// How long to order.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,

    /// Streams that are open meanwhile and hear nothing.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=3500))]
    streams: u32,

    /// The shop's processes, all of them. Without, memory is not looked at.
    #[arg(long)]
    pid: Vec<u32>,
}

/// What was heard, and when.
#[derive(Default)]
struct Heard {
    at: HashMap<String, Instant>,
    twice: u64,
    missing_in_inbox: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { access, rate, seconds, streams, pid } = args;
    let (client, staff) = access.open().await?;
    let client = Arc::new(client);
    let product = make_product(&client, &staff).await?;
    let buyers = log_in(&client, "buyer", BUYERS).await?;
    let waiting = log_in(
        &client,
        "waiting",
        (streams as usize).div_ceil(STREAMS_EACH),
    )
    .await?;

    let heard = Arc::new(Mutex::new(Heard::default()));
    let mut listening = JoinSet::new();
    for token in &buyers {
        let response = open(&client, token).await?;
        listening.spawn(listen(
            client.clone(),
            token.clone(),
            response,
            heard.clone(),
        ));
    }
    // Everything has its size before it is looked at.
    place(&client, &buyers, &product, rate, 2).await?;
    let before = resident(&pid)?;
    let idle = open_idle(&client, &waiting, streams as usize).await?;
    let after = resident(&pid)?;

    let placed = place(&client, &buyers, &product, rate, seconds).await?;
    let deadline = Instant::now() + TOLD_TIMEOUT;
    loop {
        let told = heard.lock().await;
        if placed.iter().all(|(order, _)| told.at.contains_key(order)) || Instant::now() > deadline
        {
            break;
        }
        drop(told);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let heard = heard.lock().await;
    let mut series = Series::new()?;
    let mut never = 0;
    for (order, due) in &placed {
        match heard.at.get(order) {
            Some(at) => series.record_lasting(at.saturating_duration_since(*due)),
            None => never += 1,
        }
    }
    let costs = (!pid.is_empty() && !idle.is_empty())
        .then(|| after.saturating_sub(before) / idle.len() as u64);
    drop(idle);
    let title = format!("{rate} orders a second for {seconds} s, {streams} idle streams");
    report(&title, &series, &heard, never, (before, after), costs)
}

fn report(
    title: &str,
    series: &Series,
    heard: &Heard,
    never: u64,
    (before, after): (u64, u64),
    costs: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut table = Table::default();
    table
        .section(title)
        .line(format_args!(
            "from the order's request to its event: {}",
            series.percentiles()
        ))
        .count("orders told of", series.count());
    let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
    match costs {
        Some(bytes) => table
            .row("memory before the idle streams", kib(before))
            .row("and with them", kib(after))
            .row(
                "an open stream costs",
                format!("{:.1} KiB", bytes as f64 / 1024.0),
            ),
        None => table.line("memory was not looked at: give --pid and --streams"),
    };
    let soon = series.quantile(0.99) <= P99_MAX;
    let once = never == 0 && heard.twice == 0;
    let there = heard.missing_in_inbox == 0;
    let cheap = costs.is_none_or(|bytes| bytes <= STREAM_BYTES_MAX);
    table
        .section("Verdict")
        .verdict(
            soon,
            &format!("told within {} ms at p99", P99_MAX.as_millis()),
        )
        .verdict(
            once,
            &format!("told once each: {never} never, {} twice", heard.twice),
        )
        .verdict(
            there,
            &format!("in the inbox by then: {} were not", heard.missing_in_inbox),
        )
        .verdict(
            cheap,
            &format!(
                "an open stream costs at most {} KiB",
                STREAM_BYTES_MAX / 1024
            ),
        );
    table.print()?;
    let passed = soon && once && there && cheap;
    Ok(table::exit(passed))
}

fn resident(pids: &[u32]) -> anyhow::Result<u64> {
    pids.iter()
        .map(|pid| resident_bytes(&pid.to_string()))
        .sum()
}

async fn make_product(client: &Client, staff: &Account) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Product {
        id: String,
    }
    // Another one each run: an earlier one's stock may be gone.
    let sku = format!("TELLING-{:08x}", rand::random::<u32>());
    let body = json!({
        "sku": sku,
        "title": "A measured product",
        "price": { "amount": 1999, "currency": "EUR" },
        "status": "published",
        "stock": 100_000_000,
    });
    let request = client
        .request(Method::POST, &["v1", "products"])
        .json(&body);
    let answer = client.send_as(staff, request).await?;
    let product: Product = answer.expect(StatusCode::CREATED, "making a product")?;
    Ok(product.id)
}

/// An access token for each of so many customers.
pub(crate) async fn log_in(
    client: &Client,
    who: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let progress = &Progress::count("logging in", count as u64);
    let tokens = stream::iter(0..count)
        .map(|number| async move {
            let email = format!("{who}{number}@telling.example");
            let account = Account::new(email, PASSWORD.to_owned());
            client.register(&account, who).await?;
            let token = client.renew(&account, "").await;
            progress.step();
            token
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    tokens
}

async fn open(client: &Client, token: &str) -> anyhow::Result<Response> {
    let request = client.request(Method::GET, &["v1", "notifications", "stream"]);
    let response = request.bearer_auth(token).send().await?;
    ensure!(
        response.status() == StatusCode::OK,
        "a stream was answered {}",
        response.status()
    );
    Ok(response)
}

pub(crate) async fn open_idle(
    client: &Client,
    tokens: &[String],
    count: usize,
) -> anyhow::Result<Vec<Response>> {
    let progress = &Progress::count("opening streams", count as u64);
    let opened = stream::iter(0..count)
        .map(|number| async move {
            let response = open(client, &tokens[number / STREAMS_EACH]).await;
            progress.step();
            response
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    opened
}

/// Notes when each confirmed order is told of, until the shop ends the stream.
async fn listen(
    client: Arc<Client>,
    token: String,
    mut response: Response,
    heard: Arc<Mutex<Heard>>,
) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut count = 0;
    while let Some(chunk) = response.chunk().await? {
        let at = Instant::now();
        text.push_str(std::str::from_utf8(&chunk).context("the stream is no text")?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(order) = confirmed(event) {
                let mut told = heard.lock().await;
                if told.at.insert(order.clone(), at).is_some() {
                    told.twice += 1;
                }
                drop(told);
                count += 1;
                if count % LOOK_EVERY == 0 && !is_in_inbox(&client, &token, &order).await? {
                    heard.lock().await.missing_in_inbox += 1;
                }
            }
            text = rest.to_owned();
        }
    }
    Ok(())
}

/// The order that an event says is confirmed.
fn confirmed(event: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Told {
        kind: String,
        data: About,
    }
    #[derive(Deserialize)]
    struct About {
        order_id: String,
    }
    let data = event.lines().find_map(|line| line.strip_prefix("data:"))?;
    let told: Told = serde_json::from_str(data.trim()).ok()?;
    (told.kind == "order.confirmed").then_some(told.data.order_id)
}

async fn is_in_inbox(client: &Client, token: &str, order: &str) -> anyhow::Result<bool> {
    let request = client.query(&["v1", "notifications"], &[("limit", "100")]);
    let answer = client.send(request.bearer_auth(token)).await?;
    let text = String::from_utf8_lossy(answer.body());
    Ok(answer.status == StatusCode::OK && text.contains(order))
}

/// Places orders at a steady pace; returns each with the moment it was due.
async fn place(
    client: &Arc<Client>,
    buyers: &[String],
    product: &str,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Vec<(String, Instant)>> {
    #[derive(Deserialize)]
    struct Order {
        id: String,
    }
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }] });
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut placing = JoinSet::new();
    for number in 0..(rate * seconds) as usize {
        let due = pace.tick().await.into_std();
        let request = client
            .request(Method::POST, &["v1", "orders"])
            .bearer_auth(&buyers[number % buyers.len()])
            .json(&body);
        let client = client.clone();
        placing.spawn(async move {
            let answer = client.send(request).await?;
            match answer.status {
                StatusCode::CREATED | StatusCode::ACCEPTED => {
                    let order: Order = answer.expect(answer.status, "ordering")?;
                    Ok((order.id, due))
                }
                _ => bail!("an order was answered {}", answer.describe()),
            }
        });
    }
    let mut placed = Vec::new();
    while let Some(order) = placing.join_next().await {
        placed.push(order??);
    }
    Ok(placed)
}
