//! API keys at the gateway: which routes take them, and the exchange for tokens, by a users
//! service that is played.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{KeyScope, ROUTES};
use chassis::Role;
use chassis::limits::KEY_TOKEN_LIFE;
use chassis::token::{Claims, KEY_AUDIENCE};
use mesh::{TokenAnswer, TokenOf};
use model::{Fact, Id, Time};
use reqwest::Method;
use testkit::{Person, TestResponse, TestService, claims, eventually, send};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stub::Stub;

/// The answers of users by key, and the exchanges that were asked for.
#[derive(Clone, Default)]
struct PlayedKeys {
    answers: Arc<Mutex<HashMap<String, TokenAnswer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl PlayedKeys {
    /// Answers exchanges on the mesh of the gateway.
    async fn start(test: &TestService) -> Self {
        let keys = Self::default();
        let answering = keys.clone();
        let answer = move |TokenOf { key, .. }| {
            let answer = answering.answers.lock().unwrap().get(&key).cloned();
            answering.asked.lock().unwrap().push(key);
            Box::pin(async move { Some(answer.unwrap_or(TokenAnswer::Refused)) }) as _
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        test.mesh.answer(&tasks, stop, answer).await.unwrap();
        keys
    }

    fn set(&self, key: &str, answer: TokenAnswer) {
        self.answers.lock().unwrap().insert(key.to_owned(), answer);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// The claims of a token for a key of an admin.
fn of_key(scopes: &[KeyScope]) -> Claims {
    let now = model::now();
    Claims {
        aud: KEY_AUDIENCE.into(),
        exp: now.after(KEY_TOKEN_LIFE),
        scopes: Some(scopes.to_vec()),
        key: None,
        ..claims(Id::new(), &[Role::Admin], now)
    }
}

fn issued(test: &TestService, claims: &Claims) -> TokenAnswer {
    TokenAnswer::Issued { token: test.issue(claims), until: claims.exp }
}

async fn call(test: &TestService, key: &str, method: &Method, path: &str) -> TestResponse {
    let program = Person::new(test.address, Some(key.into()), None);
    send(program.request(method.clone(), path)).await
}

async fn get_orders(test: &TestService, key: &str) -> (u16, String) {
    let answer = call(test, key, &Method::GET, "/v1/orders").await;
    (answer.status, answer.problem().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_routes_of_its_scope_and_no_other() {
    let test = crate::start(gateway::Config::default()).await;
    let keys = PlayedKeys::start(&test).await;
    let mut stubs = Vec::new();
    for service in ["users", "products", "orders", "notifications"] {
        stubs.push(Stub::declare(&test.mesh, service).await);
    }
    let customer = test.customer();
    for path in [
        "/v1/sessions",
        "/v1/products",
        "/v1/orders",
        "/v1/notifications",
    ] {
        eventually("the gateway has discovered the services", || async {
            customer.get(path).await.status == 200
        })
        .await;
    }
    let forwarded = || stubs.iter().map(|stub| stub.seen().len()).sum::<usize>();
    for scope in KeyScope::ALL {
        let key = format!("konbini_{}", scope.name());
        keys.set(&key, issued(&test, &of_key(&[*scope])));
        for route in ROUTES {
            let path = route
                .path
                .replace("{id}", "orders.1")
                .replace("{message}", "m");
            let path = path.replace("{sid}", "s").replace("{sku}", "sku");
            let before = forwarded();
            let answer = call(&test, &key, &route.method, &path).await;
            let place = format!("{} with {}", route.name(), scope.name());
            match route.scope {
                Some(taken) if taken == *scope => {
                    assert_eq!(answer.status, 200, "{place}: {}", answer.body);
                    assert!(forwarded() > before, "{place}");
                }
                refusing => {
                    let problem = match refusing {
                        Some(_) => "insufficient-scope",
                        None => "no-api-keys",
                    };
                    let seen = (answer.status, answer.problem());
                    assert_eq!(seen, (403, problem), "{place}");
                    assert_eq!(forwarded(), before, "{place}");
                }
            }
        }
    }
    let seen = stubs.iter().flat_map(Stub::seen);
    for seen in seen {
        let credentials = seen.headers["authorization"].to_str().unwrap();
        assert!(
            credentials.starts_with("Bearer v4.public."),
            "{credentials}"
        );
    }
    assert_eq!(keys.asked(), KeyScope::ALL.len(), "one exchange a key");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shared_until_it_is_revoked_or_about_to_expire() {
    let mut test = crate::start(gateway::Config::default()).await;
    let keys = PlayedKeys::start(&test).await;
    let _orders = Stub::start(&test, "orders").await;
    let ok = (200, String::new());
    let first = of_key(&[KeyScope::OrdersRead]);
    keys.set("konbini_1", issued(&test, &first));
    let calls = (0..20).map(|_| get_orders(&test, "konbini_1"));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer, ok);
    }
    assert_eq!(keys.asked(), 1, "concurrent requests share an exchange");

    let revoke = async |claims: &Claims| {
        let (user_id, session_id, until) = (claims.sub, claims.sid, claims.exp);
        let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
        test.other("users").publish("revoked", fact).await;
    };
    // The maker lost a role: the key goes on with another token.
    let second = of_key(&[KeyScope::OrdersRead]);
    keys.set("konbini_1", issued(&test, &second));
    revoke(&first).await;
    eventually("the key is exchanged again", || async {
        get_orders(&test, "konbini_1").await == ok && keys.asked() == 2
    })
    .await;
    // The key was revoked.
    keys.set("konbini_1", TokenAnswer::Refused);
    revoke(&second).await;
    let refused = (401, "unauthenticated".to_owned());
    eventually("the key is refused", || async {
        get_orders(&test, "konbini_1").await == refused
    })
    .await;
    keys.set("konbini_1", issued(&test, &second));
    test.restart().await;
    assert_eq!(get_orders(&test, "konbini_1").await, refused, "its token");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_says_of_a_key_is_the_answer() {
    let test = crate::start(gateway::Config::default()).await;
    let _orders = Stub::start(&test, "orders").await;
    let answer = call(&test, "konbini_1", &Method::GET, "/v1/orders").await;
    let seen = (answer.status, answer.problem());
    assert_eq!(seen, (503, "service-unavailable"), "nobody answers");

    let keys = PlayedKeys::start(&test).await;
    let unauthenticated = (401, "unauthenticated".to_owned());
    assert_eq!(get_orders(&test, "konbini_1").await, unauthenticated);
    let long = format!("konbini_{}", "A".repeat(200));
    let asked = keys.asked();
    assert_eq!(get_orders(&test, &long).await, unauthenticated);
    assert_eq!(keys.asked(), asked, "it is no key");
    keys.set(
        "konbini_2",
        TokenAnswer::Throttled { wait: Duration::from_secs(7) },
    );
    let throttled = call(&test, "konbini_2", &Method::GET, "/v1/orders").await;
    let seen = (throttled.status, throttled.problem());
    assert_eq!(seen, (429, "too-many-attempts"));
    assert_eq!(throttled.headers["retry-after"], "7");

    // A token that is about to expire is used once.
    let soon = of_key(&[KeyScope::OrdersRead]);
    let soon = Claims { exp: Time(model::now().0 + 20_000), ..soon };
    keys.set("konbini_3", issued(&test, &soon));
    let asked = keys.asked();
    for _ in 0..2 {
        assert_eq!(get_orders(&test, "konbini_3").await.0, 200);
    }
    assert_eq!(keys.asked(), asked + 2);
    test.finish().await;
}
