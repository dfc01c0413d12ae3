//! API keys: making, exchanging, revoking, and what becomes of them with their makers.

use std::net::IpAddr;

use api::KeyScope;
use chassis::Role;
use chassis::token::Claims;
use data_encoding::BASE64URL_NOPAD;
use mesh::{TokenAnswer, TokenOf};
use model::{Id, kinds};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::*;

const KEYS: &str = "/v1/api-keys";
const HERE: &str = "127.0.0.1";

/// A member of staff, or an admin, with a session.
async fn with_role(app: &TestService, email: &str, role: &str) -> Person {
    let body = json!({ "email": email, "password": PASSWORD, "roles": ["customer", role] });
    assert_eq!(control(app, body).await.status, 201);
    holder(app, &log_in(app, email).await)
}

async fn try_make(person: &Person, scopes: &[&str]) -> TestResponse {
    let body = json!({ "name": "ERP", "scopes": scopes, "current_password": PASSWORD });
    person.post(KEYS, body).await
}

/// Makes a key and returns its id and its secret.
async fn make(person: &Person, scopes: &[&str]) -> (String, String) {
    let made = try_make(person, scopes).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let text = |name: &str| made.body[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn exchange(app: &TestService, key: &str, address: &str) -> TokenAnswer {
    let address: IpAddr = address.parse().unwrap();
    let question = TokenOf { key: key.to_owned(), address };
    let answer = app.mesh.ask(&question, TIMEOUT).await;
    answer.flatten().expect("users answers")
}

/// The token of a key, if it is valid.
async fn token_of(app: &TestService, key: &str) -> Option<String> {
    match exchange(app, key, HERE).await {
        TokenAnswer::Issued { token, .. } => Some(token),
        TokenAnswer::Refused | TokenAnswer::Throttled { .. } => None,
    }
}

fn bearer(app: &TestService, token: &str) -> Person {
    Person::new(app.address, Some(token.to_owned()), None)
}

/// The claims of a token, as anyone can read them.
fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(2).unwrap();
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
    let (claims, _signature) = bytes.split_last_chunk::<64>().unwrap();
    serde_json::from_slice(claims).unwrap()
}

/// Waits until a token is not accepted any more; a valid one that lacks a scope is a 403.
async fn dead(app: &TestService, token: &str) {
    let person = bearer(app, token);
    let refused = || async { person.get("/v1/users").await.status == 401 };
    eventually("the token is refused", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_listed_and_revoked() {
    let mut app = start().await;
    let root = with_role(&app, "root@example.org", "admin").await;
    let sam = with_role(&app, "sam@example.org", "staff").await;
    let ana = newcomer(&app, "ana@example.org").await;

    // Without the password, beyond the own role, without any right, and malformed.
    let unproven = json!({ "name": "ERP", "scopes": ["orders:read"] });
    let refused = sam.post(KEYS, unproven).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (403, "password-required")
    );
    let beyond = try_make(&sam, &["orders:read", "events:read"]).await;
    assert_eq!((beyond.status, pointers(&beyond)), (422, vec!["/scopes/1"]));
    assert_eq!(try_make(&ana, &["orders:read"]).await.status, 403);
    let wrong = json!({
        "name": "",
        "scopes": ["orders:read", "orders:read", "orders"],
        "current_password": PASSWORD,
    });
    let wrong = sam.post(KEYS, wrong).await;
    assert_eq!(pointers(&wrong), ["/name", "/scopes/1", "/scopes/2"]);
    let past = json!({
        "name": "ERP", "scopes": ["orders:read"], "expires_at": "2026-01-01T00:00:00Z",
        "current_password": PASSWORD,
    });
    assert_eq!(pointers(&sam.post(KEYS, past).await), ["/expires_at"]);

    let (of_sam, _) = make(&sam, &["orders:read"]).await;
    let (of_root, key) = make(&root, &["customers:read"]).await;
    let token = token_of(&app, &key).await.unwrap();
    assert_eq!(claims(&token).scopes, Some(vec![KeyScope::CustomersRead]));
    let program = bearer(&app, &token);
    assert_eq!(program.get("/v1/users").await.status, 200);
    let refused = program.get("/v1/users/me").await;
    assert_eq!((refused.status, refused.problem()), (403, "no-api-keys"));
    // A key makes no other, and is worth nothing itself.
    assert_eq!(try_make(&program, &["orders:read"]).await.status, 403);
    assert_eq!(bearer(&app, &key).get("/v1/users").await.status, 401);

    let ids = async |person: &Person| {
        let items = person.get(KEYS).await.body["items"].clone();
        let items = items.as_array().unwrap().clone();
        assert!(items.iter().all(|item| item.get("secret").is_none()));
        let ids = items.iter().map(|item| item["id"].as_str().unwrap());
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids(&root).await, [of_root.clone(), of_sam.clone()]);
    assert_eq!(ids(&sam).await, [of_sam.as_str()]);
    eventually("its use is noted", || async {
        let items = root.get(KEYS).await.body["items"].clone();
        items[0]["last_used_at"].is_string() && items[1]["last_used_at"].is_null()
    })
    .await;
    let export = root.get("/v1/users/me/export").await.body;
    assert_eq!(export["api_keys"][0]["id"], of_root.as_str());

    let path = format!("{KEYS}/{of_root}");
    assert_eq!(delete(&sam, &path).await.status, 404, "another's");
    assert_eq!(delete(&root, &path).await.status, 204);
    assert_eq!(delete(&root, &path).await.status, 404);
    assert!(token_of(&app, &key).await.is_none());
    dead(&app, &token).await;
    app.restart().await;
    assert!(token_of(&app, &key).await.is_none());
    assert_eq!(bearer(&app, &token).get("/v1/users").await.status, 401);
    let root = root.at(app.address);
    let path = format!("{KEYS}/{of_sam}");
    assert_eq!(delete(&root, &path).await.status, 204, "an admin may");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_and_so_do_its_tokens() {
    let app = start().await;
    let root = with_role(&app, "root@example.org", "admin").await;
    let expires_at = model::now().after(Duration::from_secs(3));
    let body = json!({
        "name": "until soon", "scopes": ["customers:read"], "expires_at": expires_at,
        "current_password": PASSWORD,
    });
    let made = root.post(KEYS, body).await;
    let key = made.body["secret"].as_str().unwrap();
    let token = token_of(&app, key).await.unwrap();
    assert_eq!(claims(&token).exp, expires_at);
    dead(&app, &token).await;
    assert!(token_of(&app, key).await.is_none());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_keys_are_throttled_by_address_and_valid_ones_are_not() {
    let app = start().await;
    let root = with_role(&app, "root@example.org", "admin").await;
    let (_, key) = make(&root, &["customers:read"]).await;
    let elsewhere = "203.0.113.7";
    let mut refused = 0;
    let wait = loop {
        match exchange(&app, "konbini_none", elsewhere).await {
            TokenAnswer::Issued { .. } => panic!("it is no key"),
            TokenAnswer::Refused => refused += 1,
            TokenAnswer::Throttled { wait } => break wait,
        }
    };
    assert_eq!(refused, 300);
    assert!(wait <= Duration::from_secs(3600));
    let valid = exchange(&app, &key, elsewhere).await;
    assert!(matches!(valid, TokenAnswer::Issued { .. }));
    let other = exchange(&app, "konbini_none", "203.0.113.8").await;
    assert!(matches!(other, TokenAnswer::Refused));
    app.finish().await;
}

/// What happens to the maker of keys.
#[derive(Debug, Clone)]
enum Step {
    /// They try to make a key with these scopes.
    Make(Vec<KeyScope>),
    SetRoles(Vec<Role>),
    SetStatus(&'static str),
    Erase,
}

fn step() -> impl Strategy<Value = Step> {
    let scopes = proptest::sample::subsequence(KeyScope::ALL.to_vec(), 1..=3);
    let roles = [Role::Customer, Role::Staff, Role::Admin];
    let roles = proptest::sample::subsequence(roles.to_vec(), 1..=3);
    prop_oneof![
        4 => scopes.prop_map(Step::Make),
        4 => roles.prop_map(Step::SetRoles),
        2 => prop_oneof![Just("active"), Just("disabled")].prop_map(Step::SetStatus),
        1 => Just(Step::Erase),
    ]
}

/// The maker as the test knows them; `None` once erased.
struct Maker {
    account: Option<(Vec<Role>, &'static str)>,
    keys: Vec<(String, Vec<KeyScope>)>,
    tokens: Vec<String>,
}

impl Maker {
    /// The scopes that the maker may give now, by the contract's words.
    fn may_give(&self, scope: KeyScope) -> bool {
        let Some((roles, "active")) = &self.account else {
            return false;
        };
        let is_admin = roles.contains(&Role::Admin);
        is_admin || scope != KeyScope::EventsRead && roles.contains(&Role::Staff)
    }
}

/// Plays the steps; after each, every key gives what its maker still may, and no older token
/// gives more.
async fn walk(app: &TestService, root: &Person, steps: Vec<Step>) {
    let email = format!("{}@example.org", Id::<kinds::User>::new());
    let maker = with_role(app, &email, "admin").await;
    let me = maker.get("/v1/users/me").await.body;
    let path = format!("/v1/users/{}", me["id"].as_str().unwrap());
    let first = vec![Role::Customer, Role::Admin];
    let mut state = Maker {
        account: Some((first, "active")),
        keys: Vec::new(),
        tokens: Vec::new(),
    };
    for step in steps {
        let Some((roles, status)) = &mut state.account else {
            break;
        };
        match step {
            Step::Make(scopes) => {
                let login = try_log_in(app, &email, PASSWORD).await;
                if login.status == 201 {
                    let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
                    let made = try_make(&holder(app, &login.body), &names).await;
                    let all = scopes.iter().all(|scope| state.may_give(*scope));
                    assert_eq!(made.status == 201, all, "{scopes:?} {}", made.body);
                    if let Some(secret) = made.body["secret"].as_str() {
                        state.keys.push((secret.to_owned(), scopes));
                    }
                }
            }
            Step::SetRoles(new) => {
                let body = json!({ "roles": new, "current_password": PASSWORD });
                assert_eq!(patch(root, &path, body).await.status, 200);
                *roles = new;
            }
            Step::SetStatus(new) => {
                let body = json!({ "status": new });
                assert_eq!(patch(root, &path, body).await.status, 200);
                *status = new;
            }
            Step::Erase => {
                assert_eq!(erase(root, &path).await.status, 204);
                state.account = None;
            }
        }
        check(app, &mut state).await;
    }
}

async fn check(app: &TestService, state: &mut Maker) {
    for (key, scopes) in &state.keys {
        let given = token_of(app, key).await;
        let claims = given.as_deref().map(claims);
        let expected: Vec<_> = scopes
            .iter()
            .copied()
            .filter(|scope| state.may_give(*scope))
            .collect();
        let of_token = claims.and_then(|claims| claims.scopes).unwrap_or_default();
        assert_eq!(of_token, expected);
        state.tokens.extend(given);
    }
    let roles = state.account.clone().map_or(Vec::new(), |(roles, _)| roles);
    for token in std::mem::take(&mut state.tokens) {
        let claims = claims(&token);
        let scopes = claims.scopes.unwrap();
        let exceeds = scopes.iter().any(|scope| !state.may_give(*scope))
            || claims.roles.iter().any(|role| !roles.contains(role));
        if exceeds {
            dead(app, &token).await;
        } else {
            state.tokens.push(token);
        }
    }
}

#[test]
fn a_key_never_allows_more_than_its_maker_may() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(start());
    let root = runtime.block_on(with_role(&app, "root@example.org", "admin"));
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..10);
    let walked = TestRunner::new(config).run(&steps, |steps| {
        runtime.block_on(walk(&app, &root, steps));
        Ok(())
    });
    walked.unwrap();
    runtime.block_on(app.finish());
}
