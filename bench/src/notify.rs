//! `konbini-bench notify`: the latency from an order's request to its event on the buyer's
//! stream, and the memory of idle streams.
//!
//! Buyers hold a stream of events each and order at a steady rate, through the gateway both
//! ways. A request counts from the moment it was due, so a shop that stalls cannot hide it
//! (coordinated omission). Idle streams are opened before, and the shop's memory is
//! measured before and after.
//!
//! **Invariant:** a run in which an order was not notified exactly once, or was not in the
//! inbox by then, never ends with exit code 0.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::client::{Credentials, NewProduct, ShopClient, StaffLogin, WithId};
use crate::cost::Subject;
use crate::load::{
    Arrivals, Judgement, LoadOperation, LoadPlan, LoadRequest, Measured, Requests, SendOptions,
};
use crate::process::resident_bytes;
use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::shop::AccountTokens;
use crate::table::{self, ReportTable};

/// The p99 of the notification latency.
const P99_MAX: Duration = Duration::from_millis(15);
/// The shop's memory for an open stream.
const STREAM_BYTES_MAX: u64 = 20 * 1024;
/// Buyers who order.
const BUYERS: usize = 8;
/// Streams of one account; the shop allows as many.
pub(crate) const STREAMS_EACH: usize = 16;
/// Streams opened concurrently.
const CALLS_AT_ONCE: usize = 8;
/// How long after the last order its event may still come.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Every n-th event of a buyer is looked for in the inbox, too.
const LOOK_EVERY: usize = 20;
/// Orders in flight, before one starts late.
const WORKERS: usize = 256;
const PASSWORD: &str = "waits for notifications";

/// Order at a steady rate and measure how soon the buyers are notified.
///
/// Exit code 1 when a notification is late at p99, doubled or missing, or when an
/// open stream costs the shop more than 20 KiB.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

    /// Orders a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,

    /// How long to order.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,

    /// Idle streams that are open meanwhile.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=3500))]
    streams: u32,

    /// The shop's processes, all of them. By default they are found by its address.
    #[arg(long)]
    pid: Vec<u32>,

    #[command(flatten)]
    send: SendOptions,
}

/// The received events: the time of each, and the duplicates.
#[derive(Default)]
struct ReceivedEvents {
    at: HashMap<String, Instant>,
    twice: u64,
    missing_in_inbox: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { access, rate, seconds, streams, pid, send } = args;
    let (client, staff) = access.open().await?;
    let client = Arc::new(client);
    // A new product each run: an earlier one may be sold out.
    let product = NewProduct {
        sku: format!("NOTIFY-{:08x}", rand::random::<u32>()),
        title: "A measured product".into(),
        price: 1_999,
        stock: 100_000_000,
    };
    let product = client.create_product(&staff, product).await?;
    let buyers = log_in(&client, "buyer", BUYERS).await?;
    let subject = Subject::of(client.base(), &pid);
    let pids: Vec<u32> = subject
        .processes
        .iter()
        .map(|process| process.pid)
        .collect();
    let plan = LoadPlan {
        arrivals: Arrivals::Constant(rate.into()),
        subject: subject.clone(),
        ..LoadPlan::closed(send.target(client.base())?, WORKERS)
    };
    let waiting = log_in(
        &client,
        "waiting",
        (streams as usize).div_ceil(STREAMS_EACH),
    )
    .await?;

    let received = Arc::new(Mutex::new(ReceivedEvents::default()));
    let mut listening = JoinSet::new();
    for buyer in 0..BUYERS {
        let token = buyers.get(buyer);
        let response = open(&client, &token).await?;
        listening.spawn(listen(client.clone(), token, response, received.clone()));
    }
    // Warm up, so that memory is stable before it is measured.
    place(&plan, &buyers, &product, 2 * rate).await?;
    let before = resident_bytes(&pids)?;
    let idle = open_idle(&client, &waiting, streams as usize).await?;
    let after = resident_bytes(&pids)?;

    let (placed, measured) = place(&plan, &buyers, &product, rate * seconds).await?;
    send.result.write(&[measured.result("notify", None)])?;
    let deadline = Instant::now() + EVENT_TIMEOUT;
    loop {
        let notified = received.lock().await;
        if placed
            .iter()
            .all(|(order, _)| notified.at.contains_key(order))
            || Instant::now() > deadline
        {
            break;
        }
        drop(notified);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let received = received.lock().await;
    let mut series = Series::new()?;
    let mut never = 0;
    for (order, due) in &placed {
        match received.at.get(order) {
            Some(at) => series.record_lasting(at.saturating_duration_since(*due)),
            None => never += 1,
        }
    }
    let costs = (!pids.is_empty() && !idle.is_empty())
        .then(|| after.saturating_sub(before) / idle.len() as u64);
    drop(idle);
    let title = format!("{rate} orders a second for {seconds} s, {streams} idle streams");
    report(&title, &series, &received, never, (before, after), costs)
}

fn report(
    title: &str,
    series: &Series,
    received: &ReceivedEvents,
    never: u64,
    (before, after): (u64, u64),
    costs: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut table = ReportTable::default();
    table
        .section(title)
        .line(format_args!(
            "from the order's request to its event: {}",
            series.percentiles()
        ))
        .count("orders notified", series.count());
    let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
    match costs {
        Some(bytes) => table
            .row("memory before the idle streams", kib(before))
            .row("and with them", kib(after))
            .row(
                "an open stream costs",
                format!("{:.1} KiB", bytes as f64 / 1024.0),
            ),
        None => table.line("memory was not looked at: give --streams, and --pid if need be"),
    };
    let soon = series.quantile(0.99) <= P99_MAX;
    let once = never == 0 && received.twice == 0;
    let there = received.missing_in_inbox == 0;
    let cheap = costs.is_none_or(|bytes| bytes <= STREAM_BYTES_MAX);
    table
        .section("Verdict")
        .verdict(
            soon,
            &format!("notified within {} ms at p99", P99_MAX.as_millis()),
        )
        .verdict(
            once,
            &format!(
                "notified once each: {never} never, {} twice",
                received.twice
            ),
        )
        .verdict(
            there,
            &format!(
                "in the inbox by then: {} were not",
                received.missing_in_inbox
            ),
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

/// So many customers, logged in.
pub(crate) async fn log_in(
    client: &ShopClient,
    who: &str,
    count: usize,
) -> anyhow::Result<AccountTokens> {
    let email = |number| format!("{who}{number}@notify.example");
    let accounts = (0..count).map(|number| Credentials::new(email(number), PASSWORD.into()));
    let accounts = client.log_in_all(accounts).await?;
    AccountTokens::of(client, accounts).await
}

async fn open(client: &ShopClient, token: &str) -> anyhow::Result<Response> {
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
    client: &ShopClient,
    tokens: &AccountTokens,
    count: usize,
) -> anyhow::Result<Vec<Response>> {
    let progress = &PhaseProgress::count("opening streams", count as u64);
    let opened = stream::iter(0..count)
        .map(|number| async move {
            let response = open(client, &tokens.get(number / STREAMS_EACH)).await;
            progress.step();
            response
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    opened
}

/// Records when each order's confirmation arrives, until the shop ends the stream.
async fn listen(
    client: Arc<ShopClient>,
    token: Arc<str>,
    mut response: Response,
    received: Arc<Mutex<ReceivedEvents>>,
) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut count = 0;
    while let Some(chunk) = response.chunk().await? {
        let at = Instant::now();
        text.push_str(std::str::from_utf8(&chunk).context("the stream is no text")?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(order) = confirmed(event) {
                let mut notified = received.lock().await;
                if notified.at.insert(order.clone(), at).is_some() {
                    notified.twice += 1;
                }
                drop(notified);
                count += 1;
                if count % LOOK_EVERY == 0 && !is_in_inbox(&client, &token, &order).await? {
                    received.lock().await.missing_in_inbox += 1;
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
    struct NotificationBody {
        kind: String,
        data: About,
    }
    #[derive(Deserialize)]
    struct About {
        order_id: String,
    }
    let data = event.lines().find_map(|line| line.strip_prefix("data:"))?;
    let body: NotificationBody = serde_json::from_str(data.trim()).ok()?;
    (body.kind == "order.confirmed").then_some(body.data.order_id)
}

async fn is_in_inbox(client: &ShopClient, token: &str, order: &str) -> anyhow::Result<bool> {
    let request = client.query(&["v1", "notifications"], &[("limit", "100")]);
    let answer = client.send(request.bearer_auth(token)).await?;
    let text = String::from_utf8_lossy(answer.body());
    Ok(answer.status == StatusCode::OK && text.contains(order))
}

/// Orders of one piece by all buyers in turns.
struct NotifiedOrders {
    buyers: AccountTokens,
    product: String,
    number: usize,
    left: u32,
    /// Each order, with the moment its request was due.
    placed: Vec<(String, Instant)>,
}

impl Requests for NotifiedOrders {
    fn kinds(&self) -> Vec<String> {
        vec!["order".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let buyer = self.buyers.get(self.number % self.buyers.len());
        self.number += 1;
        request.order(&buyer, &[(&self.product, 1)]);
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let order = match &operation.response {
            Ok(response) if matches!(response.status, 201 | 202) => response.json(),
            _ => None,
        };
        if let Some(WithId { id }) = order {
            self.placed.push((id, operation.due));
            return Judgement::Expected;
        }
        Judgement::Failed
    }
}

/// Places orders at a steady rate.
async fn place(
    plan: &LoadPlan,
    buyers: &AccountTokens,
    product: &str,
    count: u32,
) -> anyhow::Result<(Vec<(String, Instant)>, Measured)> {
    let orders = NotifiedOrders {
        buyers: buyers.clone(),
        product: product.to_owned(),
        number: 0,
        left: count,
        placed: Vec::new(),
    };
    let (orders, measured) = plan.clone().run(orders).await?;
    measured.ensure_expected("an order")?;
    Ok((orders.placed, measured))
}
