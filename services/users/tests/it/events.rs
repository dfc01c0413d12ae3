//! What other services hear, and that no one hears who anybody is.

use std::sync::{Arc, Mutex};

use mesh::{Event, Fact, Follower};
use serde_json::json;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// Follows users and collects what it says.
async fn listen(app: &TestService) -> Arc<Mutex<Vec<Event>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let room = app.folder.path().join("listener");
    let store = Store::open(&room, &store::Options::default()).unwrap();
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
async fn others_hear_of_people_by_id_only() {
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
    let Some(Fact::SessionRevoked { until, .. }) = &heard[2].fact else {
        panic!("{:?}", heard[2])
    };
    assert_eq!(until.since(heard[2].at).as_secs(), 900);
    app.finish().await;
}
