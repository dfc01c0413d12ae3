//! A shop whose logs have lost their beginnings, and services that come to it anew.

use mesh::Log;
use mesh::store::{Error, Options, Store};
use model::Time;
use reqwest::Method;
use serde_json::json;
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{Person, lamp, pieces, send};
use crate::rollback::run;
use crate::world::open;

/// Trims the log of a service at rest up to its newest event, as if every follower were there.
async fn trim(shop: &Shop, service: &str) -> u64 {
    let dir = shop.data().join(service).join("store");
    let store = Store::open(&dir, &Options::default()).unwrap();
    let log = Log::open(store.clone(), service, model::now())
        .await
        .unwrap();
    loop {
        let trimming = log.clone();
        let trimmed = store.write(move |tx| trimming.trim(tx, &[], Time(i64::MAX)));
        let trimmed: Result<bool, Error> = trimmed.await;
        if !trimmed.unwrap() {
            break;
        }
    }
    let beginning = log.beginning().unwrap().seq;
    drop(log);
    store.close();
    beginning
}

#[tokio::test(flavor = "multi_thread")]
async fn services_made_anew_go_on_with_trimmed_logs() {
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let product = admin.sell(&[lamp("LAMP-1", "Lamp", 10)]).await.remove(0);
    let mori = Person::register(&shop, "mori@konbini.example").await;
    let first = mori.order_surely("first", &pieces(&product, 1)).await;
    assert_eq!(first.body["status"], "confirmed", "{first:?}");
    let ended = Person::stranger(&shop).log_in("mori@konbini.example").await;
    let logout = ended.request(Method::DELETE, "/v1/sessions/current");
    assert_eq!(send(logout).await.unwrap().status, 204);
    shop.terminate_all().await.unwrap();

    for service in ["users", "products", "orders"] {
        assert!(trim(&shop, service).await > 0, "{service}");
    }
    for service in ["gateway", "notifications"] {
        std::fs::remove_dir_all(shop.data().join(service).join("store")).unwrap();
    }
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();

    // The gateway knows the key and what was revoked, notifications who is staff.
    assert_eq!(mori.get("/v1/users/me").await.status, 200);
    assert_eq!(ended.get("/v1/users/me").await.status, 401);
    let second = mori.order_surely("second", &pieces(&product, 6)).await;
    assert_eq!(second.body["status"], "confirmed", "{second:?}");
    let kinds = |person: Person| async move {
        let inbox = person.get("/v1/notifications").await.body;
        let items = inbox["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .map(|item| item["kind"].clone())
            .collect::<Vec<_>>()
    };
    eventually("staff is told", || async {
        kinds(admin.clone()).await.contains(&json!("stock.low"))
    })
    .await;
    eventually("the buyer is told, and of nothing before", || async {
        kinds(mori.clone()).await == [json!("order.confirmed")]
    })
    .await;
    let log = &admin.get("/v1/status").await.body["services"]["orders"]["log"];
    assert!(log["first"].as_u64() > Some(1), "{log}");
    assert_eq!(
        admin.get("/v1/events?source=orders&after=0").await.status,
        410
    );
    shop.terminate_all().await.unwrap();
    let (code, said) = run(&shop, &["check"]);
    assert_eq!(code, Some(0), "{said}");
}
