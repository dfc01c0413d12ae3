//! orders and products over a network that loses, doubles and delays, both started
//! again and again in the middle: whatever is interleaved, nothing is oversold,
//! nothing is held twice or for ever, and each order is settled once.
//!
//! The services run in this process, on the transport with faults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chassis::run::Started;
use chassis::token::{AUDIENCE, Claims, ISSUER, KeyPair, Succession};
use chassis::{Config, Folder, Open, Role};
use mesh::store::{Options, Store};
use mesh::{Draft, Faults, LocalNetwork, Log, Mesh, Source};
use model::{Fact, Id, kinds, now};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const TIMEOUT: Duration = Duration::from_secs(60);
const PRODUCTS: usize = 4;
const PIECES: i64 = 60;
const BUYERS: usize = 8;
const ORDERS_PER_BUYER: usize = 20;
/// Orders between two restarts.
const ORDERS_PER_RESTART: usize = 16;

/// A service of the shop, running.
struct Part {
    name: &'static str,
    open: Open,
    stop: CancellationToken,
    running: JoinHandle<Result<(), chassis::Error>>,
}

/// What every task needs to use the shop.
#[derive(Clone)]
struct Door {
    http: Client,
    orders: watch::Receiver<SocketAddr>,
    products: watch::Receiver<SocketAddr>,
}

/// A person with a token.
#[derive(Clone)]
struct Person {
    door: Door,
    token: String,
}

impl Part {
    /// Starts it; the store of the process before may be a moment from released.
    async fn start(
        (name, open): (&'static str, Open),
        folder: &Folder,
        mesh: &Mesh,
        address: &watch::Sender<SocketAddr>,
    ) -> Self {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let stop = CancellationToken::new();
            let (heard, listening) = oneshot::channel();
            let started = move |started: Started| {
                let _ = heard.send(started.address);
            };
            let config = Arc::new(Config::default());
            let (folder, mesh, told) = (folder.clone(), mesh.clone(), stop.clone());
            let running = tokio::spawn(async move {
                chassis::run(name, open, folder, config, mesh, told, started).await
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
    /// Sends a request, again and again under the same key until it is decided.
    async fn decided(&self, method: Method, path: &str, key: &str, body: &Value) -> (u16, String) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let address = if path.starts_with("/v1/orders") {
                *self.door.orders.borrow()
            } else {
                *self.door.products.borrow()
            };
            let mut request = self
                .door
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

/// A placed order as its buyer remembers it: key, body, and the first answer.
type Placed = (String, Value, u16, String);

/// One buyer: places orders, and lets staff or themselves do something with each.
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
            3 => &[(&staff, "pay", json!({})), (&buyer, "cancel", reason)],
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
            // One that is still pending does not go on.
            assert!([200, 409].contains(&status), "{step}: {status} {text}");
        }
    }
    placed
}

/// Looks at the stock until told to stop: nothing may ever be promised twice.
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
    let now = now();
    keys.issue(&Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: Id::new(),
        sid: Id::new(),
        exp: now.after(Duration::from_secs(900)),
        nbf: now,
        iat: now,
        jti: Id::<kinds::Session>::new().to_string(),
        roles: roles.to_vec(),
    })
}

/// users, played by a log in which the key of the tokens is published.
async fn play_users(folder: &Folder, mesh: &Mesh, keys: &KeyPair) -> Store {
    let room = folder.data_dir("users").unwrap().join("store");
    let store = Store::open(&room, &Options::default()).unwrap();
    let log = Log::open(store.clone(), "users", now()).await.unwrap();
    let root = folder.root_secret().unwrap();
    let first = Succession { published_at: now(), earlier_until: now() };
    let fact = Fact::KeyPublished(root.vouch_for(keys, first));
    let draft = Draft { key: "keys".into(), fact, at: now(), by: None, trace: None };
    let writing = log.clone();
    let said: Result<u64, mesh::store::Error> =
        store.write(move |tx| writing.append(tx, draft)).await;
    said.unwrap();
    let source = Source::new(log, mesh.clone());
    source
        .start(&TaskTracker::new(), CancellationToken::new())
        .await
        .unwrap();
    store
}

/// Returns when both services have caught up with each other.
async fn ready(door: &Door) {
    for address in [&door.orders, &door.products] {
        let page = format!("http://{}/readyz", *address.borrow());
        let deadline = Instant::now() + TIMEOUT;
        while door.http.get(&page).send().await.unwrap().status() != 200 {
            assert!(Instant::now() < deadline, "{page} stays unready");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Puts the products on the shelf.
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

/// What products has of each is what the orders leave of it, once products has
/// heard the last word of orders.
async fn stock_agrees(staff: &Person, products: &[String], held: &BTreeMap<String, (i64, i64)>) {
    for product in products {
        let (reserved, gone) = held.get(product).copied().unwrap_or_default();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let level = staff.get(&format!("/v1/products/{product}/stock")).await;
            let wanted = (&json!(PIECES - gone), &json!(reserved));
            if (&level["on_hand"], &level["reserved"]) == wanted {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{level} but {reserved} held, {gone} gone"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_piece_is_accounted_for() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open(&temporary.path().join("shop")).unwrap();
    let network = LocalNetwork::seeded(seed, Faults::default());
    let mesh = Mesh::new(Arc::new(network.clone()), folder.shop());
    let keys = KeyPair::generate();
    let _users = play_users(&folder, &mesh, &keys).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let (orders_at, orders) = watch::channel(nowhere);
    let (products_at, products) = watch::channel(nowhere);
    let door = Door { http: Client::new(), orders, products };
    let mut selling = Part::start(("orders", orders::open), &folder, &mesh, &orders_at).await;
    let mut holding = Part::start(("products", products::open), &folder, &mesh, &products_at).await;
    ready(&door).await;
    let person = |roles: &[Role]| Person { door: door.clone(), token: token(&keys, roles) };
    let staff = person(&[Role::Staff]);

    let products = sell(&staff).await;
    network.set_faults(Faults { drop: 0.1, double: 0.1, delay_max: Duration::from_millis(5) });

    let (done, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
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
                selling = Part::start(service, &folder, &mesh, &orders_at).await;
            } else {
                let service = holding.end().await;
                holding = Part::start(service, &folder, &mesh, &products_at).await;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    network.set_faults(Faults::default());

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

/// Each key has its one order, each order was settled once, and the first answer is
/// told again to the byte. Adds up what is held and what left the house.
async fn audit(
    buyer: &Person,
    staff: &Person,
    placed: Vec<Placed>,
    held: &mut BTreeMap<String, (i64, i64)>,
) {
    let deadline = Instant::now() + TIMEOUT;
    while buyer.get("/v1/orders?status=pending").await["items"] != json!([]) {
        assert!(Instant::now() < deadline, "an order stays pending");
        sleep(Duration::from_millis(20)).await;
    }
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
