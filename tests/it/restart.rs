//! Socket activation: the gateway is restarted under load while its parent holds the
//! listening socket. New connections wait meanwhile, and none is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testkit::eventually;
use testkit::shop::Form;

use crate::world::closed;

const CLIENTS: usize = 8;
const RESTARTS: usize = 3;

/// Responses between two restarts, after which connections are kept alive again.
const BETWEEN: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_restart_refuses_no_connection() {
    let mut shop = closed();
    shop.hold_socket().unwrap();
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    let (answered, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (answered, stop) = (answered.clone(), stop.clone());
            let url = shop.url("/v1/categories");
            tokio::spawn(async move {
                let http = reqwest::Client::builder()
                    .timeout(Duration::from_secs(20))
                    .build()
                    .unwrap();
                let mut amiss = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match http.get(url.clone()).send().await {
                        Ok(answer) if answer.status() == 200 => {}
                        Ok(answer) => amiss.push(answer.text().await.unwrap_or_default()),
                        Err(error) => amiss.push(format!("{error:?}")),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                amiss
            })
        })
        .collect();
    for _ in 0..RESTARTS {
        let before = answered.load(Ordering::Relaxed);
        let used = || async { answered.load(Ordering::Relaxed) > before + BETWEEN };
        eventually("the shop is used", used).await;
        shop.terminate("gateway").await.unwrap();
        shop.start("gateway").unwrap();
    }
    shop.ready().await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let amiss = client.await.unwrap();
        assert!(amiss.is_empty(), "{} amiss: {}", amiss.len(), amiss[0]);
    }
    shop.terminate_all().await.unwrap();
}
