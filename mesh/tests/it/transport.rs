//! The transport suite, which the in-process network and Zenoh have to pass.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mesh::{InProcessNetwork, Liveliness, Sighting, Transport};
use tempfile::TempDir;

use crate::network::session;
use crate::{POLL_EVERY, soon, until};

/// Longer than any check takes, so that reaching it is a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_in_process_network_passes_the_transport_suite() {
    let network: Arc<dyn Transport> = Arc::new(InProcessNetwork::reliable());
    keeps_its_promises(&*network, &*network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zenoh_passes_the_transport_suite() {
    let folder = TempDir::new().unwrap();
    let here = session(folder.path(), "here", &[]).await;
    let there = session(folder.path(), "there", &["here"]).await;
    keeps_its_promises(&*here, &*there).await;
    keeps_its_promises(&*there, &*here).await;
    keeps_its_promises(&*here, &*here).await;
    here.close().await;
    there.close().await;
}

async fn keeps_its_promises(here: &dyn Transport, there: &dyn Transport) {
    publications_reach_subscribers(here, there).await;
    a_question_to_nobody_ends_unanswered(there).await;
    every_query_gets_its_reply(here, there).await;
    a_query_without_a_reply_ends(here, there).await;
    liveliness_is_visible(here, there).await;
}

async fn publications_reach_subscribers(here: &dyn Transport, there: &dyn Transport) {
    let heard = here
        .subscribe("shop/events/users")
        .await
        .expect("a subscription");
    let other = here
        .subscribe("shop/events/orders")
        .await
        .expect("a subscription");
    // A subscription takes a moment to propagate, and earlier publications are lost.
    soon("a publication", async {
        while heard.messages.is_empty() {
            there
                .publish("shop/events/users", b"one".to_vec())
                .await
                .expect("a publication");
            tokio::time::sleep(POLL_EVERY).await;
        }
    })
    .await;
    there
        .publish("shop/events/users", b"last".to_vec())
        .await
        .expect("a publication");
    soon("the last one, in its order", async {
        while heard.messages.recv_async().await.expect("it goes on") != b"last" {}
    })
    .await;
    assert!(other.messages.is_empty(), "heard under another topic");
    drop(heard.guard);
    // A subscription ends with its sender.
    until("the subscription's end", || {
        heard.messages.is_disconnected()
    })
    .await;
}

async fn a_question_to_nobody_ends_unanswered(there: &dyn Transport) {
    let asked = there.ask("shop/log/nobody", Vec::new(), TIMEOUT);
    let answer = tokio::time::timeout(TIMEOUT / 2, asked).await;
    assert_eq!(answer.expect("absence shows at once"), None);
}

/// Each query gets its own reply, whole, of any size.
async fn every_query_gets_its_reply(here: &dyn Transport, there: &dyn Transport) {
    const TOPIC: &str = "shop/log/users";
    let served = here.serve(TOPIC).await.expect("a service");
    let answers = async {
        while let Ok(question) = served.messages.recv_async().await {
            let length =
                u32::from_le_bytes(question.body.as_slice().try_into().expect("four bytes"));
            let answer = length.to_le_bytes().into_iter().cycle();
            (question.reply)(answer.take(length as usize).collect()).await;
        }
    };
    let asks = async {
        answered(there, TOPIC, true).await;
        let lengths: Vec<u32> = (0..100)
            .map(|which| 4 * (which + 1))
            .chain([300_000])
            .collect();
        let asked = lengths
            .iter()
            .map(|length| there.ask(TOPIC, length.to_le_bytes().to_vec(), TIMEOUT));
        let answers = soon("the answers", join_all(asked)).await;
        for (length, answer) in lengths.iter().zip(answers) {
            let answer = answer.unwrap_or_else(|| panic!("{length} bytes were not answered"));
            assert_eq!(answer.len(), *length as usize);
            assert!(
                answer
                    .chunks_exact(4)
                    .all(|four| four == length.to_le_bytes())
            );
        }
    };
    tokio::select! {
        () = answers => panic!("the topic is served no more"),
        () = asks => {}
    }
    drop(served.guard);
    until("the end of the service", || {
        served.messages.is_disconnected()
    })
    .await;
    answered(there, TOPIC, false).await;
}

/// Repeats a query of four bytes until there is a reply, or until there is none.
async fn answered(there: &dyn Transport, topic: &str, wanted: bool) {
    soon("a change of who answers", async {
        let question = 4_u32.to_le_bytes().to_vec();
        while there.ask(topic, question.clone(), TIMEOUT).await.is_some() != wanted {
            tokio::time::sleep(POLL_EVERY).await;
        }
    })
    .await;
}

/// A query that the server drops ends at once; one at a hanging server by the timeout.
async fn a_query_without_a_reply_ends(here: &dyn Transport, there: &dyn Transport) {
    const TOPIC: &str = "shop/log/mute";
    let served = here.serve(TOPIC).await.expect("a service");
    let brief = Duration::from_millis(50);
    let kept = soon("a question", async {
        loop {
            let answer = there.ask(TOPIC, vec![1], brief).await;
            assert_eq!(answer, None);
            if let Ok(question) = served.messages.try_recv() {
                return question;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    })
    .await;
    assert_eq!(kept.body, [1]);
    let drops = async {
        drop(served.messages.recv_async().await.expect("it is served"));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = tokio::time::timeout(TIMEOUT / 2, there.ask(TOPIC, vec![2], TIMEOUT)) => {
            assert_eq!(answer.expect("a dropped question ends at once"), None);
        }
        () = drops => {}
    }
}

/// A watcher sees liveliness tokens from before and after its start, and their end.
async fn liveliness_is_visible(here: &dyn Transport, there: &dyn Transport) {
    let early = here
        .declare_alive("shop/live/users/1")
        .await
        .expect("a token");
    let local_service = here
        .declare_alive("shop/lively/users/1")
        .await
        .expect("a token");
    let (seen, sightings) = flume::bounded(16);
    let watch = move |sighting| seen.try_send(sighting).expect("few sightings");
    let watching = there
        .watch_alive("shop/live", Box::new(watch))
        .await
        .expect("a watch");
    let late = here
        .declare_alive("shop/live/orders/1")
        .await
        .expect("a token");
    let sighting = |key: &str, state| Sighting { key: key.into(), state };
    let next = async || {
        let sighting = soon("a sighting", sightings.recv_async()).await;
        sighting.expect("the watch goes on")
    };

    let mut came = [next().await, next().await];
    came.sort_by(|one, other| other.key.cmp(&one.key));
    assert_eq!(
        came,
        [
            sighting("shop/live/users/1", Liveliness::Alive),
            sighting("shop/live/orders/1", Liveliness::Alive)
        ]
    );
    drop(early);
    assert_eq!(
        next().await,
        sighting("shop/live/users/1", Liveliness::Gone)
    );
    drop(local_service);
    drop(late);
    assert_eq!(
        next().await,
        sighting("shop/live/orders/1", Liveliness::Gone)
    );
    drop(watching);
}
