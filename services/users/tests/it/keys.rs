//! Rotation of the signing keys under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;

async fn control(app: &TestService, method: Method, path: &str, body: Value) -> TestResponse {
    let socket = app.folder.path().join("users/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket);
    let client = client.build().unwrap();
    let request = client.request(method, format!("http://control{path}"));
    send(request.json(&body)).await
}

/// Each key's kid and status, newest first.
async fn listed(app: &TestService) -> Vec<(String, String)> {
    let document = app.anonymous().get("/.well-known/paserk.json").await.body;
    let keys = document["keys"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    keys.map(|key| (text(&key["kid"]), text(&key["status"])))
        .collect()
}

fn kid(token: &Value) -> String {
    let footer = token.as_str().unwrap().rsplit_once('.').unwrap().1;
    let footer = data_encoding::BASE64URL_NOPAD.decode(footer.as_bytes());
    let footer: Value = serde_json::from_slice(&footer.unwrap()).unwrap();
    footer["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_fails_no_request() {
    let mut app = start().await;
    register(&app, "ana@example.org").await;
    let pair = log_in(&app, "ana@example.org").await;
    let ana = holder(&app, &pair);
    let old = listed(&app).await;
    assert_eq!(old, [(kid(&pair["access_token"]), "active".into())]);

    // A client refreshes and uses its tokens all the while.
    let done = Arc::new(AtomicBool::new(false));
    let shopping = {
        let (app, done, mut pair) = (app.anonymous(), done.clone(), pair);
        tokio::spawn(async move {
            let mut signers = BTreeSet::new();
            while !done.load(Ordering::Acquire) {
                let body = json!({ "refresh_token": pair["refresh_token"] });
                let answer = app.post("/v1/sessions/refresh", body).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                pair = answer.body;
                let token = pair["access_token"].as_str().unwrap();
                let me = app.request(Method::GET, "/v1/users/me").bearer_auth(token);
                assert_eq!(send(me).await.status, 200);
                signers.insert(kid(&pair["access_token"]));
            }
            signers
        })
    };
    let rotated = control(&app, Method::POST, "/control/keys/rotate", json!({})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    let fresh = log_in(&app, "ana@example.org").await;
    done.store(true, Ordering::Release);
    let new = kid(&fresh["access_token"]);
    assert_ne!(new, old[0].0, "it answers when the new key signs");
    assert!(shopping.await.unwrap().contains(&old[0].0));
    let both = [
        (new.clone(), "active".into()),
        (old[0].0.clone(), "retiring".into()),
    ];
    assert_eq!(listed(&app).await, both);
    assert_eq!(rotated.body["keys"][1]["kid"], old[0].0.as_str());
    assert!(rotated.body["keys"][1]["until"].is_string());
    assert_eq!(ana.get("/v1/users/me").await.status, 200);

    app.restart().await;
    assert_eq!(listed(&app).await, both);
    assert_eq!(ana.at(app.address).get("/v1/users/me").await.status, 200);

    // Both keys may be compromised.
    let body = json!({ "at_once": true });
    let rotated = control(&app, Method::POST, "/control/keys/rotate", body).await;
    assert_eq!(rotated.body["keys"].as_array().unwrap().len(), 1);
    locked_out(&ana.at(app.address)).await;
    locked_out(&holder(&app, &fresh)).await;
    let body = json!({ "refresh_token": fresh["refresh_token"] });
    let refreshed = app.anonymous().post("/v1/sessions/refresh", body).await;
    let back = holder(&app, &refreshed.body);
    assert_eq!(
        back.get("/v1/users/me").await.status,
        200,
        "no login is lost"
    );
    let outside = app.anonymous().get("/control/keys").await;
    assert_eq!(outside.status, 404, "only on the socket");
    app.finish().await;
}
