//! Stock: corrections by staff, and reservations of orders.

use std::collections::HashMap;

use model::{Fact, Id, ItemOrdered, UndoneStep, kinds};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{OtherService, Person, TestService, eventually, send};

use crate::{lamp, make, with};

async fn levels(staff: &Person, path: &str) -> (i64, i64, i64) {
    let body = staff.get(&format!("{path}/stock")).await.body;
    let level = |name: &str| body[name].as_i64().unwrap();
    (level("on_hand"), level("reserved"), level("available"))
}

fn id_of(path: &str) -> Id<kinds::Product> {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

async fn place(orders: &OtherService, lines: &[(&str, u32)]) -> Id<kinds::Order> {
    let order_id = Id::new();
    let items = lines
        .iter()
        .map(|(path, quantity)| ItemOrdered { product_id: id_of(path), quantity: *quantity })
        .collect();
    let placed = Fact::OrderPlaced { order_id, user_id: Some(Id::new()), items };
    orders.publish(&order_id.to_string(), placed).await;
    order_id
}

fn undone(order_id: Id<kinds::Order>, lines: &[(&str, u32)]) -> Fact {
    let items = lines
        .iter()
        .map(|(path, quantity)| ItemOrdered { product_id: id_of(path), quantity: *quantity });
    let step = UndoneStep::Shipped;
    Fact::OrderStepUndone {
        order_id,
        user_id: Some(Id::new()),
        step,
        items: items.collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_correct_stock() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let path = make(&staff, lamp("A1")).await;
    let stock = format!("{path}/stock");
    let delivered = staff
        .post(&stock, json!({"delta": 5, "reason": "delivery"}))
        .await;
    assert_eq!(
        delivered.body,
        json!({"on_hand": 5, "reserved": 0, "available": 5})
    );
    assert_eq!(app.anonymous().get(&path).await.body["available"], true);
    let wrong = staff.post(&stock, json!({"delta": 0})).await;
    assert_eq!(wrong.body["errors"].as_array().unwrap().len(), 2);
    let short = staff
        .post(&stock, json!({"delta": -6, "reason": "lost"}))
        .await;
    assert_eq!((short.status, short.problem()), (409, "below-reserved"));
    // A count is the level itself, however often it is sent.
    let count = json!({"on_hand": 7, "reason": "counted"});
    for _ in 0..2 {
        let counted = with(&staff, Method::PUT, &stock, count.clone()).await;
        assert_eq!((counted.status, &counted.body["on_hand"]), (200, &json!(7)));
    }
    let movements = staff.get(&stock).await.body["movements"].clone();
    let reasons = movements.as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|movement| &movement["reason"]).collect();
    assert_eq!(reasons, ["counted", "delivery"]);
    let wrong = with(&staff, Method::PUT, &stock, json!({"on_hand": -1})).await;
    let pointers = wrong.body["errors"].as_array().unwrap().iter();
    let pointers: Vec<_> = pointers.map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/on_hand", "/reason"]);
    let count = json!({"on_hand": 5, "reason": "counted again"});
    assert_eq!(with(&staff, Method::PUT, &stock, count).await.status, 200);
    assert_eq!(app.customer().get(&stock).await.status, 403);
    let gone = format!("/v1/products/{}/stock", Id::<kinds::Product>::new());
    assert_eq!(staff.get(&gone).await.status, 404);

    // With an idempotency key a movement happens once, and a refusal is replayed.
    let keyed = |delta: i64, key: &str| {
        staff
            .request(Method::POST, &stock)
            .header("idempotency-key", key)
            .json(&json!({"delta": delta, "reason": "count"}))
    };
    let first = send(keyed(-2, "k1")).await;
    let again = send(keyed(-2, "\"k1\"")).await;
    assert_eq!(first.body, again.body);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(send(keyed(-3, "k1")).await.status, 422);
    assert_eq!(send(keyed(-4, "k2")).await.status, 409);
    staff
        .post(&stock, json!({"delta": 9, "reason": "found"}))
        .await;
    assert_eq!(send(keyed(-4, "k2")).await.status, 409);

    let shown = staff.get(&stock).await.body;
    let moves: Vec<_> = shown["movements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|movement| movement["delta"].as_i64().unwrap())
        .collect();
    assert_eq!(
        (moves, &shown["on_hand"]),
        (vec![9, -2, -2, 2, 5], &json!(12))
    );
    assert_eq!(shown["movements"][0]["by"], staff.user_id().to_string());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_reserved_whole_or_not_at_all() {
    let mut app = TestService::start("products", products::open, &["orders"]).await;
    let orders = app.other("orders");
    let mut events = StockEvents::by(&app).await;
    let staff = app.staff();
    let mut stocked = lamp("A1");
    stocked["stock"] = 5.into();
    let lamps = make(&staff, stocked).await;
    let chairs = make(&staff, lamp("A2")).await;

    let held = place(&orders, &[(&lamps, 3)]).await;
    assert_eq!(events.of(held).await, Ok(()));
    assert_eq!(levels(&staff, &lamps).await, (5, 3, 2));

    let gone = format!("/v1/products/{}", Id::<kinds::Product>::new());
    let refused = place(&orders, &[(&lamps, 1), (&chairs, 2), (&gone, 1)]).await;
    let short = vec![(id_of(&chairs), 2, 0), (id_of(&gone), 1, 0)];
    assert_eq!(events.of(refused).await, Err(short));
    assert_eq!(levels(&staff, &lamps).await, (5, 3, 2));

    // Reserved units cannot be removed.
    let taken = staff
        .post(
            &format!("{lamps}/stock"),
            json!({"delta": -3, "reason": "x"}),
        )
        .await;
    assert_eq!((taken.status, &taken.body["reserved"]), (409, &json!(3)));

    // Events published while the service was down are applied after its restart.
    app.restart().await;
    let later = place(&orders, &[(&lamps, 2)]).await;
    assert_eq!(events.of(later).await, Ok(()));
    assert_eq!(levels(&app.staff(), &lamps).await, (5, 5, 0));
    assert_eq!(
        app.anonymous().get(&lamps).await.body["available"],
        Value::Bool(false)
    );
    app.finish().await;
}

/// Services, downloads and goods made to order are sold whatever the stock.
#[tokio::test(flavor = "multi_thread")]
async fn a_stock_policy_decides_what_is_sold_beyond_the_stock() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let orders = app.other("orders");
    let mut events = StockEvents::by(&app).await;
    let staff = app.staff();
    let of_policy = |sku: &str, policy: &str| {
        let mut product = lamp(sku);
        product["stock_policy"] = policy.into();
        product
    };
    let guide = make(&staff, of_policy("GUIDE", "untracked")).await;
    let chair = make(&staff, of_policy("CHAIR", "backorder")).await;
    for path in [&guide, &chair] {
        assert_eq!(app.anonymous().get(path).await.body["available"], true);
    }
    let (first, second) = (
        place(&orders, &[(&guide, 9), (&chair, 3)]).await,
        place(&orders, &[(&guide, 1)]).await,
    );
    assert_eq!(events.of(first).await, Ok(()));
    assert_eq!(events.of(second).await, Ok(()));
    assert_eq!(levels(&staff, &guide).await, (0, 0, 0));
    assert_eq!(levels(&staff, &chair).await, (0, 3, -3));

    // Neither is tracked while more is ordered than there is; then its stock counts again.
    let track = async || {
        let change = json!({"stock_policy": "tracked"});
        with(&staff, Method::PATCH, &chair, change).await
    };
    let refused = track().await;
    let pointer = &refused.body["errors"][0]["pointer"];
    assert_eq!((refused.status, pointer), (422, &json!("/stock_policy")));
    let count = json!({"on_hand": 3, "reason": "made"});
    with(&staff, Method::PUT, &format!("{chair}/stock"), count).await;
    let tracked = track().await;
    assert_eq!(
        (tracked.status, &tracked.body["available"]),
        (200, &json!(false))
    );
    let third = place(&orders, &[(&chair, 1)]).await;
    assert_eq!(events.of(third).await, Err(vec![(id_of(&chair), 1, 0)]));

    let (order_id, user_id) = (first, Id::new());
    orders
        .publish(
            &first.to_string(),
            Fact::OrderShipped { order_id, user_id: Some(user_id) },
        )
        .await;
    eventually("the chairs are sent", async || {
        levels(&staff, &chair).await == (0, 0, 0)
    })
    .await;
    assert_eq!(levels(&staff, &guide).await, (0, 0, 0));
    app.finish().await;
}

/// A reservation is released or shipped once.
#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_ends_once() {
    let mut app = TestService::start("products", products::open, &["orders"]).await;
    let orders = app.other("orders");
    let mut events = StockEvents::by(&app).await;
    let (staff, user_id) = (app.staff(), Id::new());
    let stocked = |sku: &str| {
        let mut product = lamp(sku);
        product["stock"] = 7.into();
        product
    };
    let lamps = make(&staff, stocked("A1")).await;
    let chairs = make(&staff, stocked("A2")).await;
    let say = |order_id: Id<kinds::Order>, fact: Fact| {
        let orders = orders.clone();
        async move { orders.publish(&order_id.to_string(), fact).await }
    };

    // Cancellations: repeated, of a pending order, and of a refused one.
    let cancelled = |order_id| Fact::OrderCancelled {
        order_id,
        user_id: Some(user_id),
        refunded: None,
        refund_pending: None,
    };
    let held = place(&orders, &[(&lamps, 3), (&chairs, 7)]).await;
    say(held, cancelled(held)).await;
    events.released(held, 1).await;
    say(held, cancelled(held)).await;
    events.released(held, 2).await;
    let refused = place(&orders, &[(&lamps, 8)]).await;
    say(refused, cancelled(refused)).await;
    events.released(refused, 1).await;
    assert_eq!(levels(&staff, &lamps).await, (7, 0, 7));
    assert_eq!(levels(&staff, &chairs).await, (7, 0, 7));

    // Shipment: a later cancellation or a repetition changes nothing.
    let sent = place(&orders, &[(&lamps, 3), (&chairs, 1)]).await;
    let shipped = Fact::OrderShipped { order_id: sent, user_id: Some(user_id) };
    let refunded = |order_id, in_full| {
        let amount = model::Money { amount: 1, currency: "EUR".parse().unwrap() };
        Fact::OrderRefunded { order_id, user_id: Some(user_id), amount, in_full }
    };
    for fact in [shipped.clone(), shipped, refunded(sent, true)] {
        say(sent, fact).await;
    }
    // A full refund of a paid order releases its stock; the units of a product deleted
    // meanwhile are gone with it.
    let paid = place(&orders, &[(&lamps, 2), (&chairs, 2)]).await;
    say(paid, refunded(paid, false)).await;
    assert_eq!(events.of(paid).await, Ok(()));
    assert_eq!(levels(&staff, &lamps).await, (4, 2, 2));
    assert_eq!(levels(&staff, &chairs).await, (6, 2, 4));
    send(staff.request(Method::DELETE, &chairs)).await;
    say(paid, refunded(paid, true)).await;
    events.released(paid, 1).await;
    events.released(sent, 0).await;
    assert_eq!(levels(&staff, &lamps).await, (4, 0, 4));
    let shown = staff.get(&format!("{lamps}/stock")).await.body;
    let movement = &shown["movements"][0];
    assert_eq!(
        (&movement["delta"], &movement["reason"]),
        (&json!(-3), &json!("order shipped"))
    );

    // The threshold is five units; each crossing is announced once.
    let low = |fact: &Fact| match fact {
        Fact::StockLow { product_id, available } => Some((*product_id, *available)),
        _ => None,
    };
    let lamp = id_of(&lamps);
    let chair = id_of(&chairs);
    assert_eq!(
        events.all(4, low).await,
        [(lamp, 4), (chair, 0), (lamp, 4), (chair, 4)]
    );
    app.restart().await;
    assert_eq!(levels(&app.staff(), &lamps).await, (4, 0, 4));
    app.finish().await;
}

type PlacedOrder<'a> = (Id<kinds::Order>, Vec<(&'a str, u32)>);

/// Ships half of the orders, half of these by mistake; a second undo changes nothing. What is
/// on hand and reserved changes with those that stay shipped.
async fn ship_some<'a>(
    orders: &OtherService,
    reserved: &[PlacedOrder<'a>],
    levels: &mut HashMap<&'a str, (i64, i64)>,
) {
    for (place, (order_id, lines)) in reserved.iter().enumerate() {
        let (order_id, user_id, key) = (*order_id, Id::new(), order_id.to_string());
        if place % 2 == 0 {
            continue;
        }
        let shipped = Fact::OrderShipped { order_id, user_id: Some(user_id) };
        orders.publish(&key, shipped).await;
        if place % 4 == 1 {
            for _ in 0..2 {
                orders.publish(&key, undone(order_id, lines)).await;
            }
            continue;
        }
        for (path, quantity) in lines {
            let (on_hand, reserved) = levels.get_mut(path).unwrap();
            *on_hand -= i64::from(*quantity);
            *reserved -= i64::from(*quantity);
        }
    }
}

/// Random orders against little stock: the reservations add up, and never exceed the stock.
#[tokio::test(flavor = "multi_thread")]
async fn stock_is_conserved_under_random_orders() {
    let (high, low) = (
        Id::<kinds::Order>::new().uuid(),
        Id::<kinds::Order>::new().uuid(),
    );
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(high.as_bytes());
    seed[16..].copy_from_slice(low.as_bytes());
    println!("seed {seed:?}");
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut below = move |limit: u32| random.next_u32() % limit;
    let app = TestService::start("products", products::open, &["orders"]).await;
    let orders = app.other("orders");
    let mut events = StockEvents::by(&app).await;
    let staff = app.staff();
    let mut shelf = Vec::new();
    for number in 0..5 {
        let mut product = lamp(&format!("S{number}"));
        product["stock"] = (10 + below(60)).into();
        shelf.push(make(&staff, product).await);
    }
    let mut placed = Vec::new();
    for _ in 0..150 {
        let lines: Vec<_> = (0..=below(3))
            .map(|_| (shelf[below(5) as usize].as_str(), 1 + below(6)))
            .collect();
        placed.push((place(&orders, &lines).await, lines));
    }
    let mut held: HashMap<&str, i64> = HashMap::new();
    let mut refused = 0;
    for (order, lines) in &placed {
        match events.of(*order).await {
            Ok(()) => {
                for (path, quantity) in lines {
                    *held.entry(path).or_default() += i64::from(*quantity);
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0 && refused < placed.len());
    let mut before = HashMap::new();
    for path in &shelf {
        let (on_hand, reserved, available) = levels(&staff, path).await;
        assert_eq!(reserved, held.get(path.as_str()).copied().unwrap_or(0));
        assert!(available == on_hand - reserved && available >= 0, "{path}");
        before.insert(path.as_str(), (on_hand, reserved));
    }

    let mut reserved = Vec::new();
    for (order, lines) in placed {
        if events.of(order).await.is_ok() {
            reserved.push((order, lines));
        }
    }
    ship_some(&orders, &reserved, &mut before).await;
    for path in &shelf {
        let expected = before[path.as_str()];
        let agrees = || async {
            let (on_hand, reserved, _) = levels(&staff, path).await;
            (on_hand, reserved) == expected
        };
        eventually("the shipped units have left", agrees).await;
    }
    app.finish().await;
}

/// Reserved, or the shortages: the product, the quantity ordered, the quantity available.
type Outcome = Result<(), Vec<(Id<kinds::Product>, u32, i64)>>;

/// The stock events of products, as another service receives them.
struct StockEvents {
    heard: flume::Receiver<Fact>,
    known: Vec<Fact>,
    _folder: tempfile::TempDir,
}

impl StockEvents {
    async fn by(app: &TestService) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store::Store::open(folder.path(), &store::Options::default()).unwrap();
        let (tell, heard) = flume::bounded(4096);
        let mesh = app.mesh.clone();
        let follower = mesh::Follower::new("test", "products", store, mesh, move |_, event| {
            if let Some(fact) = &event.fact {
                tell.send(fact.clone()).unwrap();
            }
            Ok(())
        });
        let tasks = tokio_util::task::TaskTracker::new();
        let stop = tokio_util::sync::CancellationToken::new();
        follower.start(&tasks, stop).await.unwrap();
        Self { heard, known: Vec::new(), _folder: folder }
    }

    /// The selected facts, once there are `count` of them.
    async fn all<T>(&mut self, count: usize, select: impl Fn(&Fact) -> Option<T>) -> Vec<T> {
        let known = std::sync::Mutex::new(&mut self.known);
        eventually("products has published it", || async {
            let mut known = known.lock().unwrap();
            known.extend(self.heard.try_iter());
            known.iter().filter_map(&select).count() >= count
        })
        .await;
        self.known.iter().filter_map(&select).collect()
    }

    /// The stock outcome of an order, which is published once.
    async fn of(&mut self, order: Id<kinds::Order>) -> Outcome {
        let settled = |fact: &Fact| match fact {
            Fact::StockReserved { order_id } if *order_id == order => Some(Ok(())),
            Fact::StockRefused { order_id, shortages } if *order_id == order => {
                let short = shortages.iter();
                let short = short.map(|one| (one.product_id, one.requested, one.available));
                Some(Err(short.collect()))
            }
            _ => None,
        };
        let mut events: Vec<Outcome> = self.all(1, settled).await;
        assert_eq!(events.len(), 1, "{order} has one outcome");
        events.remove(0)
    }

    /// Waits until an order's release was published exactly so many times.
    async fn released(&mut self, order: Id<kinds::Order>, times: usize) {
        let events = self
            .all(times, |fact| {
                matches!(fact, Fact::StockReleased { order_id } if *order_id == order).then_some(())
            })
            .await;
        assert_eq!(events.len(), times, "{order}");
    }
}
