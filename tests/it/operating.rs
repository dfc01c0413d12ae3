//! Operating a shop: the status of every service, and one list of all events.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{Person, lamp, pieces, send};
use crate::world::open;

#[tokio::test(flavor = "multi_thread")]
async fn one_process_is_operated_by_its_admin() {
    let shop = open(Form::Up).await;
    look(&shop).await;
    console(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_are_operated_by_their_admin() {
    let mut shop = open(Form::Run).await;
    look(&shop).await;
    let admin = Person::stranger(&shop)
        .log_in("admin@konbini.example")
        .await;
    shop.kill(&["notifications"]).unwrap();
    let status = admin.get("/v1/status").await.body;
    assert_eq!(
        status["services"]["notifications"]["state"], "absent",
        "{status}"
    );
    assert_eq!(status["services"]["orders"]["state"], "ready", "{status}");
    // A partial list would claim that the absent service has no events.
    let events = admin.get("/v1/events").await;
    assert_eq!(
        (events.status, &events.body["service"]),
        (503, &json!("notifications"))
    );
    assert_eq!(admin.get("/v1/events?source=orders").await.status, 200);
}

async fn look(shop: &Shop) {
    let admin = Person::admin(shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Brass desk lamp", 3)]).await;
    let buyer = Person::register(shop, "mori@konbini.example").await;
    let placed = buyer.post("/v1/orders", pieces(&ids[0], 1)).await;
    assert_eq!(placed.status, 201, "{placed:?}");

    for path in ["/v1/status", "/v1/events", "/v1/events/dead-letters"] {
        assert_eq!(Person::stranger(shop).get(path).await.status, 401, "{path}");
        assert_eq!(buyer.get(path).await.status, 403, "{path}");
    }
    let status = admin.get("/v1/status").await.body;
    for service in ["users", "products", "orders", "notifications", "gateway"] {
        assert_eq!(status["services"][service]["state"], "ready", "{status}");
    }
    followers_are_known(&status);

    let mut seen = Vec::new();
    let mut path = "/v1/events?limit=3".to_owned();
    loop {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        for event in page.body["items"].as_array().unwrap() {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            seen.push((text("at"), text("id"), text("kind")));
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/events?limit=3&cursor={cursor}");
    }
    assert!(
        seen.is_sorted_by(|newer, older| newer.0 >= older.0),
        "{seen:#?}"
    );
    let ids: BTreeSet<_> = seen.iter().map(|(_, id, _)| id).collect();
    assert_eq!(ids.len(), seen.len(), "each once: {seen:#?}");
    let tails = status["services"].as_object().unwrap().values();
    let tails: u64 = tails.map(|one| one["log"]["tail"].as_u64().unwrap()).sum();
    assert!(seen.len() as u64 >= tails, "{tails} were there: {seen:#?}");
    for kind in [
        "user.registered",
        "product.created",
        "order.placed",
        "stock.reserved",
    ] {
        assert!(
            seen.iter().any(|(_, _, seen)| seen == kind),
            "no {kind}: {seen:#?}"
        );
    }

    ask(&admin).await;
}

/// A log is trimmed only behind the followers that the table of them names, so it must name
/// all that there are.
fn followers_are_known(status: &Value) {
    let mut present: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The search index follows its own service's log without the mesh.
    present.insert("products".into(), ["products/index".into()].into());
    for (service, one) in status["services"].as_object().unwrap() {
        for follower in one["followers"].as_array().unwrap() {
            let text = |name: &str| follower[name].as_str().unwrap().to_owned();
            let name = format!("{service}/{}", text("name"));
            present.entry(text("source")).or_default().insert(name);
        }
    }
    for service in status["services"].as_object().unwrap().keys() {
        let Some(known) = api::followers_of(service) else {
            continue;
        };
        let known: BTreeSet<_> = known.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            present.remove(service).unwrap_or_default(),
            known,
            "of {service}"
        );
    }
}

/// The filters of the list, valid and invalid ones.
async fn ask(admin: &Person) {
    let placed = admin.get("/v1/events?kind=order.placed").await.body;
    let first = placed["items"][0]["id"].as_str().unwrap();
    // The event that confirms the order shares the sync of a later one.
    eventually("an event after the first of orders", async || {
        let after = format!("/v1/events?after={first}&limit=1");
        admin.get(&after).await.body["items"][0]["source"] == "orders"
    })
    .await;
    for wrong in [
        "source=nobody",
        "after=7",
        "kind=Order",
        "cursor=!",
        "limit=0",
        "what=x",
    ] {
        assert_eq!(
            admin.get(&format!("/v1/events?{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
    let parked = admin.get("/v1/events/dead-letters").await.body;
    assert_eq!(parked, json!({ "items": [], "next_cursor": null }));
    for id in ["orders.main.products.1", "nobody.main.users.1", "x"] {
        let gone = admin.request(Method::DELETE, &format!("/v1/events/dead-letters/{id}"));
        assert_eq!(send(gone).await.unwrap().status, 404, "{id}");
    }
}

/// Each page for people loads its parts from this shop only, and obeys its content security
/// policy; the paths that a person types lead to one.
async fn console(shop: &Shop) {
    for (path, parts) in [
        ("/", &["/_/console.css"][..]),
        ("/_", &["/_/console.css", "/_/console.js"]),
        ("/_/", &["/_/console.css", "/_/console.js"]),
        ("/account/undo", &["/_/console.css", "/_/undo.js"]),
    ] {
        let browser = reqwest::Client::new().get(shop.url(path));
        let page = browser.header("accept", "text/html,*/*;q=0.8").send();
        let page = page.await.unwrap();
        let policy = page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        let page = page.text().await.unwrap();
        assert!(
            !page.contains("<style") && !page.contains("style="),
            "{path}: {page}"
        );
        let made_of = page
            .split(['"'])
            .filter(|part| part.starts_with("/_/") && *part != "/_/");
        let mut made_of: Vec<String> = made_of.map(str::to_owned).collect();
        assert_eq!(made_of, parts, "{path}");
        while let Some(path) = made_of.pop() {
            let part = reqwest::get(shop.url(&path)).await.unwrap();
            assert_eq!(part.status(), 200, "{path}");
            let kind = part.headers()["content-type"].to_str().unwrap();
            assert!(kind.starts_with("text/"), "{path}: {kind}");
            let imported = part.text().await.unwrap();
            let imported = imported.split(" from \"./").skip(1);
            made_of.extend(imported.map(|rest| format!("/_/{}", rest.split('"').next().unwrap())));
        }
    }
}
