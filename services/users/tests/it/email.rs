//! Changing an e-mail address, and undoing the change.

use std::sync::{Arc, Mutex};

use mesh::{CodeOf, EmailUndo, EmailUndoOf, Event};
use model::{CodePurpose, Fact, UserId};
use serde_json::json;

use super::*;

const CHANGE: CodePurpose = CodePurpose::EmailChange;

async fn request(person: &Person, email: &str) -> TestResponse {
    let body = json!({ "email": email, "current_password": PASSWORD });
    patch(person, "/v1/users/me", body).await
}

async fn confirm(person: &Person, code: &str) -> TestResponse {
    let body = json!({ "code": code });
    person.post("/v1/users/me/email/confirm", body).await
}

async fn user_id(person: &Person) -> UserId {
    let me = person.get("/v1/users/me").await.body;
    me["id"].as_str().unwrap().parse().unwrap()
}

/// The code and the address it is sent to.
async fn code(app: &TestService, user_id: UserId) -> Option<(String, String)> {
    let asked = CodeOf { user_id, purpose: CHANGE };
    let code = app.mesh.ask(&asked, TIMEOUT).await.expect("users answers");
    code.map(|code| (code.code, code.contact.email))
}

/// Changes the address to the end.
async fn change(app: &TestService, person: &Person, email: &str) {
    assert_eq!(request(person, email).await.status, 202);
    let (code, address) = code(app, user_id(person).await).await.unwrap();
    assert_eq!(address, email);
    let changed = confirm(person, &code).await;
    assert_eq!(
        (changed.status, &changed.body["email"]),
        (200, &json!(email))
    );
    assert_eq!(changed.body["email_verified"], true);
    assert_eq!(changed.body["pending_email"], json!(null));
}

/// The mail that undoes the change whose request is the `place`-th event of its kind.
async fn undo_mail(
    app: &TestService,
    heard: &Arc<Mutex<Vec<Event>>>,
    place: usize,
) -> Option<EmailUndo> {
    let nth = || {
        let heard = heard.lock().unwrap();
        let mut requests = heard.iter().filter_map(|event| match event.fact {
            Some(Fact::UserEmailChangeRequested { user_id, change_id, .. }) => {
                Some(EmailUndoOf { user_id, change_id })
            }
            _ => None,
        });
        requests.nth(place)
    };
    eventually("the request is heard", || async { nth().is_some() }).await;
    let asked = nth().unwrap();
    app.mesh.ask(&asked, TIMEOUT).await.expect("users answers")
}

async fn undo(app: &TestService, token: &str) -> TestResponse {
    let body = json!({ "token": token });
    let path = "/v1/users/email-change/undo";
    app.anonymous().post(path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_counts_after_its_code() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    let id = user_id(&ana).await;
    let before = ana.get("/v1/users/me").await;

    let taken = request(&ben, "ANA@example.org").await;
    assert_eq!((taken.status, taken.problem()), (409, "email-taken"));
    let pending = request(&ana, "lima@example.org").await;
    assert_eq!(pending.status, 202, "{}", pending.body);
    assert_eq!(pending.body["email"], "ana@example.org");
    assert_eq!(pending.body["pending_email"], "lima@example.org");
    let me = ana.get("/v1/users/me").await;
    assert_eq!(me.body, pending.body);
    assert_ne!(me.headers["etag"], before.headers["etag"]);
    // The old address counts: for logins, and for every other code.
    log_in(&app, "ana@example.org").await;
    let refused = try_log_in(&app, "lima@example.org", PASSWORD).await;
    assert_eq!(refused.status, 401);
    let reset = json!({ "email": "ana@example.org" });
    let path = "/v1/users/password-reset";
    app.anonymous().post(path, reset).await;
    let purpose = CodePurpose::PasswordReset;
    let reset = || async {
        let asked = CodeOf { user_id: id, purpose };
        let code = app.mesh.ask(&asked, TIMEOUT).await.unwrap();
        code.is_some_and(|code| code.contact.email == "ana@example.org")
    };
    eventually("a reset code goes to the old address", reset).await;

    // The pending address is free for others, and the confirmation is refused then.
    let (typed, address) = code(&app, id).await.unwrap();
    assert_eq!(address, "lima@example.org");
    assert_eq!(confirm(&ben, &typed).await.status, 401, "another's code");
    register(&app, "lima@example.org").await;
    let late = confirm(&ana, &typed).await;
    assert_eq!((late.status, late.problem()), (409, "email-taken"));

    // A change of case is no change of address, and withdraws a pending one.
    let respelled = request(&ana, "Ana@Example.org").await;
    assert_eq!(
        (respelled.status, &respelled.body["email"]),
        (200, &json!("Ana@Example.org"))
    );
    assert_eq!(respelled.body["pending_email"], json!(null));
    assert_eq!(confirm(&ana, &typed).await.status, 401);
    change(&app, &ana, "mori@example.org").await;
    let respelled = request(&ana, "MORI@example.org").await;
    assert_eq!(respelled.body["email_verified"], true);
    let old = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(old.status, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_can_be_undone_from_the_old_address() {
    let app = start().await;
    let heard = events::listen(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    change(&app, &ana, "evil@example.org").await;
    change(&app, &ana, "worse@example.org").await;
    let first = undo_mail(&app, &heard, 0).await.unwrap();
    let second = undo_mail(&app, &heard, 1).await.unwrap();
    assert_eq!(first.contact.email, "ana@example.org");
    assert_eq!(second.contact.email, "evil@example.org");
    // A former address is reserved for its account, so that the change can be undone.
    let taken = request(&ben, "Ana@example.org").await;
    assert_eq!((taken.status, taken.problem()), (409, "email-taken"));
    let body = json!({ "email": "ana@example.org", "password": PASSWORD, "name": "Eve" });
    let taken = app.anonymous().post("/v1/users", body).await;
    assert_eq!(taken.status, 409);

    // The later change is undone, then the earlier one, then nothing is left to undo.
    assert_eq!(undo(&app, &second.token).await.status, 204);
    locked_out(&ana).await;
    let ana = holder(&app, &log_in(&app, "evil@example.org").await);
    change(&app, &ana, "third@example.org").await;
    let third = undo_mail(&app, &heard, 2).await.unwrap();
    assert_eq!(undo(&app, &first.token).await.status, 204);
    locked_out(&ana).await;
    let pair = log_in(&app, "ana@example.org").await;
    assert_eq!(pair["user"]["email_verified"], true);
    for spent in [&first.token, &second.token, &third.token, "undo_none"] {
        let refused = undo(&app, spent).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (401, "wrong-undo-token")
        );
    }
    assert!(undo_mail(&app, &heard, 0).await.is_none());
    // The addresses in between are free.
    change(&app, &ben, "evil@example.org").await;

    // Before the confirmation the link stops the change.
    let ana = holder(&app, &pair);
    assert_eq!(request(&ana, "fourth@example.org").await.status, 202);
    let typed = code(&app, user_id(&ana).await).await.unwrap().0;
    let fourth = undo_mail(&app, &heard, 4).await.unwrap();
    assert_eq!(undo(&app, &fourth.token).await.status, 204);
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);
    assert_eq!(confirm(&ana, &typed).await.status, 401);

    // The undo sends a code for a new password, since the author of the change knew the old one.
    let purpose = CodePurpose::PasswordReset;
    let asked = CodeOf { user_id: user_id(&ana).await, purpose };
    let reset = app.mesh.ask(&asked, TIMEOUT).await.unwrap().unwrap();
    assert_eq!(reset.contact.email, "ana@example.org");
    let body = json!({
        "email": "ana@example.org",
        "code": reset.code,
        "new_password": "two kettles and a lamp",
    });
    let path = "/v1/users/password-reset/confirm";
    assert_eq!(app.anonymous().post(path, body).await.status, 204);
    let former = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(former.status, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_an_undo() {
    let app = start().await;
    let heard = events::listen(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    change(&app, &ana, "evil@example.org").await;
    change(&app, &ana, "worse@example.org").await;
    change(&app, &ana, "ana@example.org").await;
    // The links sent to the addresses in between have ended.
    for place in 0..3 {
        assert!(undo_mail(&app, &heard, place).await.is_none());
    }
    let ben = newcomer(&app, "ben@example.org").await;
    change(&app, &ben, "evil@example.org").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_withdraws_a_pending_address() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    assert_eq!(request(&ana, "evil@example.org").await.status, 202);
    let typed = code(&app, user_id(&ana).await).await.unwrap().0;
    let new = json!({ "current_password": PASSWORD, "new_password": "two kettles and a lamp" });
    let changed = ana.post("/v1/users/me/password", new).await;
    assert_eq!(changed.status, 204, "{changed:?}");
    assert_eq!(confirm(&ana, &typed).await.status, 401);
    let me = ana.get("/v1/users/me").await.body;
    assert_eq!(me["pending_email"], json!(null));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_takes_the_first_undo_away() {
    let app = start().await;
    let heard = events::listen(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    for place in 0..8 {
        change(&app, &ana, &format!("evil{place}@example.org")).await;
    }
    let further = request(&ana, "evil8@example.org").await;
    assert_eq!(
        (further.status, further.problem()),
        (429, "too-many-attempts")
    );
    let first = undo_mail(&app, &heard, 0).await.unwrap();
    assert_eq!(undo(&app, &first.token).await.status, 204);
    log_in(&app, "ana@example.org").await;
    app.finish().await;
}
