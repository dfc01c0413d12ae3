//! Authorisation: valid tokens, their roles, and their expiry.

use std::time::Duration;

use api::KeyScope;
use chassis::Role;
use chassis::limits::KEY_TOKEN_LIFE;
use chassis::token::{AUDIENCE, Claims, KEY_AUDIENCE, KeyPair, Succession};
use model::{Fact, Id, KeyPublished, Time};
use testkit::{Person, TestService, claims, eventually};

use super::start;

fn with(test: &TestService, token: impl Into<String>) -> Person {
    Person::new(test.address, Some(token.into()), None)
}

async fn status(test: &TestService, token: &str) -> u16 {
    with(test, token).get("/mine").await.status
}

fn fresh() -> Claims {
    claims(Id::new(), &[Role::Customer], model::now())
}

/// `token` with another footer, which needs no key to make.
fn refooted(token: &str, footer_of: &str) -> String {
    let (body, _) = token.rsplit_once('.').unwrap();
    let (_, footer) = footer_of.rsplit_once('.').unwrap();
    format!("{body}.{footer}")
}

/// `token` with one character of its `part` exchanged.
fn bent(token: &str, part: usize, place: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let old = &parts[part][place..=place];
    let new = if old == "A" { "B" } else { "A" };
    parts[part].replace_range(place..=place, new);
    parts.join(".")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_shops_own_tokens_are_accepted() {
    let test = start().await;
    let ours = test.issue(&fresh());
    assert_eq!(status(&test, &ours).await, 200);
    let foreign = KeyPair::generate().issue(&fresh());
    let unsigned = ours.rsplit_once('.').unwrap().0;
    let refused = [
        ("nothing", String::new()),
        ("garbage", "garbage".into()),
        ("no footer", unsigned.into()),
        ("v4.local", ours.replacen("v4.public", "v4.local", 1)),
        ("v3.public", ours.replacen("v4.public", "v3.public", 1)),
        ("payload", bent(&ours, 2, 10)),
        (
            "signature",
            bent(&ours, 2, ours.split('.').nth(2).unwrap().len() - 10),
        ),
        ("footer", bent(&ours, 3, 12)),
        ("unknown kid", foreign.clone()),
        ("a foreign key under our kid", refooted(&foreign, &ours)),
        ("our key under a foreign kid", refooted(&ours, &foreign)),
        ("long", format!("{ours}{}", "A".repeat(8192))),
        ("JWT", "eyJhbGciOiJub25lIn0.e30.".into()),
        (
            "audience",
            test.issue(&Claims { aud: "other".into(), ..fresh() }),
        ),
        (
            "issuer",
            test.issue(&Claims { iss: "other".into(), ..fresh() }),
        ),
        (
            "expired",
            test.issue(&Claims { exp: model::now(), ..fresh() }),
        ),
        (
            "tomorrow's",
            test.issue(&Claims {
                nbf: model::now().after(Duration::from_secs(86_400)),
                ..fresh()
            }),
        ),
    ];
    for (what, token) in refused {
        let answer = with(&test, token).get("/mine").await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "unauthenticated"),
            "{what}"
        );
        let challenge = "Bearer error=\"invalid_token\"";
        assert_eq!(answer.headers["www-authenticate"], challenge, "{what}");
    }
    let twice = with(&test, ours.clone()).request(reqwest::Method::GET, "/mine");
    let twice = testkit::send(twice.header("authorization", "Bearer other")).await;
    assert_eq!(twice.status, 401, "of two headers neither counts");
    let basic = test.anonymous().request(reqwest::Method::GET, "/anyone");
    let basic = testkit::send(basic.basic_auth("a", Some("b"))).await;
    assert_eq!(basic.status, 401);
    assert_eq!(status(&test, &ours).await, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_api_key_opens_the_routes_of_its_scopes() {
    let test = start().await;
    let of_key = |scopes: &[KeyScope]| Claims {
        aud: KEY_AUDIENCE.into(),
        exp: model::now().after(KEY_TOKEN_LIFE),
        scopes: Some(scopes.to_vec()),
        ..claims(Id::new(), &[Role::Admin], model::now())
    };
    let orders = &[KeyScope::OrdersRead, KeyScope::EventsRead];
    let long = Claims { exp: fresh().exp, ..of_key(orders) };
    let (order, row_without, no_row) = ("/v1/orders/x", "/v1/status", "/mine");
    for (what, claims, path, status, problem) in [
        ("its scope", of_key(orders), order, 200, ""),
        ("its other scope", of_key(orders), "/v1/events", 200, ""),
        (
            "another scope",
            of_key(&[KeyScope::OrdersWrite]),
            order,
            403,
            "insufficient-scope",
        ),
        ("no scope", of_key(&[]), order, 403, "insufficient-scope"),
        (
            "a row without one",
            of_key(orders),
            row_without,
            403,
            "no-api-keys",
        ),
        ("no row", of_key(orders), no_row, 403, "no-api-keys"),
        ("a long life", long, order, 401, "unauthenticated"),
        (
            "a login's audience",
            Claims { aud: AUDIENCE.into(), ..of_key(orders) },
            order,
            401,
            "unauthenticated",
        ),
        (
            "a login of a key's audience",
            Claims { aud: KEY_AUDIENCE.into(), ..fresh() },
            order,
            401,
            "unauthenticated",
        ),
    ] {
        let answer = with(&test, test.issue(&claims)).get(path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (status, problem),
            "{what}"
        );
    }
    // The role of the key's maker limits it, too.
    let of_staff = Claims { roles: vec![Role::Staff], ..of_key(orders) };
    let answer = with(&test, test.issue(&of_staff)).get("/v1/events").await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    test.finish().await;
}

/// A verified token is cached; it must expire all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_cached_token_expires() {
    let test = start().await;
    let exp = model::now().after(Duration::from_secs(2));
    let token = test.issue(&Claims { exp, ..fresh() });
    assert_eq!(status(&test, &token).await, 200);
    eventually("it has expired", || async {
        status(&test, &token).await == 401
    })
    .await;
    assert!(model::now() >= exp);
    test.finish().await;
}

/// The strongest attacker: one who can publish any event in the log of users.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_root_key_can_publish_or_expire_a_key() {
    let test = start().await;
    let users = test.other("users");
    let root = test.folder.root_secret().unwrap();
    let (thief, second, third) = (
        KeyPair::generate(),
        KeyPair::generate(),
        KeyPair::generate(),
    );
    let now = model::now();
    let later = now.after(Duration::from_secs(600));
    let at = |seconds| now.after(Duration::from_secs(seconds));
    let place = |published_at, earlier_until| Succession { published_at, earlier_until };
    let honest = root.vouch_for(&second, place(at(1), later));
    let newest = root.vouch_for(&third, place(at(3), later));
    let ours = test.issue(&fresh());
    assert_eq!(status(&test, &ours).await, 200);
    users
        .publish("keys", Fact::KeyPublished(honest.clone()))
        .await;

    // Each would make the attacker's key valid, or expire all others at once.
    let own_word = thief.vouch_for(&thief, place(at(2), now));
    let of_second = thief.vouch_for(&second, place(at(2), now));
    let forgeries = [
        own_word.clone(),
        of_second.clone(),
        KeyPublished { voucher: String::new(), ..own_word.clone() },
        KeyPublished { voucher: honest.voucher.clone(), ..own_word.clone() },
        KeyPublished {
            voucher: refooted(&own_word.voucher, &honest.voucher),
            ..own_word.clone()
        },
        KeyPublished { key: own_word.key.clone(), ..honest.clone() },
        KeyPublished { kid: own_word.kid.clone(), ..honest.clone() },
        KeyPublished { voucher: root.issue(&fresh()), ..own_word.clone() },
        KeyPublished { voucher: test.issue(&fresh()), ..own_word.clone() },
    ];
    for forged in forgeries {
        users.publish("keys", Fact::KeyPublished(forged)).await;
    }
    users.publish("keys", Fact::KeyPublished(newest)).await;
    // A replayed publication of the root key neither makes a key valid again nor expires
    // later ones.
    users.publish("keys", Fact::KeyPublished(honest)).await;
    let last = KeyPair::generate();
    let place = place(at(4), later);
    let published = root.vouch_for(&last, place);
    users.publish("keys", Fact::KeyPublished(published)).await;

    // The last key is valid, so all events before it have been applied.
    assert_eq!(status(&test, &last.issue(&fresh())).await, 200);
    let stolen = thief.issue(&fresh());
    assert_eq!(status(&test, &stolen).await, 401);
    let by_second = second.issue(&fresh());
    assert_eq!(status(&test, &refooted(&stolen, &by_second)).await, 401);
    for token in [&ours, &by_second, &third.issue(&fresh())] {
        assert_eq!(status(&test, token).await, 200, "no key has ended");
    }
    test.finish().await;
}

/// A key is rotated under load: no request fails, whichever key signed its token.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_rotation_fails_no_request_and_expires_the_old_key() {
    let mut test = start().await;
    let users = test.other("users");
    let root = test.folder.root_secret().unwrap();
    let next = KeyPair::generate();
    let old = test.issue(&fresh());
    assert_eq!(status(&test, &old).await, 200);
    let ends = model::now().after(Duration::from_secs(2));
    let place = Succession { published_at: model::now(), earlier_until: ends };
    let published = root.vouch_for(&next, place);
    users.publish("keys", Fact::KeyPublished(published)).await;
    // The token is accepted at once, although the publication may not have arrived yet.
    assert_eq!(status(&test, &next.issue(&fresh())).await, 200);

    let mut seen = Vec::new();
    while model::now() < ends {
        let asked = model::now();
        let (by_old, by_new) = (test.issue(&fresh()), next.issue(&fresh()));
        seen.push(status(&test, &by_new).await);
        let answer = status(&test, &by_old).await;
        if model::now() < ends {
            seen.push(answer);
        }
        assert!(asked < ends);
    }
    assert!(seen.len() > 2 && seen.iter().all(|status| *status == 200));
    assert_eq!(status(&test, &old).await, 401, "the remembered token, too");
    test.restart().await;
    assert_eq!(status(&test, &old).await, 401);
    assert_eq!(status(&test, &next.issue(&fresh())).await, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_refused_although_its_token_is_cached() {
    let mut test = start().await;
    let users = test.other("users");
    let ended = fresh();
    let kept = Claims { sid: Id::new(), ..ended.clone() };
    let (token, other) = (test.issue(&ended), test.issue(&kept));
    assert_eq!(status(&test, &token).await, 200);
    assert_eq!(status(&test, &other).await, 200);

    let (user_id, session_id, until) = (ended.sub, ended.sid, ended.exp);
    let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
    users.publish(&session_id.to_string(), fact).await;
    eventually("it is refused", || async {
        status(&test, &token).await == 401
    })
    .await;
    assert_eq!(status(&test, &other).await, 200);

    // Further revocations delete expired rows, and no valid ones.
    for _ in 0..20 {
        let (session_id, until) = (Id::new(), Time(1));
        let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
        users.publish(&session_id.to_string(), fact).await;
    }
    test.restart().await;
    assert_eq!(status(&test, &token).await, 401);
    assert_eq!(status(&test, &other).await, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_open_to_their_roles() {
    let test = start().await;
    let people = [
        test.anonymous(),
        test.customer(),
        test.staff(),
        test.admin(),
    ];
    for (door, expected) in [
        ("/anyone", [200, 200, 200, 200]),
        ("/mine", [401, 200, 200, 200]),
        ("/staff", [401, 403, 200, 200]),
        ("/admin", [401, 403, 403, 200]),
    ] {
        for (person, status) in people.iter().zip(expected) {
            let answer = person.get(door).await;
            assert_eq!(answer.status, status, "{door}: {}", answer.body);
        }
    }
    let ann = &people[1];
    assert_eq!(
        ann.get("/mine").await.body["user_id"],
        ann.user_id().to_string()
    );
    test.finish().await;
}
