//! Damage at rest, anywhere in a shop's folder: a file is cut, zeroed, flipped, emptied,
//! removed or swapped with an older copy. The shop then has everything that it acknowledged, or
//! it refuses to start, or it says what is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::damage::{Damage, copy_folder};
use testkit::shop::{Form, Shop};

use crate::people::{PASSWORD, Person, lamp, pieces, send};
use crate::rollback::run;
use crate::world::{closed, open};

/// The number of damages; `KONBINI_SHOP_DAMAGES` overrides it.
const DAMAGES: u64 = 16;

/// How long a damaged shop may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a damaged shop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It had everything.
    Intact,
    /// It did not start.
    Refused,
    /// It was not ready, or said at WARN or ERROR, or by its check, what is wrong.
    Named,
    /// Something was missing or old, and nothing said so.
    Silent,
}

/// A shop's folder at two moments, and what it had acknowledged at the later one.
struct Specimen {
    earlier: TempDir,
    later: TempDir,
    orders: BTreeMap<String, Value>,
    product: String,
}

async fn specimen() -> Specimen {
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let lamps = [
        lamp("LAMP-1", "Desk lamp", 1_000),
        lamp("LAMP-2", "Lantern", 5),
    ];
    let products = admin.sell(&lamps).await;
    let mori = Person::register(&shop, "mori@konbini.example").await;
    let mut orders = BTreeMap::new();
    let mut place = async |keys: std::ops::Range<u32>| {
        for key in keys {
            let placed = mori
                .order_surely(&format!("key-{key}"), &pieces(&products[0], 1 + key % 3))
                .await;
            assert_eq!(placed.body["status"], "confirmed", "{placed:?}");
            let id = placed.body["id"].as_str().unwrap().to_owned();
            orders.insert(id, placed.body["total"].clone());
        }
    };
    place(0..12).await;
    shop.terminate_all().await.unwrap();
    let earlier = tempfile::tempdir().unwrap();
    copy_folder(&shop.data(), earlier.path()).unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    place(12..24).await;
    let path = format!("/v1/products/{}", products[0]);
    let change = admin.request(Method::PATCH, &path);
    let changed = send(change.json(&json!({ "title": "Desk lamp, okapi" }))).await;
    assert_eq!(changed.unwrap().status, 200);
    shop.terminate_all().await.unwrap();
    let later = tempfile::tempdir().unwrap();
    copy_folder(&shop.data(), later.path()).unwrap();
    Specimen { earlier, later, orders, product: products[0].clone() }
}

/// The files below a folder, relative to it.
fn files(root: &Path, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(root, &path));
        } else if kind.is_file() && entry.file_name() != "lock" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether the shop is ready; `None` if a process ended.
async fn is_ready(shop: &mut Shop) -> Option<bool> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let stranger = Person::stranger(shop);
    loop {
        shop.check().ok()?;
        let ready = send(stranger.request(Method::GET, "/readyz")).await;
        if ready.is_ok_and(|ready| ready.status == 200) {
            return Some(true);
        }
        if Instant::now() > deadline {
            return Some(false);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether everything acknowledged is there, and the shop sells.
async fn has_everything(shop: &Shop, specimen: &Specimen) -> bool {
    let mut people = Vec::new();
    for email in ["admin@konbini.example", "mori@konbini.example"] {
        let login = json!({ "email": email, "password": PASSWORD });
        if Person::stranger(shop)
            .post("/v1/sessions", login)
            .await
            .status
            != 201
        {
            return false;
        }
        people.push(Person::stranger(shop).log_in(email).await);
    }
    for (id, total) in &specimen.orders {
        let order = people[0].get(&format!("/v1/orders/{id}")).await;
        if order.body["status"] != "confirmed" || order.body["total"] != *total {
            return false;
        }
    }
    let found = people[1].get("/v1/products/search?q=okapi").await;
    let next = people[1]
        .order_surely("next", &pieces(&specimen.product, 1))
        .await;
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut status = next.body["status"].clone();
    while status == "pending" && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
        let path = format!("/v1/orders/{}", next.body["id"].as_str().unwrap());
        status = people[1].get(&path).await.body["status"].clone();
    }
    found.body["total"] == 1 && status == "confirmed"
}

/// Starts a damaged shop and audits it.
async fn outcome(shop: &mut Shop, specimen: &Specimen) -> (Outcome, String) {
    let (code, said) = run(shop, &["check"]);
    shop.open(Form::Up).unwrap();
    let Some(ready) = is_ready(shop).await else {
        return (Outcome::Refused, said);
    };
    if ready && has_everything(shop, specimen).await {
        let _ = shop.terminate_all().await;
        return (Outcome::Intact, said);
    }
    let warned = shop
        .output()
        .lines()
        .any(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
    let named = code != Some(0) || !ready || warned;
    let said = format!("{said}\n{}", shop.output());
    let _ = shop.kill(Form::Up.processes());
    (if named { Outcome::Named } else { Outcome::Silent }, said)
}

/// The number of outcomes by file and damage.
#[derive(Default)]
struct Outcomes(BTreeMap<(String, Damage, Outcome), u64>);

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((file, damage, outcome), count) in &self.0 {
            writeln!(f, "{file:<14} {damage:<9?} {outcome:<8?} {count}")?;
        }
        Ok(())
    }
}

/// The kind of a file, whatever its service and number.
fn kind(file: &Path) -> String {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    match file.extension().and_then(|end| end.to_str()) {
        _ if file.starts_with("products/index") => "index".into(),
        _ if name.starts_with("snap.") => "snap".into(),
        Some("secret") => "secret".into(),
        _ => name,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_to_a_shop_is_served_in_silence() {
    let damages = crate::number_from_env("KONBINI_SHOP_DAMAGES").unwrap_or(DAMAGES);
    let seed = crate::number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let specimen = specimen().await;
    let files = files(specimen.later.path(), Path::new(""));
    let mut outcomes = Outcomes::default();
    let mut silent = Vec::new();
    for number in 0..damages {
        let file = files.choose(&mut random).unwrap();
        let damage = *Damage::ALL.choose(&mut random).unwrap();
        let mut shop = closed();
        copy_folder(specimen.later.path(), &shop.data()).unwrap();
        let older = specimen.earlier.path().join(file);
        let older = older.exists().then_some(older);
        let damaged = shop.data().join(file);
        damage
            .apply(&mut random, &damaged, older.as_deref())
            .unwrap();
        let (outcome, said) = outcome(&mut shop, &specimen).await;
        if outcome == Outcome::Silent {
            silent.push(format!(
                "{number}: {damage:?} of {}: {said}",
                file.display()
            ));
        }
        *outcomes.0.entry((kind(file), damage, outcome)).or_default() += 1;
    }
    println!("{outcomes}");
    assert!(silent.is_empty(), "KONBINI_SEED={seed}: {silent:#?}");
}
