//! A listener without a store receives every event from its start on, or a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::{Event, InProcessNetwork, LinkFaults, Listener, Mesh, Update};
use model::{Fact, Time};

use crate::node::{SOURCE, SourceNode, draft};
use crate::{number_from_env, scratch, soon};

const ANNOUNCE_EVERY: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_millis(200);

fn number(event: &Event) -> i64 {
    match event.fact {
        Some(Fact::StockAdjusted { reserved, .. }) => reserved,
        _ => panic!("{event:?}"),
    }
}

/// The next update other than an empty one.
async fn news(listener: &mut Listener) -> Update {
    soon("a word", async {
        loop {
            match listener.next().await {
                Update::Events(events) if events.is_empty() => {}
                word => return word,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_receives_every_event_after_its_start() {
    let root = scratch();
    let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), "shop");
    let source = SourceNode::open(&root.path().join("source"), Time(1)).await;
    source.append(draft("k", 1, 1)).await;
    let listened = Listener::start(&mesh, SOURCE, TIMEOUT).await;
    let mut listener = listened.expect("a subscription");
    source.serve(mesh.clone(), ANNOUNCE_EVERY).await;
    assert_eq!(
        news(&mut listener).await,
        Update::Gap,
        "the past is not heard"
    );
    assert_eq!(listener.place(), 1);
    let mut heard = Vec::new();
    for next in 2..20 {
        source.append(draft("k", next, next)).await;
        let Update::Events(events) = news(&mut listener).await else {
            panic!("{next} was missed");
        };
        heard.extend(events.iter().map(number));
        assert_eq!(listener.place(), u64::try_from(next).expect("small"));
    }
    assert_eq!(heard, (2..20).collect::<Vec<_>>());

    source.stop().await;
    assert_eq!(news(&mut listener).await, Update::Stale);
    assert_eq!(listener.place(), 0);
    let source = SourceNode::open(&root.path().join("source"), Time(2)).await;
    source.serve(mesh, ANNOUNCE_EVERY).await;
    assert_eq!(news(&mut listener).await, Update::Gap);
    source.stop().await;
}

/// Over a network that loses, duplicates and reorders: the events between two reported gaps
/// are complete, and the tail is reached.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_reports_every_gap() {
    let seed = number_from_env("KONBINI_SEED").unwrap_or(7);
    println!("seed {seed}");
    let root = scratch();
    let faults = LinkFaults { drop: 0.1, double: 0.1, delay_max: Duration::from_millis(2) };
    let network = InProcessNetwork::seeded(seed, faults);
    let mesh = Mesh::new(Arc::new(network.clone()), "shop");
    let source = SourceNode::open(&root.path().join("source"), Time(1)).await;
    let listened = Listener::start(&mesh, SOURCE, TIMEOUT).await;
    let mut listener = listened.expect("a subscription");
    source.serve(mesh, ANNOUNCE_EVERY).await;
    // The number of events heard, and that of the last one, once it is known.
    let (heard, end) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(u64::MAX)),
    );
    let (hears, ends) = (heard.clone(), end.clone());
    let listening = tokio::spawn(async move {
        let mut gaps = 0;
        // The last event, unless a gap was reported since.
        let mut last: Option<i64> = None;
        while listener.place() < ends.load(Ordering::Relaxed) {
            match soon("a word", listener.next()).await {
                Update::Events(events) => {
                    for event in &events {
                        let next = number(event);
                        assert!(
                            last.is_none_or(|last| next == last + 1),
                            "{next} after {last:?}"
                        );
                        last = Some(next);
                        hears.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Update::Gap | Update::Stale => {
                    (gaps, last) = (gaps + 1, None);
                }
            }
        }
        gaps
    });
    for next in 1_i64.. {
        if next == 300 {
            network.set_faults(LinkFaults::default());
        }
        // On a busy machine it hears nothing while the network loses events.
        let is_last = next > 300 && heard.load(Ordering::Relaxed) > 0;
        if is_last {
            end.store(next.unsigned_abs(), Ordering::Relaxed);
        }
        source.append(draft("k", next, next)).await;
        if is_last {
            break;
        }
        assert!(next < 100_000, "nothing is heard");
    }
    let gaps = listening.await.expect("what is heard is in order");
    println!("{heard:?} heard, {gaps} gaps");
    assert!(gaps > 1);
    source.stop().await;
}
