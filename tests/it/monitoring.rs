//! Monitoring of a shop: one page with the metrics of every service, the dashboard and the
//! alerts that use them, and the pings of a dead man's switch.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, SERVICES, Shop};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::people::{Person, lamp, pieces};
use crate::world::{closed, open};

/// A part of the path of the ping, which no log may have.
const SECRET: &str = "4f1c9a";

/// A metric that needs more than an order: tested beside TLS, in the gateway.
const ELSEWHERE: &str = "konbini_certificate_expiry_seconds";

/// The samples on a page: name, labels and value. No series occurs twice.
fn samples(page: &str) -> HashMap<String, f64> {
    let mut all = HashMap::new();
    for line in page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(series.contains("service=\""), "{line}");
        let before = all.insert(series.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{series} twice");
    }
    // Each metric has one head.
    let mut heads = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(heads.insert(line), "{line} twice");
    }
    all
}

async fn scrape(shop: &Shop) -> HashMap<String, f64> {
    let response = reqwest::get(shop.url("/metrics")).await.unwrap();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(response.headers()["content-type"], kind);
    let page = response.text().await.unwrap();
    assert!(page.contains("# TYPE process_cpu_seconds_total counter\n"));
    samples(&page)
}

async fn buy(shop: &Shop) {
    let admin = Person::admin(shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Brass desk lamp", 3)]).await;
    let buyer = Person::register(shop, "mori@konbini.example").await;
    let placed = buyer.post("/v1/orders", pieces(&ids[0], 1)).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let order = placed.body["id"].as_str().unwrap();
    let paid = admin
        .post(&format!("/v1/orders/{order}/pay"), json!({}))
        .await;
    assert_eq!(paid.status, 200, "{paid:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_shows_all_services_on_one_page() {
    look(&open(Form::Up).await, &["all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_show_all_services_on_one_page() {
    let mut shop = open(Form::Run).await;
    look(&shop, &SERVICES).await;
    shop.kill(&["orders"]).unwrap();
    let page = scrape(&shop).await;
    let has_orders = |series: &&String| series.starts_with("konbini_log_tail{service=\"orders\"");
    assert_eq!(page.keys().find(has_orders), None);
    for (service, up) in [("orders", 0.0), ("users", 1.0), ("gateway", 1.0)] {
        assert_eq!(
            page[&format!("konbini_up{{service=\"{service}\"}}")],
            up,
            "{service}"
        );
    }
}

/// A metric of every service, and its least value after an order.
const OF_SERVICES: [(&str, f64); 12] = [
    ("konbini_up", 1.0),
    ("konbini_ready", 1.0),
    ("konbini_warnings", 0.0),
    ("konbini_dead_letters", 0.0),
    ("konbini_log_tail", 0.0),
    ("konbini_store_queue", 0.0),
    ("konbini_store_bytes", 1.0),
    ("konbini_store_batches_total", 1.0),
    ("konbini_store_transactions_total", 1.0),
    ("konbini_store_rows_total", 1.0),
    ("konbini_store_sync_seconds_count", 1.0),
    ("konbini_disk_free_bytes", 1.0),
];

/// A metric of every process, and its least value.
const OF_PROCESSES: [(&str, f64); 4] = [
    ("process_resident_memory_bytes", 1_000_000.0),
    ("process_cpu_seconds_total", 0.0),
    ("process_start_time_seconds", 1_000_000_000.0),
    ("process_open_fds", 3.0),
];

/// The page after an order that was paid.
const AFTER_AN_ORDER: &str = r#"
konbini_orders_placed_total{service="orders"} 1
konbini_orders_confirmed_total{service="orders"} 1
konbini_orders_rejected_total{service="orders"} 0
konbini_orders_paid_total{service="orders"} 1
konbini_orders_paid_minor_units_total{service="orders",currency="EUR"} 2499
konbini_orders_refunded_minor_units_total{service="orders",currency="EUR"} 0
konbini_currency_minor_digits{service="orders",currency="EUR"} 2
konbini_mail_queue{service="notifications"} 0
konbini_webhook_queue{service="notifications"} 0
konbini_backup_last_success_seconds{service="gateway"} 0
konbini_follower_state{service="orders",follower="main",source="products",state="following"} 1
konbini_follower_state{service="orders",follower="main",source="products",state="stopped"} 0
"#;

/// Each of `some` with each of `others`.
fn product<'a, A, B>(some: &'a [A], others: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    some.iter()
        .flat_map(move |one| others.iter().map(move |other| (one, other)))
}

/// What a page shows after an order; `processes` are the labels of the shop's processes.
async fn look(shop: &Shop, processes: &[&str]) {
    buy(shop).await;
    let page = scrape(shop).await;
    let of_services = product(&SERVICES, &OF_SERVICES);
    for (service, (name, least)) in of_services.chain(product(processes, &OF_PROCESSES)) {
        let series = format!("{name}{{service=\"{service}\"}}");
        let value = page.get(&series);
        assert!(
            value.is_some_and(|value| value >= least),
            "{series} {value:?}"
        );
    }
    for (series, value) in samples(AFTER_AN_ORDER) {
        assert_eq!(page.get(&series), Some(&value), "{series}");
    }
    is_used_rightly(&page);
}

/// Every metric that the dashboard and the alerts name is one that a shop shows.
fn is_used_rightly(page: &HashMap<String, f64>) {
    let shown: BTreeSet<&str> = page
        .keys()
        .map(|series| series.split('{').next().unwrap())
        .chain([ELSEWHERE])
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for file in [
        "monitoring/dashboard.json",
        "monitoring/alerts.yml",
        "tests/alerts_test.yml",
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        let names: BTreeSet<&str> = text
            .split(|sign| !is_part(sign))
            .filter(|part| part.starts_with("konbini_") || part.starts_with("process_"))
            .collect();
        assert!(names.len() > 5, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&shown).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

/// A service that waits for pings.
struct PingListener {
    url: String,
    count: Arc<AtomicUsize>,
    /// The status that it responds with.
    status: Arc<AtomicU16>,
}

impl PingListener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let (count, status) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU16::new(200)));
        let (counted, says) = (count.clone(), status.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line, format!("GET /{SECRET} HTTP/1.1\r\n"));
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.unwrap();
                }
                let status = says.load(Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
                let response = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        Self { url, count, status }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    async fn pings(&self, more_than: usize) {
        eventually("pings arrive", || async { self.count() > more_than }).await;
    }
}

async fn state(admin: &Person) -> Value {
    admin.get("/v1/status").await.body["services"]["gateway"]["monitoring"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_say_that_all_is_well_and_silence_that_it_is_not() {
    let listener = PingListener::start().await;
    let mut shop = closed();
    shop.init().unwrap();
    let settings = format!(
        "[gateway.monitoring]\nping_url = \"{}\"\nping_seconds = 1\n[gateway.limits]\nuser_per_second = 0\n",
        listener.url
    );
    shop.configure(&settings).unwrap();
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    let admin = Person::admin(&shop).await;
    listener.pings(1).await;

    shop.kill(&["notifications"]).unwrap();
    let withheld = || async {
        state(&admin).await["withheld"]
            .as_array()
            .map_or(0, Vec::len)
            == 1
    };
    eventually("no ping is sent", withheld).await;
    let (before, since) = (listener.count(), state(&admin).await);
    let why = since["withheld"][0].as_str().unwrap();
    assert!(why.starts_with("notifications: "), "{why}");
    let looked_again = || async { state(&admin).await["checked_at"] != since["checked_at"] };
    eventually("it is looked again", looked_again).await;
    assert_eq!(listener.count(), before, "silence");

    shop.start("notifications").unwrap();
    listener.pings(before).await;

    // A warning is enough, although every service is ready.
    let failed = r#"{"failed_at":"2026-11-22T17:44:14.120Z","error":"no room"}"#;
    std::fs::write(shop.data().join("backup.json"), failed).unwrap();
    let warned = || async {
        state(&admin).await["withheld"] == json!(["gateway: the last backup failed: no room"])
    };
    eventually("no ping is sent", warned).await;
    let page = scrape(&shop).await;
    assert_eq!(page[r#"konbini_backup_failed{service="gateway"}"#], 1.0);
    assert_eq!(page[r#"konbini_warnings{service="gateway"}"#], 1.0);
    assert_eq!(page[r#"konbini_ready{service="gateway"}"#], 1.0);
    std::fs::remove_file(shop.data().join("backup.json")).unwrap();
    listener.pings(listener.count()).await;

    listener.status.store(404, Ordering::SeqCst);
    let failed = || async { state(&admin).await["error"] == "it responded with 404 Not Found" };
    eventually("the failure is shown", failed).await;
    listener.pings(listener.count() + 1).await;
    let output = shop.output();
    assert_eq!(
        output.matches("the ping for monitoring failed").count(),
        1,
        "{output}"
    );
    assert!(!output.contains(SECRET), "{output}");
    let shown = admin.get("/v1/status").await.body.to_string();
    assert!(!shown.contains(SECRET), "{shown}");
}
