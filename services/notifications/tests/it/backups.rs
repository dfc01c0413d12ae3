//! Staff are notified of backups, as the file says how the last one ended.

use chassis::backup_state;
use model::Fact;

use super::{entries, kinds_of, start};

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_notified_once_of_a_fault_and_once_of_its_end() {
    let mut test = start().await;
    let (mut ann, mut staff) = (test.customer(), test.customer());
    let hired = Fact::UserRegistered { user_id: staff.user_id(), staff: true };
    test.other("users").publish("staff", hired).await;
    entries(&staff, 1).await;
    for (error, kinds) in [
        (Some("no room"), &["backup.failed"][..]),
        (Some("no room again"), &["backup.failed"]),
        (None, &["backup.recovered", "backup.failed"]),
        (None, &["backup.recovered", "backup.failed"]),
        (
            Some("no room"),
            &["backup.failed", "backup.recovered", "backup.failed"],
        ),
    ] {
        // A start looks at the file at once.
        let outcome = error.map(str::to_owned);
        backup_state::note(&test.folder, model::now(), outcome).unwrap();
        test.restart().await;
        (ann, staff) = (ann.at(test.address), staff.at(test.address));
        let heard = kinds_of(&staff, kinds.len() + 1).await;
        assert_eq!(heard[..kinds.len()], *kinds);
    }
    assert!(entries(&ann, 0).await.is_empty());
    test.finish().await;
}
