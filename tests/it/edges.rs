//! What programs of others meet at the edge of a running shop: proxies on the same host, web
//! sites, misspelt parameters, encoded bodies, and clients that send back what they got.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{Person, lamp, pieces};
use crate::world::open;

/// The header of a response that is expected; `None` for one that must be absent.
type Expected = (&'static str, Option<&'static str>);

/// A request without a body, and the response to it.
struct Case {
    path: &'static str,
    sent: &'static [(&'static str, &'static str)],
    status: u16,
    headers: &'static [Expected],
}

const ANY_ORIGIN: Expected = ("access-control-allow-origin", Some("*"));
const NO_ORIGIN: Expected = ("access-control-allow-origin", None);
const UNSTORED: Expected = ("cache-control", Some("private, no-store"));

#[rustfmt::skip]
const STRANGER: &[Case] = &[
    // A browser or a cache may keep the response for a script of another site.
    Case { path: "/v1/products", sent: &[], status: 200, headers: &[ANY_ORIGIN] },
    Case { path: "/v1/nothing", sent: &[], status: 404, headers: &[ANY_ORIGIN, UNSTORED] },
    Case { path: "/v1/orders", sent: &[], status: 401, headers: &[ANY_ORIGIN, UNSTORED, ("www-authenticate", Some("Bearer"))] },
    Case { path: "/v1/orders", sent: &[("authorization", "Bearer v4.public.x")], status: 401, headers: &[("www-authenticate", Some("Bearer error=\"invalid_token\""))] },
    // The privileges of this host are for its own programs.
    Case { path: "/metrics", sent: &[], status: 200, headers: &[NO_ORIGIN, UNSTORED] },
    Case { path: "/metrics", sent: &[("x-forwarded-for", "203.0.113.9")], status: 401, headers: &[NO_ORIGIN] },
    Case { path: "/metrics", sent: &[("x-forwarded-for", "")], status: 401, headers: &[] },
    Case { path: "/metrics", sent: &[("x-forwarded-for", "127.0.0.1")], status: 401, headers: &[] },
    Case { path: "/metrics", sent: &[("forwarded", "for=203.0.113.9")], status: 401, headers: &[] },
    Case { path: "/metrics", sent: &[("origin", "https://evil.example")], status: 401, headers: &[NO_ORIGIN] },
    Case { path: "/metrics", sent: &[("host", "rebound.evil.example")], status: 401, headers: &[] },
    Case { path: "/v1/products", sent: &[("content-encoding", "gzip")], status: 415, headers: &[("accept-encoding", Some("identity"))] },
    Case { path: "/v1/products?limit=&cursor=", sent: &[], status: 200, headers: &[] },
    Case { path: "/v1/products/search?q=lamp&price_min=-1", sent: &[], status: 400, headers: &[] },
];

#[rustfmt::skip]
const ADMIN: &[Case] = &[
    Case { path: "/v1/events/dead-letters?limit=0", sent: &[], status: 400, headers: &[] },
    Case { path: "/v1/events/dead-letters?limit=abc", sent: &[], status: 400, headers: &[] },
    Case { path: "/v1/events?cursor=eyJvcmRlcnMiOiJBQSJ9", sent: &[], status: 400, headers: &[] },
    Case { path: "/v1/orders", sent: &[("accept-encoding", "gzip")], status: 200, headers: &[UNSTORED, ("content-encoding", None)] },
    Case { path: "/metrics", sent: &[("x-forwarded-for", "203.0.113.9")], status: 200, headers: &[NO_ORIGIN] },
];

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_others_meet_the_contract() {
    let shop = open(Form::Up).await;
    let (admin, stranger) = (Person::admin(&shop).await, Person::stranger(&shop));
    let ids = admin.sell(&[lamp("LAMP-1", "Brass desk lamp", 30)]).await;
    for _ in 0..20 {
        let placed = admin.post("/v1/orders", pieces(&ids[0], 1)).await;
        assert_eq!(placed.status, 201, "{placed:?}");
    }
    for (person, cases) in [(&stranger, STRANGER), (&admin, ADMIN)] {
        for case in cases {
            let request = person.request(Method::GET, case.path);
            let request = case
                .sent
                .iter()
                .fold(request, |request, one| request.header(one.0, one.1));
            let answer = send(request).await;
            let place = format!("{} {:?}: {answer:?}", case.path, case.sent);
            assert_eq!(answer.status, case.status, "{place}");
            for expected in case.headers {
                assert_eq!(answer.header(expected.0), expected.1, "{place}");
            }
        }
    }
    misspelt(&admin).await;
    filters(&admin, &ids[0]).await;
    round_trip(&admin, &ids[0]).await;
    long_names(&shop, &admin).await;
}

/// A whole response; `null` for a body that is not JSON.
#[derive(Debug)]
struct Received {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn send(request: RequestBuilder) -> Received {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = serde_json::from_slice(&response.bytes().await.unwrap());
    Received { status, headers, body: body.unwrap_or_default() }
}

/// A filter that is misspelt is refused on every route, and never returns everything.
async fn misspelt(admin: &Person) {
    for route in api::ROUTES.iter().filter(|route| route.query.is_some()) {
        let path = format!("{}?stauts=paid", route.path.replace(['{', '}'], ""));
        let answer = send(admin.request(route.method.clone(), &path)).await;
        let named = answer.body["detail"].as_str().unwrap_or_default();
        // An id that names no service has no row.
        let is_unknown = answer.status == 404 && route.service == api::Service::Each;
        assert!(
            is_unknown || (answer.status == 400 && named.contains("`stauts`")),
            "{}: {answer:?}",
            route.name()
        );
    }
}

/// The value of a filter is read as the field is that it is compared with.
async fn filters(admin: &Person, id: &str) {
    let texts = json!({
        "brand": " Cafe\u{301} Mori", "categories": ["Home>Lamps "], "tags": ["E\u{301}tude"],
        "attributes": { "Gro\u{308}ße": "39 " },
    });
    let path = format!("/v1/products/{id}");
    let patched = send(admin.request(Method::PATCH, &path).json(&texts)).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    let me = admin.get("/v1/users/me").await.body;
    let (email, user) = (me["email"].as_str().unwrap(), me["id"].as_str().unwrap());
    for query in [
        "/v1/products?brand=Cafe%CC%81+Mori+",
        "/v1/products?category=Home%3ELamps",
        "/v1/products?category=+Home&limit=%2020",
        "/v1/products?status=published%20&brand=%20",
        "/v1/products/search?brand=+Cafe%CC%81%20Mori&category=Home+%3E%3ELamps&category=Home%3ELamps",
        "/v1/products/search?tags=+E%CC%81tude",
        "/v1/products/search?attr.+Gro%CC%88%C3%9Fe+=%2039",
        &format!("/v1/users?email=%20{email}%20"),
        &format!("/v1/orders?status=+confirmed&user_id=+{user}&limit=1"),
        "/v1/notifications?unread=+true&limit=1",
        "/v1/events?source=+orders&kind=+order.placed&limit=1",
    ] {
        // A change is searched within a second.
        let found = async || {
            let answer = admin.get(query).await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            answer.body["items"].as_array().unwrap().len() == 1
        };
        eventually(&format!("{query} finds one"), found).await;
    }
}

/// What `GET` returns, `PUT` takes, if the fields that cannot be changed are the same.
async fn round_trip(admin: &Person, id: &str) {
    let path = format!("/v1/products/{id}");
    let product = admin.get(&path).await.body;
    let put = async |body: &Value| send(admin.request(Method::PUT, &path).json(body)).await;
    let answer = put(&product).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for (name, value) in [
        ("id", json!("prod_01h455vb4pex5vsknk084sn02q")),
        ("created_at", json!("2020-01-01T00:00:00.000Z")),
        ("available", json!(7)),
    ] {
        let mut changed = admin.get(&path).await.body;
        changed[name] = value;
        let answer = put(&changed).await;
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{name}"));
    }
    let created = admin.post("/v1/products", product).await;
    assert_eq!(created.status, 422, "{created:?}");
}

/// A refusal repeats no more of a request than a person reads.
async fn long_names(shop: &Shop, admin: &Person) {
    let name = "x".repeat(500_000);
    let body = json!({ &name: 1 });
    let answer = admin.post("/v1/products", body).await;
    let text = answer.body.to_string();
    assert!(
        (400..500).contains(&answer.status) && text.len() < 8_000,
        "{}",
        text.len()
    );
    let body = json!({ "email": name, "password": name, "name": name });
    let answer = Person::stranger(shop).post("/v1/users", body).await;
    let text = answer.body.to_string();
    assert!(
        (400..500).contains(&answer.status) && text.len() < 16_000,
        "{}",
        text.len()
    );
}
