//! Second factors: enrolment, the second step of a login, proofs by code, loss.

use mesh::{CodeOf, EmailUndoOf};
use model::{CodePurpose, Fact, UserId};
use serde_json::json;
use testkit::totp_code;

use super::*;

const TOTP: &str = "/v1/users/me/totp";

/// An enrolled second factor.
struct Enrolled {
    secret: String,
    recovery: Vec<Value>,
}

async fn request(person: &Person) -> String {
    let body = json!({ "current_password": PASSWORD });
    let made = person.post(TOTP, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.headers["cache-control"], "private, no-store");
    made.body["secret"].as_str().unwrap().to_owned()
}

async fn confirm(person: &Person, code: &str) -> TestResponse {
    let body = json!({ "code": code });
    person.post(&format!("{TOTP}/confirm"), body).await
}

/// Enrols a factor, with the code of the present step.
async fn enrol(person: &Person) -> Enrolled {
    let secret = request(person).await;
    let confirmed = confirm(person, &totp_code(&secret, 0)).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    let recovery = confirmed.body["recovery_codes"].as_array().unwrap().clone();
    assert_eq!(recovery.len(), 10);
    Enrolled { secret, recovery }
}

/// The challenge that a right password gets.
async fn challenge(app: &TestService, from: &str, email: &str) -> Value {
    let request = app.anonymous().request(Method::POST, "/v1/sessions");
    let body = json!({ "email": email, "password": PASSWORD });
    let asked = send(request.header("x-forwarded-for", from).json(&body)).await;
    refused(&asked, 401, "second-factor");
    asked.body["challenge"].clone()
}

async fn answer(app: &TestService, from: &str, challenge: &Value, code: &Value) -> TestResponse {
    let request = app.anonymous().request(Method::POST, "/v1/sessions");
    let body = json!({ "challenge": challenge, "code": code });
    send(request.header("x-forwarded-for", from).json(&body)).await
}

fn refused(response: &TestResponse, status: u16, problem: &str) {
    let seen = (response.status, response.problem());
    assert_eq!(seen, (status, problem), "{}", response.body);
}

async fn id(person: &Person) -> String {
    let me = person.get("/v1/users/me").await.body;
    me["id"].as_str().unwrap().to_owned()
}

const HOME: &str = "203.0.113.7";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_asks_for_a_code_once_it_is_confirmed() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    refused(&confirm(&ana, "123456").await, 409, "no-second-factor");
    let replaced = request(&ana).await;
    let secret = request(&ana).await;
    log_in(&app, "ana@example.org").await;
    let wrong = confirm(&ana, &totp_code(&replaced, 0)).await;
    refused(&wrong, 401, "wrong-code");
    let Enrolled { secret, recovery } = {
        let confirmed = confirm(&ana, &totp_code(&secret, 0)).await;
        let recovery = confirmed.body["recovery_codes"].as_array().unwrap().clone();
        Enrolled { secret, recovery }
    };
    let again = ana
        .post(TOTP, json!({ "current_password": PASSWORD }))
        .await;
    refused(&again, 409, "second-factor-enrolled");
    let export = ana.get("/v1/users/me/export").await.body;
    assert!(export["user"]["second_factor_since"].is_string());
    let shown = format!("{export}{}", ana.get("/v1/users/me").await.body);
    assert!(!shown.contains(&secret) && !shown.contains(recovery[0].as_str().unwrap()));

    // A wrong password is what it was, and the right one starts no session.
    let wrong = try_log_in(&app, "ana@example.org", "wrong horse").await;
    refused(&wrong, 401, "wrong-credentials");
    assert_eq!(wrong.body["challenge"], json!(null));
    let first = challenge(&app, HOME, "ana@example.org").await;
    let next = json!(totp_code(&secret, 1));
    refused(
        &answer(&app, HOME, &first, &json!("000000")).await,
        401,
        "wrong-code",
    );
    refused(
        &answer(&app, HOME, &json!("challenge_no"), &next).await,
        401,
        "wrong-challenge",
    );
    let pair = answer(&app, HOME, &first, &next).await;
    assert_eq!(pair.status, 201, "{}", pair.body);
    let sessions = holder(&app, &pair.body).get("/v1/sessions").await.body;
    assert_eq!(sessions["items"].as_array().unwrap().len(), 3);
    refused(&answer(&app, HOME, &first, &next).await, 401, "wrong-code");

    // Of two that race with one code, one wins.
    let second = challenge(&app, HOME, "ana@example.org").await;
    let (one, other) = tokio::join!(
        answer(&app, HOME, &first, &recovery[0]),
        answer(&app, HOME, &second, &recovery[0]),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401]);
    let lower = recovery[1].as_str().unwrap().to_lowercase();
    assert_eq!(answer(&app, HOME, &second, &json!(lower)).await.status, 201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_codes_are_bounded_and_lock_nobody_out() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let Enrolled { recovery, .. } = enrol(&ana).await;
    let home = challenge(&app, HOME, "ana@example.org").await;
    assert_eq!(answer(&app, HOME, &home, &recovery[0]).await.status, 201);

    // Five wrong codes end a challenge, wherever they come from.
    let wrong = json!("000000");
    let stranger = |place: u8| format!("198.51.100.{place}");
    let fresh = async |from: &str| challenge(&app, from, "ana@example.org").await;
    let shared = fresh(&stranger(0)).await;
    for place in 0..5 {
        let tried = answer(&app, &stranger(place), &shared, &wrong).await;
        refused(&tried, 401, "wrong-code");
    }
    let ended = answer(&app, &stranger(5), &shared, &recovery[1]).await;
    refused(&ended, 401, "wrong-challenge");

    // The sixth from one address waits, and a right password forgives nothing.
    let patient = stranger(9);
    let (first, second) = (fresh(&patient).await, fresh(&patient).await);
    for _ in 0..5 {
        let tried = answer(&app, &patient, &first, &wrong).await;
        refused(&tried, 401, "wrong-code");
    }
    let tried = answer(&app, &patient, &second, &recovery[1]).await;
    refused(&tried, 429, "too-many-attempts");
    // Twenty from unknown addresses are a day's.
    for place in 10..20 {
        let from = stranger(place);
        let tried = answer(&app, &from, &fresh(&from).await, &wrong).await;
        refused(&tried, 401, "wrong-code");
    }
    let last = stranger(20);
    let tried = answer(&app, &last, &fresh(&last).await, &recovery[1]).await;
    refused(&tried, 429, "too-many-attempts");
    // The owner's address is not a stranger's.
    let in_again = answer(&app, HOME, &fresh(HOME).await, &recovery[1]).await;
    assert_eq!(in_again.status, 201, "{}", in_again.body);

    // A new password ends the challenges of the old one, and keeps the factor.
    let late = fresh(HOME).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "a new password" });
    assert_eq!(ana.post("/v1/users/me/password", change).await.status, 204);
    let late = answer(&app, HOME, &late, &recovery[2]).await;
    refused(&late, 401, "wrong-challenge");
    let asked = try_log_in(&app, "ana@example.org", "a new password").await;
    refused(&asked, 401, "second-factor");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_proves_what_the_password_proves() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let change = async |proof: Value| {
        let mut body = proof;
        body["new_password"] = json!("a new password");
        ana.post("/v1/users/me/password", body).await
    };
    refused(
        &change(json!({ "code": "000000" })).await,
        403,
        "wrong-code",
    );
    let Enrolled { secret, recovery } = enrol(&ana).await;
    refused(&change(json!({})).await, 403, "password-required");
    refused(
        &change(json!({ "code": "000000" })).await,
        403,
        "wrong-code",
    );
    // Of both, both have to be right, and a refusal uses no code up.
    let wrong = json!({ "code": recovery[0], "current_password": "wrong horse" });
    refused(&change(wrong).await, 403, "wrong-password");
    let wrong = json!({ "code": "000000", "current_password": PASSWORD });
    refused(&change(wrong).await, 403, "wrong-code");
    assert_eq!(change(json!({ "code": recovery[0] })).await.status, 204);
    refused(
        &change(json!({ "code": recovery[0] })).await,
        403,
        "wrong-code",
    );
    let both = json!({ "code": totp_code(&secret, 1), "current_password": "a new password" });
    assert_eq!(change(both).await.status, 204);

    let remove = async |body: Value| {
        let request = ana.request(Method::DELETE, TOTP);
        send(request.json(&body)).await
    };
    let spent = remove(json!({ "code": totp_code(&secret, 1) })).await;
    refused(&spent, 403, "wrong-code");
    let proof = json!({ "current_password": "a new password" });
    assert_eq!(remove(proof.clone()).await.status, 204);
    refused(&remove(proof).await, 409, "no-second-factor");
    let alone = try_log_in(&app, "ana@example.org", "a new password").await;
    assert_eq!(alone.status, 201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_required_a_login_without_one_only_enrols() {
    let mut config = users::Config::default();
    config.users.require_second_factor = vec![chassis::Role::Staff, chassis::Role::Admin];
    let app = TestService::start_with(config, "users", users::open, &[]).await;
    let ben = newcomer(&app, "ben@example.org").await;
    assert_eq!(ben.get("/v1/sessions").await.status, 200, "a customer");
    let root = admin(&app).await;
    for (method, path) in [
        (Method::GET, "/v1/users"),
        (Method::GET, "/v1/sessions"),
        (Method::GET, "/v1/users/me/export"),
        (Method::PATCH, "/v1/users/me"),
        (Method::DELETE, "/v1/users/me"),
    ] {
        let request = root.request(method, path).json(&json!({}));
        refused(&send(request).await, 403, "second-factor-required");
    }
    let me = root.get("/v1/users/me").await;
    assert_eq!((me.status, &me.body["roles"]), (200, &json!(["admin"])));
    let Enrolled { recovery, .. } = enrol(&root).await;
    let asked = challenge(&app, HOME, "root@localhost").await;
    let pair = answer(&app, HOME, &asked, &recovery[0]).await.body;
    // The next refresh has the rights.
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let refreshed = app.anonymous().post("/v1/sessions/refresh", body).await;
    let root = holder(&app, &refreshed.body);
    assert_eq!(root.get("/v1/users").await.status, 200);

    // Without the factor they are gone at the next refresh.
    let remove = root.request(Method::DELETE, TOTP);
    let remove = remove.json(&json!({ "code": recovery[1] }));
    assert_eq!(send(remove).await.status, 204);
    let body = json!({ "refresh_token": refreshed.body["refresh_token"] });
    let refreshed = app.anonymous().post("/v1/sessions/refresh", body).await;
    let limited = holder(&app, &refreshed.body);
    refused(
        &limited.get("/v1/users").await,
        403,
        "second-factor-required",
    );
    assert_eq!(delete(&limited, "/v1/sessions/current").await.status, 204);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_device_is_no_lost_account() {
    let app = start().await;
    let heard = events::listen(&app).await;
    let root = admin(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let path = format!("/v1/users/{}/totp", id(&ana).await);
    let reset = async |body: Value| send(root.request(Method::DELETE, &path).json(&body)).await;
    let proof = json!({ "current_password": PASSWORD });
    refused(&reset(proof.clone()).await, 409, "no-second-factor");
    enrol(&ana).await;
    refused(&reset(json!({})).await, 403, "password-required");
    assert_eq!(reset(proof).await.status, 204);
    locked_out(&ana).await;
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);

    enrol(&ana).await;
    let socket = app.folder.path().join("users/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket);
    let client = client.build().unwrap();
    let by_operator = async |email: &str| {
        let request = client.post("http://control/control/users/factor-reset");
        send(request.json(&json!({ "email": email }))).await
    };
    assert_eq!(by_operator("nobody@example.org").await.status, 404);
    let shown = by_operator("ANA@example.org").await;
    assert_eq!(
        (shown.status, &shown.body["second_factor_since"]),
        (200, &json!(null))
    );
    refused(
        &by_operator("ana@example.org").await,
        409,
        "no-second-factor",
    );
    locked_out(&ana).await;
    log_in(&app, "ana@example.org").await;

    let changes = || {
        let heard = heard.lock().unwrap();
        let changes = heard.iter().filter_map(|event| match event.fact {
            Some(Fact::UserSecondFactorChanged { enrolled, .. }) => Some(enrolled),
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    let all = || async { changes() == [true, false, true, false] };
    eventually("each change is told", all).await;
    app.finish().await;
}

/// A factor that a thief enrolled goes with the address they changed; an older one stays.
#[tokio::test(flavor = "multi_thread")]
async fn undoing_a_change_of_address_removes_a_later_factor() {
    let app = start().await;
    let heard = events::listen(&app).await;
    for (email, is_later) in [("ana@example.org", true), ("ben@example.org", false)] {
        let person = newcomer(&app, email).await;
        let user_id: UserId = id(&person).await.parse().unwrap();
        if !is_later {
            enrol(&person).await;
        }
        let body = json!({ "email": format!("evil.{email}"), "current_password": PASSWORD });
        assert_eq!(patch(&person, "/v1/users/me", body).await.status, 202);
        if is_later {
            enrol(&person).await;
        }
        let asked = CodeOf { user_id, purpose: CodePurpose::EmailChange };
        let code = app.mesh.ask(&asked, TIMEOUT).await.unwrap().unwrap().code;
        let body = json!({ "code": code });
        let moved = person.post("/v1/users/me/email/confirm", body).await;
        assert_eq!(moved.status, 200);
        let asked = || {
            let heard = heard.lock().unwrap();
            heard.iter().find_map(|event| match event.fact {
                Some(Fact::UserEmailChangeRequested { user_id: of, change_id, .. }) => {
                    (of == user_id).then_some(EmailUndoOf { user_id, change_id })
                }
                _ => None,
            })
        };
        eventually("the request is heard", || async { asked().is_some() }).await;
        let undo = app.mesh.ask(&asked().unwrap(), TIMEOUT).await;
        let body = json!({ "token": undo.unwrap().unwrap().token });
        let stranger = app.anonymous();
        let undone = stranger.post("/v1/users/email-change/undo", body).await;
        assert_eq!(undone.status, 204);
        let back = try_log_in(&app, email, PASSWORD).await;
        assert_eq!(back.status, if is_later { 201 } else { 401 }, "{email}");
    }
    app.finish().await;
}
