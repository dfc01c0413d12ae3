//! Registering, reading and changing accounts, and every refusal.

use reqwest::Method;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn register_log_in_and_look() {
    let app = start().await;
    let body = json!({ "email": "Ana@Example.org", "password": PASSWORD, "name": "  Ana  " });
    let registered = app.anonymous().post("/v1/users", body).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let user = &registered.body;
    let id = user["id"].as_str().unwrap();
    assert_eq!(
        registered.headers["location"].to_str().unwrap(),
        format!("/v1/users/{id}")
    );
    assert!(id.starts_with("user_"));
    assert_eq!(user["name"], "Ana");
    assert_eq!(user["roles"], json!(["customer"]));
    assert_eq!(user["status"], "active");
    assert_eq!(user["email_verified"], false);
    assert_eq!(user["created_at"], user["updated_at"]);
    assert_eq!(user.as_object().unwrap().len(), 8, "{user}");

    let pair = log_in(&app, "ana@EXAMPLE.org").await;
    assert_eq!(pair["token_type"], "Bearer");
    assert_eq!(pair["expires_in"], 900);
    assert_eq!(&pair["user"], user);
    let ana = holder(&app, &pair);
    let me = ana.get("/v1/users/me").await;
    assert_eq!(&me.body, user);
    assert_eq!(me.headers["cache-control"], "private, no-store");
    assert_eq!(me.headers["etag"], registered.headers["etag"]);
    let known = ana
        .request(Method::GET, "/v1/users/me")
        .header("if-none-match", &me.headers["etag"]);
    assert_eq!(send(known).await.status, 304);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem() {
    let app = start().await;
    let nobody = app.anonymous();
    let registering = async |body| app.anonymous().post("/v1/users", body).await;
    let good = json!({ "email": "ana@example.org", "password": PASSWORD, "name": "Ana" });

    let mut greedy = good.clone();
    greedy["roles"] = json!(["admin"]);
    assert_eq!(registering(greedy).await.status, 400);
    for body in [
        json!({}),
        json!({ "email": "ana", "password": "short", "name": " " }),
    ] {
        let answer = registering(body).await;
        assert_eq!(answer.status, 422);
        assert_eq!(pointers(&answer), ["/email", "/password", "/name"]);
    }
    let mut mistyped = good.clone();
    mistyped["email"] = json!(7);
    let answer = registering(mistyped).await;
    assert_eq!((answer.status, pointers(&answer)), (422, vec!["/email"]));
    // A field of the wrong type hides no other fault.
    let answer = registering(json!({ "email": 7 })).await;
    assert_eq!(answer.status, 422);
    assert_eq!(pointers(&answer), ["/email", "/password", "/name"]);
    // Many mail servers take no such address, and the account would never get a mail.
    let mut umlaut = good.clone();
    umlaut["email"] = json!("jos\u{e9}@example.org");
    let answer = registering(umlaut).await;
    assert_eq!((answer.status, pointers(&answer)), (422, vec!["/email"]));
    let why = answer.body["errors"][0]["detail"].as_str().unwrap();
    assert!(why.contains("before the @"), "{why}");
    let plain = nobody.request(Method::POST, "/v1/users").body("{}");
    assert_eq!(send(plain).await.status, 415);

    assert_eq!(registering(good.clone()).await.status, 201);
    let taken = registering(good).await;
    assert_eq!((taken.status, taken.problem()), (409, "email-taken"));

    for path in ["/v1/users/me", "/v1/users", "/v1/sessions"] {
        let answer = nobody.get(path).await;
        assert_eq!((answer.status, answer.problem()), (401, "unauthenticated"));
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);
    for path in ["/v1/users", "/v1/users/user_01h455vb4pex5vsknk084sn02q"] {
        assert_eq!(ana.get(path).await.status, 403);
    }
    assert_eq!(
        patch(&ana, "/v1/users/me", json!({ "status": "active" }))
            .await
            .status,
        400
    );
    assert_eq!(ana.get("/v1/users/me/shoes").await.status, 404);
    let answer = delete(&ana, "/v1/users").await;
    assert_eq!(
        (answer.status, answer.problem()),
        (405, "method-not-allowed")
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_belongs_to_one_account_under_concurrency() {
    let app = start().await;
    let mut racing = Vec::new();
    for turn in 0..50 {
        let mut email = String::from("ana@example.org");
        let letter = email.remove(turn % 3).to_ascii_uppercase();
        email.insert(turn % 3, letter);
        let body = json!({ "email": email, "password": PASSWORD, "name": "Ana" });
        let person = app.anonymous();
        racing.push(tokio::spawn(async move {
            person.post("/v1/users", body).await.status
        }));
    }
    let mut statuses = Vec::new();
    for one in racing {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert_eq!(statuses[1..], [409; 49]);
    let found = admin(&app)
        .await
        .get("/v1/users?email=ANA@example.ORG")
        .await;
    assert_eq!(found.body["items"].as_array().unwrap().len(), 1);

    app.finish().await;
}

/// One mailbox has one account, and no address, name or password pretends to be another.
#[tokio::test(flavor = "multi_thread")]
async fn look_alikes_are_refused() {
    let app = start().await;
    register(&app, "ana@b\u{fc}cher.example").await;
    register(&app, "victim@example.com").await;
    let cases = [
        ("ana@xn--bcher-kva.example", PASSWORD, "Ana", 409, ""),
        ("victim@ex\u{ff41}mple.com", PASSWORD, "Ana", 409, ""),
        ("v\u{456}ctim@example.com", PASSWORD, "Ana", 422, "/email"),
        ("eve@example.com", PASSWORD, "\u{200b}", 422, "/name"),
        ("eve@example.com", PASSWORD, "\u{202e}exe.png", 422, "/name"),
        (
            "eve@example.com",
            "Eve@example.com",
            "Ana",
            422,
            "/password",
        ),
        ("eve@example.com", "aaaaaaaaaaaa", "Ana", 422, "/password"),
        ("eve@example.com", "Password2026!", "Ana", 422, "/password"),
    ];
    for (email, password, name, status, pointer) in cases {
        let body = json!({ "email": email, "password": password, "name": name });
        let answer = app.anonymous().post("/v1/users", body).await;
        let fault = pointers(&answer).first().copied().unwrap_or_default();
        assert_eq!(
            (answer.status, fault),
            (status, pointer),
            "{email} {name:?}"
        );
    }
    log_in(&app, "ana@XN--BCHER-KVA.example").await;

    let own = json!({ "current_password": PASSWORD, "new_password": "Ana Lima 2026" });
    let ana = holder(&app, &log_in(&app, "ana@b\u{fc}cher.example").await);
    let refused = ana.post("/v1/users/me/password", own).await;
    assert_eq!(
        (refused.status, pointers(&refused)),
        (422, vec!["/new_password"])
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_name() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let before = ana.get("/v1/users/me").await;
    let wrong = json!({ "email": "ana", "name": "" });
    let wrong = patch(&ana, "/v1/users/me", wrong).await;
    assert_eq!(pointers(&wrong), ["/email", "/name"]);

    let changed = patch(&ana, "/v1/users/me", json!({ "name": "A. Lima" })).await;
    assert_eq!(
        (changed.status, &changed.body["name"]),
        (200, &json!("A. Lima"))
    );
    assert_ne!(changed.headers["etag"], before.headers["etag"]);
    let stale = ana
        .request(Method::PATCH, "/v1/users/me")
        .header("if-match", &before.headers["etag"])
        .json(&json!({ "name": "Ana" }));
    assert_eq!(send(stale).await.status, 412);
    assert_eq!(ana.get("/v1/users/me").await.body, changed.body);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_lists_promotes_and_disables() {
    let app = start().await;
    let admin = admin(&app).await;
    let id = register(&app, "ana@example.org").await["id"].clone();
    let path = format!("/v1/users/{}", id.as_str().unwrap());
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);

    let first = admin.get("/v1/users?limit=1").await.body;
    assert_eq!(first["items"][0]["id"], id, "newest first");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = admin
        .get(&format!("/v1/users?limit=1&cursor={cursor}"))
        .await
        .body;
    assert_eq!(second["items"][0]["email"], "root@localhost");
    assert_eq!(second["next_cursor"], json!(null));
    assert_eq!(
        admin.get("/v1/users?email=nobody").await.body["items"],
        json!([])
    );
    assert_eq!(admin.get("/v1/users?cursor=%21").await.status, 400);
    assert_eq!(admin.get("/v1/users/user_7").await.status, 404);
    assert_eq!(admin.get(&path).await.body["email"], "ana@example.org");

    for wrong in [
        json!({ "roles": [], "current_password": PASSWORD }),
        json!({ "roles": ["owner"], "current_password": PASSWORD }),
        json!({ "status": "gone" }),
    ] {
        assert_eq!(patch(&admin, &path, wrong).await.status, 422);
    }
    let roles = json!({ "roles": ["staff", "customer"], "current_password": PASSWORD });
    let promoted = patch(&admin, &path, roles).await;
    assert_eq!(promoted.body["roles"], json!(["customer", "staff"]));
    assert_eq!(
        ana.get("/v1/users/me").await.status,
        200,
        "gaining a role ends nothing"
    );

    let pair = log_in(&app, "ana@example.org").await;
    assert_eq!(
        patch(&admin, &path, json!({ "status": "disabled" }))
            .await
            .status,
        200
    );
    locked_out(&ana).await;
    locked_out(&holder(&app, &pair)).await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    assert_eq!(ana.post("/v1/sessions/refresh", refresh).await.status, 401);
    let refused = try_log_in(&app, "ana@example.org", PASSWORD).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (401, "wrong-credentials")
    );

    assert_eq!(
        patch(&admin, &path, json!({ "status": "active" }))
            .await
            .status,
        200
    );
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);
    let demoted = patch(
        &admin,
        &path,
        json!({ "roles": ["customer"], "current_password": PASSWORD }),
    )
    .await;
    assert_eq!(demoted.status, 200);
    locked_out(&ana).await;
    app.finish().await;
}
