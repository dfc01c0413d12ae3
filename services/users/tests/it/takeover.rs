//! What a stolen access token does not do.

use serde_json::json;

use super::*;

/// A method, a path and a body without a password.
type Attack = (Method, String, Value);

/// Every request that gives an account away needs the password of who sends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_gives_no_account_away() {
    let app = start().await;
    let root = admin(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let me = ana.get("/v1/users/me").await.body;
    let path = format!("/v1/users/{}", me["id"].as_str().unwrap());
    let own = "/v1/users/me".to_owned();
    let attacks: [(&Person, Attack); 5] = [
        (
            &ana,
            (
                Method::PATCH,
                own.clone(),
                json!({ "email": "evil@example.org" }),
            ),
        ),
        (
            &ana,
            (
                Method::POST,
                format!("{own}/password"),
                json!({ "new_password": "an evil password" }),
            ),
        ),
        (&ana, (Method::DELETE, own, json!({}))),
        (
            &root,
            (
                Method::PATCH,
                path.clone(),
                json!({ "roles": ["admin"], "status": "disabled" }),
            ),
        ),
        (&root, (Method::DELETE, path.clone(), json!({}))),
    ];
    for (person, (method, path, body)) in &attacks {
        let send_with = async |password: Option<&str>| {
            let mut body = body.clone();
            if let Some(password) = password {
                body["current_password"] = json!(password);
            }
            send(person.request(method.clone(), path).json(&body)).await
        };
        let missing = send_with(None).await;
        assert_eq!(
            (missing.status, missing.problem()),
            (403, "password-required"),
            "{method} {path}"
        );
        let wrong = send_with(Some("wrong horse")).await;
        assert_eq!(
            (wrong.status, wrong.problem()),
            (403, "wrong-password"),
            "{method} {path}"
        );
        log_in(&app, "ana@example.org").await;
        log_in(&app, "root@localhost").await;
    }
    // A body that is left out is one without a password.
    assert_eq!(delete(&ana, "/v1/users/me").await.status, 403);
    assert_eq!(root.get(&path).await.body, me, "nothing has changed");

    // Guesses are throttled as a login's are, and together with them.
    for _ in 0..3 {
        try_log_in(&app, "ana@example.org", "wrong horse").await;
    }
    let guess = json!({ "current_password": "wrong horse" });
    for expected in [403, 403, 429] {
        let request = ana.request(Method::DELETE, "/v1/users/me");
        assert_eq!(send(request.json(&guess)).await.status, expected);
    }
    let right = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(right.status, 429);
    app.finish().await;
}
