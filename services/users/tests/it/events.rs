//! Published events: complete, and without personal data.

use std::sync::{Arc, Mutex};

use mesh::{Event, Follower};
use model::{Fact, RevocationReason};
use serde_json::json;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// Follows users and collects its events.
pub(super) async fn listen(app: &TestService) -> Arc<Mutex<Vec<Event>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let data_dir = app.folder.path().join("listener");
    let store = Store::open(&data_dir, &store::Options::default()).unwrap();
    let ears = heard.clone();
    let follower = Follower::new("main", "users", store, app.mesh.clone(), move |_, event| {
        ears.lock().unwrap().push(event.clone());
        Ok(())
    });
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    follower.start(&tasks, stop).await.unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn events_name_people_by_id_only() {
    let app = start().await;
    let heard = listen(&app).await;
    let ana = newcomer(&app, "ana@example.org").await;
    let id = ana.get("/v1/users/me").await.body["id"].clone();
    let again = json!({ "email": "ana@example.org", "password": PASSWORD, "name": "Ana" });
    assert_eq!(ana.post("/v1/users", again).await.status, 409);
    assert_eq!(delete(&ana, "/v1/sessions/current").await.status, 204);

    let ended = || async { heard.lock().unwrap().len() >= 3 };
    eventually("the logout is heard", ended).await;
    let heard = heard.lock().unwrap().clone();
    let kinds: Vec<_> = heard.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["key.published", "user.registered", "session.revoked"]
    );
    let id = id.as_str().unwrap();
    for event in &heard[1..] {
        assert_eq!((event.key.as_str(), event.by.as_deref()), (id, Some(id)));
        assert!(event.trace.is_some());
        assert!(!format!("{event:?}").to_lowercase().contains("ana"));
    }
    let Some(Fact::SessionRevoked { until, reason, .. }) = &heard[2].fact else {
        panic!("{:?}", heard[2])
    };
    assert_eq!(until.since(heard[2].at).as_secs(), 900);
    assert_eq!(*reason, Some(RevocationReason::Ended));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_name_the_change_and_the_actor() {
    let app = start().await;
    let heard = listen(&app).await;
    let root = admin(&app).await;
    let root_id = root.get("/v1/users/me").await.body["id"].clone();
    let ana = newcomer(&app, "ana@example.org").await;
    let id = ana.get("/v1/users/me").await.body["id"].clone();
    let path = format!("/v1/users/{}", id.as_str().unwrap());

    let profile =
        json!({ "email": "ana@example.com", "name": "A. Lima", "current_password": PASSWORD });
    assert_eq!(patch(&ana, "/v1/users/me", profile).await.status, 202);
    let change = json!({ "current_password": PASSWORD, "new_password": "a new password" });
    let changed = ana.post("/v1/users/me/password", change).await;
    assert_eq!(changed.status, 204);
    for change in [
        json!({ "roles": ["customer", "staff"], "current_password": PASSWORD }),
        json!({ "roles": ["customer", "staff"], "current_password": PASSWORD }),
        json!({ "status": "disabled" }),
    ] {
        assert_eq!(patch(&root, &path, change).await.status, 200);
    }

    let about = |event: &&Event| Some(event.key.as_str()) == id.as_str();
    let all = || async { heard.lock().unwrap().iter().filter(about).count() >= 9 };
    eventually("all of it is heard", all).await;
    let heard = heard.lock().unwrap().clone();
    let mut lines = Vec::new();
    for event in heard.iter().filter(about) {
        let by = event.by.as_deref();
        let who = match () {
            () if by == id.as_str() => "ana",
            () if by == root_id.as_str() => "root",
            () => "nobody",
        };
        let what = match event.fact.as_ref().unwrap() {
            Fact::UserUpdated { changed, staff, .. } => format!("{changed:?} {staff}"),
            Fact::SessionRevoked { reason, .. } => format!("{:?}", reason.unwrap()),
            _ => String::new(),
        };
        lines.push(format!("{who} {} {what}", event.kind));
    }
    assert_eq!(
        lines,
        [
            "ana user.registered ",
            "ana user.updated [Name] false",
            "ana user.code_requested ",
            "ana user.email_change_requested ",
            "ana user.updated [Password] false",
            "root user.updated [Roles] true",
            "root session.revoked AccountChanged",
            "root user.updated [Status] true",
            "root user.disabled ",
        ]
    );
    app.finish().await;
}
