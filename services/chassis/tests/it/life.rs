//! The life of a service: the lock of its folder, and draining.

use chassis::{Config, Error, ProcessContext};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use super::{shelf, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_folder_is_refused() {
    let test = start().await;
    let process = ProcessContext::new(test.folder.clone(), Config::default(), test.mesh.clone());
    let stop = CancellationToken::new();
    let started = |_| panic!("it listens");
    let second = chassis::run(
        shelf::NAME,
        chassis::opener(shelf::open, ()),
        process,
        stop,
        started,
    );
    match second.await {
        Err(error @ Error::Store(store::Error::Locked(_))) => assert_eq!(error.exit_code(), 1),
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(test.anonymous().get("/readyz").await.status, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_before_the_end() {
    let test = start().await;
    let anyone = test.anonymous();
    let address = test.address;
    let slow = tokio::spawn(async move { anyone.get("/slow").await });
    shelf::SLOW_BEGAN.notified().await;
    let ending = tokio::spawn(test.finish());
    let unreachable = || async { tokio::net::TcpStream::connect(address).await.is_err() };
    eventually("it takes no more requests", unreachable).await;
    assert!(!ending.is_finished() && !slow.is_finished());
    shelf::SLOW_MAY_END.notify_one();
    assert_eq!(slow.await.unwrap().status, 200);
    ending.await.unwrap();
}
