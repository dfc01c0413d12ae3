//! Refresh rotation under concurrency, reuse and clock steps.

use std::net::Ipv4Addr;
use std::time::Duration;

use mesh::{Cause, Event, Log};
use model::{Id, Time};
use store::{Options, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::super::register;
use super::*;
use crate::domain::{Email, REFRESH_GRACE};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOGIN: Time = Time(1_795_369_454_120);

/// One account with one session.
struct Family {
    store: Store,
    log: Log,
    first: Generation,
    _folder: TempDir,
}

impl Family {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", LOGIN).await.unwrap();
        let email = Email::parse("ana@example.org").unwrap();
        let ana = User::new(email, "Ana".into(), LOGIN);
        let first = Generation { user_id: ana.id, session_id: Id::new(), number: 0 };
        let cause = AccountCause { log: log.clone(), cause: Cause::own(LOGIN) };
        let begun = store.write(move |tx| {
            register(tx, &ana, "hash".into(), &cause)?;
            let session = Session::start(None, HERE, LOGIN);
            Ok::<_, Error>(tx.put(SESSIONS, &(ana.id, first.session_id), &session)?)
        });
        begun.await.unwrap();
        Self { store, log, first, _folder: folder }
    }

    /// The generation that a token gets at a moment, if it gets one.
    async fn refresh(&self, number: u32, at: Time) -> Option<u32> {
        let presented = Generation { number, ..self.first };
        let cause = AccountCause { log: self.log.clone(), cause: Cause::own(at) };
        let refreshed = self
            .store
            .write_when_free(move |tx| refresh(tx, presented, HERE, &cause));
        match refreshed.await.unwrap() {
            Refreshed::Pair(_, session) => Some(session.generation),
            Refreshed::Refused => None,
        }
    }

    /// The reasons of all revocations in the log.
    fn endings(&self) -> Vec<RevocationReason> {
        let events = self.log.read(0).unwrap();
        let facts = events
            .iter()
            .map(|event| Event::decode(&event.body).unwrap().fact);
        facts
            .filter_map(|fact| match fact {
                Some(Fact::SessionRevoked { reason, .. }) => reason,
                _ => None,
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_concurrent_refreshes_rotate_once() {
    const REFRESHES: u64 = 10_000;
    let family = std::sync::Arc::new(Family::start().await);
    let spent = LOGIN.after(Duration::from_secs(60));
    let mut refreshes = JoinSet::new();
    for index in 0..REFRESHES {
        let family = family.clone();
        // Each reads the clock at another moment within the grace, and they do not
        // arrive in that order.
        let spread = REFRESH_GRACE.as_millis() as u64 / 2;
        let at = spent.after(Duration::from_millis(index * 7919 % spread));
        refreshes.spawn(async move { family.refresh(0, at).await });
    }
    let got = refreshes.join_all().await;
    let same = got.iter().filter(|number| **number == Some(1)).count();
    assert_eq!(
        same as u64, REFRESHES,
        "all get generation 1, and no other is made"
    );
    assert_eq!(family.endings(), [], "and none counts as reuse");
    let sessions = sessions(&family.store, family.first.user_id).unwrap();
    assert_eq!(sessions[0].1.generation, 1);

    // The successor rotates on; a token spent before the grace is reuse.
    let later = spent.after(Duration::from_secs(60));
    assert_eq!(family.refresh(1, later).await, Some(2));
    let too_late = later.after(REFRESH_GRACE + Duration::from_millis(1));
    assert_eq!(family.refresh(1, later.after(REFRESH_GRACE)).await, Some(2));
    assert_eq!(family.refresh(1, too_late).await, None);
    assert_eq!(family.endings(), [RevocationReason::Reused]);
    assert_eq!(
        family.refresh(2, too_late).await,
        None,
        "the family has ended"
    );
    assert_eq!(family.endings().len(), 1, "one revocation");
}

/// A clock step backwards must not shorten a revocation.
#[tokio::test]
async fn a_revocation_outlives_the_last_token_whatever_the_clock_says() {
    let family = Family::start().await;
    let Generation { user_id, session_id, .. } = family.first;
    let before = Time(LOGIN.0 - 3_600_000);
    let cause = AccountCause { log: family.log.clone(), cause: Cause::own(before) };
    let ended = family
        .store
        .write(move |tx| end_session(tx, user_id, session_id, RevocationReason::Ended, &cause));
    let ended: Result<(), store::Error> = ended.await;
    ended.unwrap();
    let last = family.log.read(1).unwrap().pop().unwrap();
    let Some(Fact::SessionRevoked { until, .. }) = Event::decode(&last.body).unwrap().fact else {
        panic!("the session was ended");
    };
    assert_eq!(until, LOGIN.after(ACCESS_TOKEN_LIFE));
}
