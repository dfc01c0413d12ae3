//! A stolen access token is not an account: what a thief tries with nothing but a token, on a
//! whole shop whose mails are read.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::shop::Form;
use testkit::{eventually, totp_code};

use crate::mail_sink::MailSink;
use crate::people::{Answer, PASSWORD, Person, send};
use crate::world::closed;

const EVIL: &str = "evil@konbini.example";

/// One request of the thief and its status.
struct Attack {
    method: Method,
    path: String,
    body: Value,
    refused: u16,
}

fn attack(method: Method, path: impl Into<String>, body: Value, refused: u16) -> Attack {
    Attack { method, path: path.into(), body, refused }
}

async fn call(person: &Person, method: Method, path: &str, body: Value) -> Answer {
    send(person.request(method, path).json(&body))
        .await
        .unwrap()
}

/// What the holder of a token tries against `victim`, whose roles are up to `role`.
fn attacks(role: &str, id: &str, victim: &str) -> Vec<Attack> {
    let me = "/v1/users/me";
    let account = format!("/v1/users/{id}");
    let guess = "00000-00000";
    let mut attacks = vec![
        attack(Method::PATCH, me, json!({ "email": EVIL }), 403),
        attack(
            Method::PATCH,
            me,
            json!({ "email": EVIL, "current_password": "a guess at it" }),
            403,
        ),
        attack(
            Method::POST,
            format!("{me}/email/confirm"),
            json!({ "code": guess }),
            401,
        ),
        attack(
            Method::POST,
            format!("{me}/password"),
            json!({ "new_password": "an evil password" }),
            403,
        ),
        attack(Method::DELETE, me, json!({}), 403),
        attack(Method::POST, format!("{me}/totp"), json!({}), 403),
        attack(
            Method::POST,
            format!("{me}/totp/confirm"),
            json!({ "code": "000000" }),
            409,
        ),
        attack(Method::DELETE, format!("{me}/totp"), json!({}), 403),
        attack(
            Method::DELETE,
            format!("{account}/totp"),
            json!({ "code": guess }),
            403,
        ),
        attack(
            Method::POST,
            "/v1/users/password-reset/confirm",
            json!({ "email": victim, "code": guess, "new_password": "an evil password" }),
            401,
        ),
        attack(
            Method::POST,
            "/v1/users/email-change/undo",
            json!({ "token": "undo_none" }),
            401,
        ),
        attack(Method::PATCH, &account, json!({ "roles": ["admin"] }), 403),
        attack(Method::DELETE, &account, json!({}), 403),
    ];
    if role != "admin" {
        let password = json!({ "roles": ["admin"], "current_password": PASSWORD });
        attacks.push(attack(Method::PATCH, account, password, 403));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_no_account() {
    let mails = MailSink::start();
    let mut shop = closed();
    let accounts = ["customer", "staff", "admin"].map(|role| {
        let email = format!("{role}@konbini.example");
        shop.add_user(&email, role, PASSWORD).unwrap();
        (role, email)
    });
    let settings = format!(
        "public_url = \"https://shop.example\"\n{}",
        mails.settings()
    );
    shop.configure(&settings).unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let anyone = Person::stranger(&shop);
    for (role, email) in &accounts {
        let login = json!({ "email": email, "password": PASSWORD });
        let pair = anyone.post("/v1/sessions", login).await.body;
        let thief = anyone.clone().log_in(email).await;
        let id = pair["user"]["id"].as_str().unwrap();
        for Attack { method, path, body, refused } in attacks(role, id, email) {
            let answer = call(&thief, method.clone(), &path, body).await;
            assert_eq!(answer.status, refused, "{role}: {method} {path} {answer:?}");
        }
        assert_eq!(thief.get("/v1/users/me").await.body, pair["user"], "{role}");
        // A stolen pair lives on, until its owner ends every session with the password alone.
        let refresh = json!({ "refresh_token": pair["refresh_token"] });
        let stolen = anyone.post("/v1/sessions/refresh", refresh).await.body;
        let owner = anyone.clone().log_in(email).await;
        let ended = owner.request(Method::DELETE, "/v1/sessions");
        assert_eq!(send(ended).await.unwrap().status, 204);
        let refresh = json!({ "refresh_token": stolen["refresh_token"] });
        let refused = anyone.post("/v1/sessions/refresh", refresh).await;
        assert_eq!(refused.status, 401, "{role}");
        let locked_out = || async { thief.get("/v1/users/me").await.status == 401 };
        eventually("the thief's token stops working", locked_out).await;
        with_the_password(&mails, &anyone, email).await;
        with_a_second_factor(&mails, &anyone, email).await;
        // Mails are sent in order, so one to the thief would have arrived.
        assert!(mails.to(EVIL).is_empty(), "{role}");
    }
    shop.terminate_all().await.unwrap();
}

/// A change made with the password: the owner is written to at the old address, and the link
/// in that mail undoes it.
async fn with_the_password(mails: &MailSink, anyone: &Person, email: &str) {
    let new = format!("new.{email}");
    let person = anyone.clone().log_in(email).await;
    let change = json!({ "email": new, "current_password": PASSWORD });
    let requested = call(&person, Method::PATCH, "/v1/users/me", change).await;
    assert_eq!(requested.status, 202, "{requested:?}");
    eventually("the code is sent to the new address", || async {
        !mails.to(&new).is_empty()
    })
    .await;
    let mail = mails.to(&new).remove(0);
    let code = mail.lines().map(str::trim).find(|line| is_code(line));
    let code = json!({ "code": code.unwrap_or_else(|| panic!("a code in {mail}")) });
    let confirmed = person.post("/v1/users/me/email/confirm", code).await;
    assert_eq!(
        (confirmed.status, &confirmed.body["email"]),
        (200, &json!(new))
    );

    let link = "https://shop.example/account/undo#";
    let told = || {
        let mails = mails.to(&format!("<{email}>"));
        mails.into_iter().find(|mail| mail.contains(link))
    };
    eventually("the old address is told", || async { told().is_some() }).await;
    let mail = told().unwrap();
    let (_, token) = mail.split_once(link).unwrap();
    let token: String = token.chars().take_while(|c| !c.is_whitespace()).collect();
    let body = json!({ "token": token });
    let undone = anyone.post("/v1/users/email-change/undo", body).await;
    assert_eq!(undone.status, 204, "{undone:?}");
    let back = anyone.clone().log_in(email).await;
    assert_eq!(back.get("/v1/users/me").await.body["email"], email);
}

/// A second factor: the owner is written to when it is enrolled, a stolen token neither removes
/// nor replaces it, and the password alone starts no session.
async fn with_a_second_factor(mails: &MailSink, anyone: &Person, email: &str) {
    let owner = anyone.clone().log_in(email).await;
    let thief = owner.clone();
    let totp = "/v1/users/me/totp";
    let password = json!({ "current_password": PASSWORD });
    let made = owner.post(totp, password.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let code = json!({ "code": totp_code(made.body["secret"].as_str().unwrap(), 0) });
    let enrolled = owner.post(&format!("{totp}/confirm"), code.clone()).await;
    assert_eq!(enrolled.status, 200, "{enrolled:?}");
    let told = || {
        let mails = mails.to(&format!("<{email}>"));
        mails.iter().any(|mail| mail.contains("second factor"))
    };
    eventually("the owner is told", || async { told() }).await;

    for (method, path, body, refused) in [
        (Method::DELETE, totp, json!({}), 403),
        (Method::DELETE, totp, code, 403),
        (Method::POST, totp, json!({}), 403),
        (
            Method::POST,
            "/v1/users/me/totp/confirm",
            json!({ "code": "000000" }),
            409,
        ),
    ] {
        let answer = call(&thief, method.clone(), path, body).await;
        assert_eq!(answer.status, refused, "{method} {path} {answer:?}");
    }
    let login = json!({ "email": email, "password": PASSWORD });
    let asked = anyone.post("/v1/sessions", login).await;
    assert_eq!(
        (asked.status, &asked.body["type"]),
        (401, &json!("/problems/second-factor"))
    );
    let recovery = &enrolled.body["recovery_codes"][0];
    let second = json!({ "challenge": asked.body["challenge"], "code": recovery });
    let session = anyone.post("/v1/sessions", second).await;
    assert_eq!(session.status, 201, "{session:?}");
    let removed = call(&owner, Method::DELETE, totp, password).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    anyone.clone().log_in(email).await;
}

/// `K7M2Q-0XH4D`
fn is_code(line: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    line.len() == 11
        && line.as_bytes()[5] == b'-'
        && line.bytes().filter(|byte| is_letter(*byte)).count() == 10
}
