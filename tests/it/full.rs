//! A full disk under a working shop: writes are refused, reads go on, nothing
//! acknowledged is lost, and once there is space writes go on without a restart.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::Shop;

use crate::people::{Answer, PASSWORD, Person, lamp, pieces, send};
use crate::world::closed;

const DISK_MIB: u32 = 320;
const STOCK: u32 = 1_000_000;
const BUYERS: usize = 8;

/// A small file system in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .status();
        assert!(mounted.unwrap().success(), "only root may mount");
        Self(at)
    }

    /// Allocates all free space at once.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.join("filler")).unwrap();
        let mebibyte = vec![1; 1024 * 1024];
        while filler.write_all(&mebibyte).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
    }

    /// Allocates all free space but this much.
    fn fill_but(&self, mebibytes: u64) {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        let filler = std::fs::File::create(self.0.join("filler")).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&filler, flags, 0, free - (mebibytes << 20)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Orders as fast as the shop accepts them, until stopped; returns the acknowledged orders.
async fn buy(buyer: Person, lamp: String, number: usize, stop: Arc<AtomicBool>) -> Vec<Value> {
    let mut acknowledged = Vec::new();
    for step in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = order(&buyer, &format!("{number}-{step}"), &lamp).await;
        match answer.status {
            201 | 202 => acknowledged.push(answer.body),
            507 => assert_eq!(answer.body["type"], "/problems/storage-full"),
            503 | 504 => {}
            _ => panic!("{answer:?}"),
        }
    }
    acknowledged
}

async fn order(buyer: &Person, key: &str, lamp: &str) -> Answer {
    let request = buyer.request(reqwest::Method::POST, "/v1/orders");
    let request = request
        .json(&pieces(lamp, 1))
        .header("idempotency-key", key);
    send(request).await.unwrap()
}

/// On a nearly full disk, which readiness names.
async fn only_staff_logs_in(shop: &Shop) {
    // A guess at a password of staff is counted, too.
    let guess = json!({ "email": "admin@konbini.example", "password": "a guess at it" });
    let guessed = Person::stranger(shop).post("/v1/sessions", guess).await;
    assert_eq!(guessed.status, 401, "{guessed:?}");
    for (email, status) in [
        ("admin@konbini.example", 201),
        ("buyer@konbini.example", 507),
    ] {
        let login = json!({ "email": email, "password": PASSWORD });
        let answer = Person::stranger(shop).post("/v1/sessions", login).await;
        assert_eq!(answer.status, status, "{email}: {answer:?}");
    }
    let ready = Person::stranger(shop).get("/readyz").await;
    let said = ready.body.to_string();
    assert!(
        ready.status == 503 && said.contains("the disk is nearly full"),
        "{said}"
    );
}

/// Whether a new order now gets this status.
async fn answers(buyer: &Person, lamp: &str, status: u16) -> bool {
    static TRIES: AtomicU64 = AtomicU64::new(0);
    let key = format!("try-{}", TRIES.fetch_add(1, Ordering::Relaxed));
    order(buyer, &key, lamp).await.status == status
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a small disk, which only root may"]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let mut shop = closed();
    let disk = Disk::mount(shop.data());
    shop.start("up").unwrap();
    shop.ready().await.unwrap();
    let admin = Person::admin(&shop).await;
    let lamps = admin.sell(&[lamp("LAMP-1", "Desk lamp", STOCK)]).await;
    let buyer = Person::register(&shop, "buyer@konbini.example").await;
    let stop = Arc::new(AtomicBool::new(false));
    let buyers: Vec<_> = (0..BUYERS)
        .map(|number| tokio::spawn(buy(buyer.clone(), lamps[0].clone(), number, stop.clone())))
        .collect();
    let (open, full) = (
        || answers(&buyer, &lamps[0], 201),
        || answers(&buyer, &lamps[0], 507),
    );
    eventually("orders are taken", &open).await;
    disk.fill_but(48);
    eventually("orders are refused", &full).await;
    only_staff_logs_in(&shop).await;
    disk.free();
    for _ in 0..3 {
        eventually("orders are taken", &open).await;
        disk.fill();
        eventually("orders are refused", &full).await;
        let product = format!("/v1/products/{}", lamps[0]);
        for path in [
            &*product,
            "/v1/orders",
            "/v1/notifications",
            "/v1/products/search?q=lamp",
        ] {
            assert_eq!(buyer.get(path).await.status, 200, "{path}");
        }
        disk.free();
    }
    disk.fill();
    eventually("orders are refused", &full).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for buyer in buyers {
        acknowledged.extend(buyer.await.unwrap());
    }
    // Like a power cut on a full disk; the shop opens once there is space.
    shop.kill(&["up"]).unwrap();
    disk.free();
    shop.start("up").unwrap();
    shop.ready().await.unwrap();

    let settled = || async {
        let pending = admin.get("/v1/orders?status=pending").await;
        pending.body["items"].as_array().is_some_and(Vec::is_empty)
    };
    eventually("every order is settled", settled).await;
    assert!(acknowledged.len() > BUYERS, "it never worked");
    for placed in &acknowledged {
        let id = placed["id"]
            .as_str()
            .or(placed["order_id"].as_str())
            .unwrap();
        let order = admin.get(&format!("/v1/orders/{id}")).await;
        assert_eq!(order.body["status"], "confirmed", "{order:?}");
    }
    let confirmed = admin.all("/v1/orders?status=confirmed").await.len();
    let stock = admin.get(&format!("/v1/products/{}/stock", lamps[0])).await;
    assert_eq!(stock.body["reserved"], confirmed, "{stock:?}");
    shop.terminate_all().await.unwrap();
}
