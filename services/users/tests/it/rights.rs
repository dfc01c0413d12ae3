//! Export and erasure of an account, and the last admin.

use mesh::ContactOf;
use model::{Fact, Id, kinds};
use serde_json::json;
use testkit::damage::copy_folder;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn all_personal_data_can_be_exported() {
    let app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let me = ana.get("/v1/users/me").await.body;
    let export = ana.get("/v1/users/me/export").await;
    assert_eq!(export.status, 200);
    assert_eq!(export.headers["cache-control"], "private, no-store");
    assert_eq!(export.body["user"], me);
    assert_eq!(export.body["language"], "pt-BR");
    let session = &export.body["sessions"][0];
    assert_eq!(
        (&session["current"], &session["address"]),
        (&json!(true), &json!("127.0.0.1"))
    );
    assert_eq!(app.anonymous().get("/v1/users/me/export").await.status, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_account_stays_erased() {
    let mut app = start().await;
    let ana = newcomer(&app, "ana@example.org").await;
    let ben = newcomer(&app, "ben@example.org").await;
    let id = ana.get("/v1/users/me").await.body["id"].clone();
    let user_id: Id<kinds::User> = id.as_str().unwrap().parse().unwrap();
    let store = app.folder.path().join("users/store");
    let backup = app.folder.path().join("backup");
    app.restart_after(|| copy_folder(&store, &backup).unwrap())
        .await;

    let ana = ana.at(app.address);
    assert_eq!(erase(&ana, "/v1/users/me").await.status, 204);
    locked_out(&ana).await;
    let gone = async |app: &TestService| {
        let refused = try_log_in(app, "ana@example.org", PASSWORD).await;
        assert_eq!(refused.status, 401);
        let contact = app.mesh.ask(&ContactOf { user_id }, TIMEOUT).await;
        assert!(contact.expect("users answers").is_none());
    };
    gone(&app).await;
    let other = register(&app, "ana@example.org").await;
    assert_ne!(other["id"], id, "the address is free");

    // The store knows who was erased when the list does not.
    let list = app.folder.path().join("users/erasures");
    app.restart_after(|| std::fs::write(&list, "damaged\n").unwrap())
        .await;
    let listed = std::fs::read_to_string(&list).unwrap();
    assert!(listed.starts_with(id.as_str().unwrap()), "{listed}");

    let put_back = || {
        std::fs::remove_dir_all(&store).unwrap();
        copy_folder(&backup, &store).unwrap();
    };
    app.restart_after(put_back).await;
    gone(&app).await;
    assert_eq!(
        ben.at(app.address).get("/v1/users/me").await.status,
        200,
        "only who asked for it"
    );
    let heard = events::listen(&app).await;
    let repeated = || async {
        let heard = heard.lock().unwrap();
        let erased = Fact::UserErased { user_id };
        heard
            .iter()
            .any(|event| event.fact.as_ref() == Some(&erased))
    };
    eventually("the erasure is published again", repeated).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays() {
    let app = start().await;
    let root = admin(&app).await;
    let me = root.get("/v1/users/me").await.body;
    let path = format!("/v1/users/{}", me["id"].as_str().unwrap());
    let ana = register(&app, "ana@example.org").await;
    let ana = format!("/v1/users/{}", ana["id"].as_str().unwrap());
    let demotion = json!({ "roles": ["customer"], "current_password": PASSWORD });
    let disabling = json!({ "status": "disabled" });
    for refused in [
        patch(&root, &path, demotion.clone()).await,
        patch(&root, &path, disabling.clone()).await,
        erase(&root, "/v1/users/me").await,
        erase(&root, &path).await,
    ] {
        assert_eq!((refused.status, refused.problem()), (409, "last-admin"));
    }
    // A disabled admin does not count.
    let promotion =
        json!({ "roles": ["admin"], "status": "disabled", "current_password": PASSWORD });
    assert_eq!(patch(&root, &ana, promotion).await.status, 200);
    assert_eq!(patch(&root, &path, demotion.clone()).await.status, 409);
    let enabling = json!({ "status": "active" });
    assert_eq!(patch(&root, &ana, enabling).await.status, 200);
    assert_eq!(patch(&root, &path, demotion).await.status, 200);
    // Not even before the revocation of their session arrives.
    let reinstating = json!({ "roles": ["admin"], "current_password": PASSWORD });
    assert_eq!(patch(&root, &path, reinstating).await.status, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_who_demote_each_other_one_stays() {
    let app = start().await;
    let root = admin(&app).await;
    let path = async |person: &Person| {
        let me = person.get("/v1/users/me").await.body;
        format!("/v1/users/{}", me["id"].as_str().unwrap())
    };
    let ana = newcomer(&app, "ana@example.org").await;
    let (root_path, ana_path) = (path(&root).await, path(&ana).await);
    let promotion = json!({ "roles": ["admin"], "current_password": PASSWORD });
    assert_eq!(patch(&root, &ana_path, promotion).await.status, 200);
    let ana = holder(&app, &log_in(&app, "ana@example.org").await);
    let demotion = json!({ "roles": ["customer"], "current_password": PASSWORD });
    let (one, other) = tokio::join!(
        patch(&root, &ana_path, demotion.clone()),
        patch(&ana, &root_path, demotion),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "the second one is no admin any more");
    app.finish().await;
}
