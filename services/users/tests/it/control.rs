//! The control socket.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_changes_and_reopens_accounts() {
    let app = start().await;
    let socket = app.folder.path().join("users/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let outside = app.anonymous().post("/control/users", json!({})).await;
    assert_eq!(outside.status, 404, "only on the socket");

    let wrong = control(&app, json!({ "email": "root", "roles": [] })).await;
    assert_eq!(pointers(&wrong), ["/email", "/roles"]);
    let bare = control(&app, json!({ "email": "boss@example.org" })).await;
    assert_eq!((bare.status, pointers(&bare)), (422, vec!["/password"]));

    let customer = newcomer(&app, "boss@example.org").await;
    let order = json!({ "email": "Boss@example.org", "roles": ["admin"] });
    let promoted = control(&app, order.clone()).await;
    assert_eq!(
        (promoted.status, &promoted.body["roles"]),
        (200, &json!(["admin"]))
    );
    assert_eq!(promoted.body["name"], "Ana Lima");
    locked_out(&customer).await;

    let boss = log_in(&app, "boss@example.org").await;
    let path = format!("/v1/users/{}", boss["user"]["id"].as_str().unwrap());
    let disabling = json!({ "status": "disabled" });
    let disabled = patch(&admin(&app).await, &path, disabling).await;
    assert_eq!(disabled.status, 200);
    assert_eq!(
        try_log_in(&app, "boss@example.org", PASSWORD).await.status,
        401
    );
    let mut reopened = order;
    reopened["password"] = json!("a new password");
    assert_eq!(control(&app, reopened).await.body["status"], "active");
    assert_eq!(
        try_log_in(&app, "boss@example.org", PASSWORD).await.status,
        401
    );
    let back = try_log_in(&app, "boss@example.org", "a new password").await;
    assert_eq!(back.status, 201);

    let socket = app.folder.path().join("users/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket);
    let client = client.build().unwrap();
    let list = send(client.get("http://control/control/users?limit=1")).await;
    assert_eq!(list.body["items"][0]["email"], "root@localhost");
    let path = "http://control/control/users?email=boss@example.org";
    let found = send(client.get(path)).await;
    assert_eq!(found.body["items"][0]["roles"], json!(["admin"]));
    app.finish().await;
}
