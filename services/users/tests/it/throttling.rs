//! Throttling of login attempts: guessing is slow, and cannot lock out the owner.

use serde_json::json;

use super::*;

/// A login forwarded by the gateway for a client address.
async fn try_from(app: &TestService, address: &str, email: &str, password: &str) -> TestResponse {
    let body = json!({ "email": email, "password": password });
    let request = app.anonymous().request(Method::POST, "/v1/sessions");
    send(request.header("x-forwarded-for", address).json(&body)).await
}

fn wait_of(answer: &TestResponse) -> u64 {
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too-many-attempts")
    );
    let header = answer.headers["retry-after"].to_str().unwrap();
    header.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_attempt_waits_for_known_and_unknown_addresses() {
    let mut app = start().await;
    register(&app, "ana@example.org").await;
    for email in ["ana@example.org", "nobody@example.org"] {
        // Concurrent attempts are limited like sequential ones.
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let request = app.anonymous().request(Method::POST, "/v1/sessions");
            let request = request.header("x-forwarded-for", "203.0.113.7");
            let request = request.json(&json!({ "email": email, "password": "wrong horse" }));
            racing.spawn(async move { send(request).await.status });
        }
        let statuses = racing.join_all().await;
        let looked_at = statuses.iter().filter(|status| **status == 401).count();
        assert!((5..8).contains(&looked_at), "{email}: {statuses:?}");
        let elsewhere = try_from(&app, "203.0.113.8", email, "wrong horse").await;
        assert_eq!(elsewhere.status, 401, "{email}");
    }

    let right =
        async |app: &TestService| try_from(app, "203.0.113.7", "ana@example.org", PASSWORD).await;
    // Until the wait is longer than a restart takes.
    let wrong = || async {
        let answer = try_from(&app, "203.0.113.7", "ana@example.org", "wrong horse").await;
        answer.status == 429 && wait_of(&answer) >= 4
    };
    eventually("it waits for 4 s", wrong).await;
    app.restart().await;
    assert!(wait_of(&right(&app).await) <= 4, "whatever the password");

    let in_at_last = || async { right(&app).await.status == 201 };
    eventually("the wait is over", in_at_last).await;
    for _ in 0..5 {
        let wrong = try_from(&app, "203.0.113.7", "ana@example.org", "wrong horse").await;
        assert_eq!(wrong.status, 401, "all is forgiven");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_keep_the_owner_out() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let home = "2001:db8:1:2::1";
    let first = try_from(&app, home, "ana@example.org", PASSWORD).await;
    assert_eq!(first.status, 201);
    for email in ["ana@example.org", "nobody@example.org"] {
        for stranger in 0..60 {
            let address = format!("198.51.100.{stranger}");
            let answer = try_from(&app, &address, email, "wrong horse").await;
            assert_eq!(answer.status, 401, "{email} {stranger}");
        }
        let refused = try_from(&app, "198.51.100.99", email, PASSWORD).await;
        let wait = wait_of(&refused);
        assert!((3_000..=3_600).contains(&wait), "{email}: {wait}");
    }
    // Another machine of the same network.
    let local_service = "2001:db8:1:2::ffff";
    let again = try_from(&app, local_service, "ana@example.org", PASSWORD).await;
    assert_eq!(again.status, 201);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_requests_are_throttled_for_known_and_unknown_addresses() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let mut seen = Vec::new();
    for email in ["ana@example.org", "nobody@example.org"] {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let body = json!({ "email": email });
            let asked = app.anonymous().post("/v1/users/password-reset", body).await;
            statuses.push(asked.status);
        }
        seen.push(statuses);
    }
    assert_eq!(seen[0], [202, 202, 202, 202, 202, 429]);
    assert_eq!(seen[0], seen[1]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probing_for_taken_addresses_is_slow() {
    let app = start().await;
    register(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    let claim = async |path, method, body: Value| {
        let request = ben.request(method, path).json(&body);
        send(request.header("x-forwarded-for", "203.0.113.7")).await
    };
    let mine = async |body| claim("/v1/users/me", Method::PATCH, body).await;
    let moving = json!({ "email": "ana@example.org", "current_password": PASSWORD });
    for _ in 0..100 {
        let taken = mine(moving.clone()).await;
        assert_eq!((taken.status, taken.problem()), (409, "email-taken"));
    }
    wait_of(&mine(moving.clone()).await);
    let body = json!({ "email": "ana@example.org", "password": PASSWORD, "name": "Ben" });
    wait_of(&claim("/v1/users", Method::POST, body).await);
    assert_eq!(mine(json!({ "name": "Ben" })).await.status, 200);
    app.finish().await;
}
