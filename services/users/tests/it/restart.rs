//! State across a restart.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_kept() {
    let mut app = start().await;
    register(&app, "ana@example.org").await;
    let pair = log_in(&app, "ana@example.org").await;
    let gone = log_in(&app, "ana@example.org").await;
    assert_eq!(
        delete(&holder(&app, &gone), "/v1/sessions/current")
            .await
            .status,
        204
    );
    let keys = app.anonymous().get("/.well-known/paserk.json").await.body;
    let key = &keys["keys"][0];
    assert!(key["kid"].as_str().unwrap().starts_with("k4.pid."));
    assert!(key["key"].as_str().unwrap().starts_with("k4.public."));
    assert_eq!(key["status"], "active");
    let secret = app.folder.path().join("users/refresh.secret");
    let mode = std::fs::metadata(secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    app.restart().await;

    let again = app.anonymous().get("/.well-known/paserk.json").await.body;
    assert_eq!(again, keys, "no second key");
    let ana = holder(&app, &pair);
    assert_eq!(ana.get("/v1/users/me").await.body, pair["user"]);
    locked_out(&holder(&app, &gone)).await;
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let refreshed = ana.post("/v1/sessions/refresh", body).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    log_in(&app, "ana@example.org").await;
    app.finish().await;
}
