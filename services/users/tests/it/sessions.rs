//! Log in, refresh, and every way a session ends.

use serde_json::json;

use super::*;

async fn refresh(app: &TestService, token: &Value) -> TestResponse {
    let body = json!({ "refresh_token": token });
    app.anonymous().post("/v1/sessions/refresh", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failed_login_has_one_response() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let long = "k".repeat(100_000);
    let mut seen = Vec::new();
    for (email, password) in [
        ("ana@example.org", "wrong horse"),
        ("ana@example.org", "short"),
        ("ana@example.org", &long),
        ("ben@example.org", PASSWORD),
        ("not an address", PASSWORD),
    ] {
        let mut answer = try_log_in(&app, email, password).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.body["instance"] = json!("the request's own");
        seen.push(answer.body);
    }
    assert!(seen.iter().all(|body| *body == seen[0]), "{seen:?}");
    assert_eq!(seen[0]["type"], "/problems/wrong-credentials");
    let empty = app.anonymous().post("/v1/sessions", json!({})).await;
    assert_eq!(pointers(&empty), ["/email", "/password"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_refresh_token_repeats_and_then_ends_the_family() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let first = log_in(&app, "ana@example.org").await;

    let second = refresh(&app, &first["refresh_token"]).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(second.headers["cache-control"], "private, no-store");
    assert_ne!(second.body["refresh_token"], first["refresh_token"]);
    assert_ne!(second.body["access_token"], first["access_token"]);
    // Twenty concurrent requests with the same token.
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (person, token) = (app.anonymous(), second.body["refresh_token"].clone());
        let body = json!({ "refresh_token": token });
        racing.spawn(async move { person.post("/v1/sessions/refresh", body).await });
    }
    let answers = racing.join_all().await;
    let tokens = |answer: &TestResponse| {
        let token = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        (token("refresh_token"), token("access_token"))
    };
    let third = tokens(&answers[0]);
    assert!(answers.iter().all(|answer| tokens(answer) == third));

    let ana = holder(&app, &answers[0].body);
    assert_eq!(ana.get("/v1/users/me").await.status, 200);
    let reused = refresh(&app, &first["refresh_token"]).await;
    assert_eq!(
        (reused.status, reused.problem()),
        (401, "wrong-refresh-token")
    );
    locked_out(&ana).await;
    let latest = refresh(&app, &answers[0].body["refresh_token"]).await;
    assert_eq!(latest.status, 401, "the family has ended");

    // A token that was never issued ends no session.
    let other = log_in(&app, "ana@example.org").await;
    assert_eq!(refresh(&app, &json!("refresh_none")).await.status, 401);
    assert_eq!(refresh(&app, &json!(null)).await.status, 422);
    assert_eq!(refresh(&app, &other["refresh_token"]).await.status, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let phone = log_in(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;

    let sessions = ana.get("/v1/sessions").await.body;
    let items = sessions["items"].as_array().unwrap();
    let current: Vec<_> = items
        .iter()
        .map(|one| one["current"].as_bool().unwrap())
        .collect();
    assert_eq!(current, [false, true], "newest first: {sessions}");
    let path = format!("/v1/sessions/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(delete(&ben, &path).await.status, 404, "not yours");
    assert_eq!(delete(&ana, &path).await.status, 204);
    assert_eq!(delete(&ana, &path).await.status, 404);
    assert_eq!(delete(&ana, "/v1/sessions/sess_7").await.status, 404);
    locked_out(&holder(&app, &phone)).await;
    assert_eq!(refresh(&app, &phone["refresh_token"]).await.status, 401);
    let left = ana.get("/v1/sessions").await.body;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);

    assert_eq!(delete(&ana, "/v1/sessions/current").await.status, 204);
    locked_out(&ana).await;
    assert_eq!(ben.get("/v1/users/me").await.status, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_end_at_once() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let phone = log_in(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    assert_eq!(delete(&ana, "/v1/sessions").await.status, 204);
    locked_out(&ana).await;
    locked_out(&holder(&app, &phone)).await;
    assert_eq!(refresh(&app, &phone["refresh_token"]).await.status, 401);
    assert_eq!(ben.get("/v1/users/me").await.status, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_logs_out_alone() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let pair = log_in(&app, "ana@example.org").await;
    let log_out = async |body: Value| {
        let request = app
            .anonymous()
            .request(Method::DELETE, "/v1/sessions/current");
        send(request.json(&body)).await.status
    };
    assert_eq!(log_out(json!({})).await, 401);
    assert_eq!(
        log_out(json!({ "refresh_token": "refresh_none" })).await,
        401
    );
    let token = json!({ "refresh_token": pair["refresh_token"] });
    assert_eq!(log_out(token).await, 204);
    locked_out(&holder(&app, &pair)).await;
    assert_eq!(refresh(&app, &pair["refresh_token"]).await.status, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_and_ends_the_sessions_of_others() {
    let app = start().await;
    let root = admin(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let phone = holder(&app, &log_in(&app, "ana@example.org").await);
    let me = ana.get("/v1/users/me").await.body;
    let path = format!("/v1/users/{}/sessions", me["id"].as_str().unwrap());
    assert_eq!(ana.get(&path).await.status, 403);
    assert_eq!(delete(&ana, &path).await.status, 403);

    let listed = root.get(&path).await.body;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed}");
    let newest = format!("{path}/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(delete(&root, &newest).await.status, 204);
    locked_out(&phone).await;
    assert_eq!(delete(&root, &newest).await.status, 404);
    assert_eq!(ana.get("/v1/users/me").await.status, 200);
    assert_eq!(delete(&root, &path).await.status, 204);
    locked_out(&ana).await;
    assert_eq!(root.get("/v1/users/me").await.status, 200);
    let nobody = "/v1/users/user_01h455vb4pex5vsknk084sn02q/sessions";
    assert_eq!(root.get(nobody).await.status, 404);
    app.finish().await;
}
