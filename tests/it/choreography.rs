//! The stock choreography under faults: orders and products on a network that loses,
//! duplicates and delays, both restarted in between. Whatever the interleaving, nothing is
//! oversold, no reservation is doubled or leaked, and each order settles once.
//!
//! The services run in this process, on the in-process transport with faults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chassis::run::Started;
use chassis::token::KeyPair;
use chassis::{Config, Folder, Open, ProcessContext, Role};
use mesh::{InProcessNetwork, LinkFaults, Mesh};
use model::{Id, now};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{OtherService, TIMEOUT, claims, eventually};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const PRODUCTS: usize = 4;
const PIECES: i64 = 60;
const BUYERS: usize = 8;
const ORDERS_PER_BUYER: usize = 20;
/// Orders between two restarts.
const ORDERS_PER_RESTART: usize = 16;

/// A service of the shop, running.
struct RunningService {
    name: &'static str,
    open: Open,
    stop: CancellationToken,
    running: JoinHandle<Result<(), chassis::Error>>,
}

/// The current addresses of the services.
#[derive(Clone)]
struct Shop {
    http: Client,
    orders: watch::Receiver<SocketAddr>,
    products: watch::Receiver<SocketAddr>,
}

/// A person with a token.
#[derive(Clone)]
struct Person {
    shop: Shop,
    token: String,
}

impl RunningService {
    /// Starts the service; retries while the store of the previous run is not released.
    async fn start(
        (name, open): (&'static str, Open),
        folder: &Folder,
        mesh: &Mesh,
        address: &watch::Sender<SocketAddr>,
    ) -> Self {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let stop = CancellationToken::new();
            let (sender, listening) = oneshot::channel();
            let started = move |started: Started| {
                let _ = sender.send(started.address);
            };
            let process = ProcessContext::new(folder.clone(), Config::default(), mesh.clone());
            let (stopping, opening) = (stop.clone(), open.clone());
            let running = tokio::spawn(async move {
                chassis::run(name, opening, process, stopping, started).await
            });
            if let Ok(listens_at) = listening.await {
                address.send_replace(listens_at);
                return Self { name, open, stop, running };
            }
            let why = running.await.unwrap().unwrap_err();
            assert!(Instant::now() < deadline, "{name} does not start: {why}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> (&'static str, Open) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        (self.name, self.open)
    }
}

impl Person {
    /// Sends a request, and retries with the same key until it is decided.
    async fn decided(&self, method: Method, path: &str, key: &str, body: &Value) -> (u16, String) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let address = if path.starts_with("/v1/orders") {
                *self.shop.orders.borrow()
            } else {
                *self.shop.products.borrow()
            };
            let mut request = self
                .shop
                .http
                .request(method.clone(), format!("http://{address}{path}"))
                .bearer_auth(&self.token);
            if method == Method::POST {
                request = request.header("idempotency-key", key).json(body);
            }
            let last = match request.send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    match response.text().await {
                        Ok(text) if status < 500 && !text.contains("key-in-flight") => {
                            return (status, text);
                        }
                        outcome => format!("{status} {outcome:?}"),
                    }
                }
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{method} {path}: {last}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (u16, String) {
        self.decided(Method::POST, path, key, &body).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.decided(Method::GET, path, "", &Value::Null).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// A placed order as its buyer recorded it: key, body, and the first response.
type Placed = (String, Value, u16, String);

/// One buyer, who places orders; the buyer or staff then takes further steps with each.
async fn buy(
    buyer: Person,
    staff: Person,
    products: Vec<String>,
    seed: u64,
    count: Arc<AtomicUsize>,
) -> Vec<Placed> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut placed = Vec::new();
    for number in 0..ORDERS_PER_BUYER {
        let mut items = Vec::new();
        for product in &products {
            if items.is_empty() || rng.random_bool(0.4) {
                items.push(json!({ "product_id": product, "quantity": rng.random_range(1..4) }));
            }
        }
        let (key, body) = (format!("k{number}"), json!({ "items": items }));
        let (status, text) = buyer.post("/v1/orders", &key, body.clone()).await;
        assert!([201, 202, 409].contains(&status), "{status} {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        placed.push((key.clone(), body, status, text));
        count.fetch_add(1, Ordering::Relaxed);
        let Some(id) = answer["id"].as_str() else {
            continue;
        };
        let reason = json!({ "reason": "why not" });
        let steps: &[(&Person, &str, Value)] = match rng.random_range(0..6) {
            0 => &[(&buyer, "cancel", reason)],
            1 => &[(&staff, "pay", json!({})), (&staff, "ship", json!({}))],
            2 => &[(&staff, "pay", json!({})), (&staff, "refund", reason)],
            3 => &[(&staff, "pay", json!({})), (&staff, "cancel", reason)],
            4 => &[
                (&staff, "pay", json!({})),
                (&staff, "ship", json!({})),
                (&staff, "refund", reason),
            ],
            _ => &[],
        };
        for (who, step, body) in steps {
            let path = format!("/v1/orders/{id}/{step}");
            let (status, text) = who.post(&path, &key, body.clone()).await;
            // A pending order refuses every step.
            assert!([200, 409].contains(&status), "{step}: {status} {text}");
        }
    }
    placed
}

/// Reads the stock until stopped: no level may ever be negative.
async fn watch_stock(staff: Person, products: Vec<String>, done: Arc<AtomicBool>) -> usize {
    let mut looks = 0;
    while !done.load(Ordering::Relaxed) {
        for product in &products {
            let level = staff.get(&format!("/v1/products/{product}/stock")).await;
            assert!(level["available"].as_i64().unwrap() >= 0, "{level}");
            assert!(level["reserved"].as_i64().unwrap() >= 0, "{level}");
            looks += 1;
        }
    }
    looks
}

fn token(keys: &KeyPair, roles: &[Role]) -> String {
    keys.issue(&claims(Id::new(), roles, now()))
}

/// Waits until both services have caught up with each other.
async fn ready(shop: &Shop) {
    for address in [&shop.orders, &shop.products] {
        let page = format!("http://{}/readyz", *address.borrow());
        let is_ready = || async { shop.http.get(&page).send().await.unwrap().status() == 200 };
        eventually(&page, is_ready).await;
    }
}

/// Creates the products.
async fn sell(staff: &Person) -> Vec<String> {
    let mut products = Vec::new();
    for number in 0..PRODUCTS {
        let product = json!({
            "sku": format!("LAMP-{number}"), "title": "Lamp", "status": "published", "stock": PIECES,
            "price": { "amount": 100, "currency": "EUR" },
        });
        let (status, text) = staff.post("/v1/products", "", product).await;
        assert_eq!(status, 201, "{text}");
        let product: Value = serde_json::from_str(&text).unwrap();
        products.push(product["id"].as_str().unwrap().to_owned());
    }
    products
}

/// Waits until each stock level matches the orders.
async fn stock_agrees(staff: &Person, products: &[String], held: &BTreeMap<String, (i64, i64)>) {
    for product in products {
        let (reserved, gone) = held.get(product).copied().unwrap_or_default();
        let agrees = || async {
            let level = staff.get(&format!("/v1/products/{product}/stock")).await;
            level["on_hand"] == PIECES - gone && level["reserved"] == reserved
        };
        let what = format!("{product}: {reserved} reserved, {gone} gone");
        eventually(&what, agrees).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_of_stock_is_accounted_for_under_faults() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temporary.path().join("shop")).unwrap();
    let network = InProcessNetwork::seeded(seed, LinkFaults::default());
    let mesh = Mesh::new(Arc::new(network.clone()), folder.shop());
    let keys = KeyPair::generate();
    let _users = OtherService::start_users(&folder, &mesh, &keys).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let (orders_at, orders) = watch::channel(nowhere);
    let (products_at, products) = watch::channel(nowhere);
    let shop = Shop { http: Client::new(), orders, products };
    let service = (
        "orders",
        chassis::opener(orders::open, orders::Config::default()),
    );
    let mut selling = RunningService::start(service, &folder, &mesh, &orders_at).await;
    let service = (
        "products",
        chassis::opener(products::open, products::Config::default()),
    );
    let mut holding = RunningService::start(service, &folder, &mesh, &products_at).await;
    ready(&shop).await;
    let person = |roles: &[Role]| Person { shop: shop.clone(), token: token(&keys, roles) };
    let staff = person(&[Role::Staff]);

    let products = sell(&staff).await;
    network.set_faults(LinkFaults { drop: 0.1, double: 0.1, delay_max: Duration::from_millis(5) });

    let (done, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let watching = tokio::spawn(watch_stock(staff.clone(), products.clone(), done.clone()));
    let buyers: Vec<_> = (0..BUYERS).map(|_| person(&[Role::Customer])).collect();
    let buying: Vec<_> = (0_u64..)
        .zip(&buyers)
        .map(|(number, buyer)| {
            let seed = seed.wrapping_add(number);
            let (buyer, staff) = (buyer.clone(), staff.clone());
            tokio::spawn(buy(buyer, staff, products.clone(), seed, count.clone()))
        })
        .collect();
    let (mut restarts, mut rng) = (0, StdRng::seed_from_u64(seed));
    while !buying.iter().all(JoinHandle::is_finished) {
        if count.load(Ordering::Relaxed) >= (restarts + 1) * ORDERS_PER_RESTART {
            restarts += 1;
            if rng.random_bool(0.5) {
                let service = selling.end().await;
                selling = RunningService::start(service, &folder, &mesh, &orders_at).await;
            } else {
                let service = holding.end().await;
                holding = RunningService::start(service, &folder, &mesh, &products_at).await;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    network.set_faults(LinkFaults::default());

    let mut held: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (buyer, placed) in buyers.iter().zip(buying) {
        audit(buyer, &staff, placed.await.unwrap(), &mut held).await;
    }
    stock_agrees(&staff, &products, &held).await;
    done.store(true, Ordering::Relaxed);
    let looks = watching.await.unwrap();
    println!(
        "{} orders, {restarts} restarts, {looks} looks",
        BUYERS * ORDERS_PER_BUYER
    );
    assert!(restarts > 2 && looks > 10);
    selling.end().await;
    holding.end().await;
}

/// Each key has one order, each order was settled once, and the first response is replayed
/// byte for byte. Adds up the units that are reserved and shipped.
async fn audit(
    buyer: &Person,
    staff: &Person,
    placed: Vec<Placed>,
    held: &mut BTreeMap<String, (i64, i64)>,
) {
    let is_settled =
        || async { buyer.get("/v1/orders?status=pending").await["items"] == json!([]) };
    eventually("every order is settled", is_settled).await;
    let list = buyer.get("/v1/orders?limit=100").await;
    let list = list["items"].as_array().unwrap();
    assert_eq!(list.len(), placed.len(), "an order was lost or doubled");
    for (key, body, status, text) in placed {
        let (again, said) = buyer.post("/v1/orders", &key, body).await;
        assert_eq!(again, status, "{text} {said}");
        if status != 202 {
            assert_eq!(said, text);
        }
    }
    for order in list {
        let history = staff
            .get(&format!(
                "/v1/orders/{}/history",
                order["id"].as_str().unwrap()
            ))
            .await;
        let history = history["items"].as_array().unwrap();
        let settled = history
            .iter()
            .filter(|line| line["from"] == "pending")
            .count();
        assert_eq!(settled, 1, "{history:?}");
        let shipped = history.iter().any(|line| line["to"] == "shipped");
        let status = order["status"].as_str().unwrap();
        for line in order["items"].as_array().unwrap() {
            let quantity = line["quantity"].as_i64().unwrap();
            let product = line["product_id"].as_str().unwrap().to_owned();
            let (reserved, gone) = held.entry(product).or_default();
            match status {
                _ if shipped => *gone += quantity,
                "confirmed" | "paid" => *reserved += quantity,
                "rejected" | "cancelled" | "refunded" => {}
                other => panic!("{other} at the end: {order}"),
            }
        }
    }
}
