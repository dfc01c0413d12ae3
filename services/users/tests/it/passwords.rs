//! Choosing, changing and resetting a password.

use mesh::{CodeOf, Event, OneTimeCode};
use model::{CodePurpose, Id, kinds};
use serde_json::json;

use super::*;

const NEW: &str = "a new password";

/// The current code, queried as notifications does.
async fn code(app: &TestService, id: &str, purpose: CodePurpose) -> Option<OneTimeCode> {
    let user_id: Id<kinds::User> = id.parse().unwrap();
    let question = CodeOf { user_id, purpose };
    let answer = app.mesh.ask(&question, TIMEOUT).await;
    answer.expect("users answers")
}

async fn request_reset(app: &TestService, email: &str) -> u16 {
    let body = json!({ "email": email });
    let path = "/v1/users/password-reset";
    app.anonymous().post(path, body).await.status
}

async fn confirm_reset(app: &TestService, email: &str, code: &str) -> u16 {
    let body = json!({ "email": email, "code": code, "new_password": NEW });
    let path = "/v1/users/password-reset/confirm";
    app.anonymous().post(path, body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn common_passwords_are_refused() {
    let app = start().await;
    for common in ["password1", "Password1", "iloveyou1", "JENNIFER"] {
        let body = json!({ "email": "ana@example.org", "password": common, "name": "Ana" });
        let answer = app.anonymous().post("/v1/users", body).await;
        assert_eq!(
            (answer.status, pointers(&answer)),
            (422, vec!["/password"]),
            "{common}"
        );
    }
    let ana = newcomer(&app, "ana@example.org").await;
    let body = json!({ "current_password": PASSWORD, "new_password": "password1" });
    let answer = ana.post("/v1/users/me/password", body).await;
    assert_eq!(
        (answer.status, pointers(&answer)),
        (422, vec!["/new_password"])
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_every_other_session() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let elsewhere = holder(&app, &log_in(&app, "ana@example.org").await);
    let wrong = json!({ "current_password": "wrong horse", "new_password": NEW });
    let answer = ana.post("/v1/users/me/password", wrong).await;
    assert_eq!((answer.status, answer.problem()), (403, "wrong-password"));
    assert_eq!(elsewhere.get("/v1/users/me").await.status, 200);

    let right = json!({ "current_password": PASSWORD, "new_password": NEW });
    let answer = ana.post("/v1/users/me/password", right).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    locked_out(&elsewhere).await;
    assert_eq!(ana.get("/v1/users/me").await.status, 200, "but for one");
    let old = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(old.status, 401);
    let new = try_log_in(&app, "ana@example.org", NEW).await;
    assert_eq!(new.status, 201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_password_is_reset_with_a_code() {
    let app = start().await;
    let heard = events::listen(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let me = ana.get("/v1/users/me").await.body;
    let id = me["id"].as_str().unwrap();
    let reset = CodePurpose::PasswordReset;
    assert!(code(&app, id, reset).await.is_none());

    for email in ["ana@example.org", "ben@example.org", "nobody"] {
        assert_eq!(request_reset(&app, email).await, 202, "{email}");
    }
    let there = || async { code(&app, id, reset).await.is_some() };
    eventually("the code is there", there).await;
    let first = code(&app, id, reset).await.unwrap();
    assert_eq!(first.contact.email, "ana@example.org");
    assert_eq!(first.contact.language.as_deref(), Some("pt-BR"));
    let other = code(&app, id, CodePurpose::EmailVerification).await;
    assert!(other.is_none());

    assert_eq!(request_reset(&app, "ANA@example.org").await, 202);
    let requests = || {
        let heard = heard.lock().unwrap();
        let is_request = |event: &&Event| event.kind == "user.code_requested";
        heard.iter().filter(is_request).count()
    };
    eventually("it is sent again", || async { requests() == 2 }).await;
    let again = code(&app, id, reset).await.unwrap();
    assert_eq!(
        again.code, first.code,
        "both mails have the same for a while"
    );
    for email in ["ben@example.org", "nobody"] {
        assert_eq!(
            confirm_reset(&app, email, &first.code).await,
            401,
            "{email}"
        );
    }
    assert_eq!(ana.get("/v1/users/me").await.status, 200);
    let typed = first.code.to_lowercase().replace('-', " ");
    assert_eq!(confirm_reset(&app, "ana@example.org", &typed).await, 204);
    locked_out(&ana).await;
    let spent = confirm_reset(&app, "ana@example.org", &first.code).await;
    assert_eq!(spent, 401);
    let old = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(old.status, 401);
    let pair = try_log_in(&app, "ana@example.org", NEW).await;
    assert_eq!(pair.status, 201);
    let verified = &pair.body["user"]["email_verified"];
    assert_eq!(*verified, true, "the code proved the mailbox");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_attempts_invalidate_a_code() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let me = ana.get("/v1/users/me").await.body;
    let id = me["id"].as_str().unwrap();
    let sent = ana.post("/v1/users/me/verify-email", json!(null)).await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let purpose = CodePurpose::EmailVerification;
    let verification = code(&app, id, purpose).await.unwrap();
    assert!(!verification.contact.email_verified);

    let confirm = async |code: &str| {
        let path = "/v1/users/me/verify-email/confirm";
        ana.post(path, json!({ "code": code })).await
    };
    for turn in 0..5 {
        assert!(code(&app, id, purpose).await.is_some(), "before try {turn}");
        let wrong = confirm("00000-00000").await;
        assert_eq!((wrong.status, wrong.problem()), (401, "wrong-code"));
    }
    assert!(code(&app, id, purpose).await.is_none());
    assert_eq!(confirm(&verification.code).await.status, 401);

    // A POST without a body.
    let bare = ana.request(Method::POST, "/v1/users/me/verify-email");
    assert_eq!(send(bare).await.status, 202);
    let verification = code(&app, id, purpose).await.unwrap();
    let confirmed = confirm(&verification.code).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    assert_eq!(confirmed.body["email_verified"], true);
    assert_eq!(confirm(&verification.code).await.status, 401, "spent");

    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_token_does_not_block_public_endpoints() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let stale = Person::new(app.address, Some("v4.public.stale".into()), None);
    assert_eq!(stale.get("/v1/users/me").await.status, 401);
    let body = json!({ "email": "ana@example.org", "password": PASSWORD });
    let pair = stale.post("/v1/sessions", body).await;
    assert_eq!(pair.status, 201);
    let body = json!({ "refresh_token": pair.body["refresh_token"] });
    assert_eq!(stale.post("/v1/sessions/refresh", body).await.status, 200);
    let body = json!({ "email": "ben@example.org", "password": PASSWORD, "name": "Ben" });
    assert_eq!(stale.post("/v1/users", body).await.status, 201);
    let body = json!({ "email": "ben@example.org" });
    let asked = stale.post("/v1/users/password-reset", body).await;
    assert_eq!(asked.status, 202);
    app.finish().await;
}
