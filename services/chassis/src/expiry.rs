//! Expiry: deletes rows that have had their time, in batches beside the running work.
//!
//! One task for each kind of row: `Idempotency-Key`s, and the oldest events of the log.
//!
//! **Invariant:** a batch is one short transaction, so requests wait for none of them longer;
//! what is left over is found again at the next start. The time is that of a
//! [`SteadyClock`], since no deletion can be taken back.

use std::time::{Duration, Instant};

use model::Time;
use parking_lot::Mutex;
use store::{Store, Tx};

use crate::steady_clock::SteadyClock;

/// The interval at which rows are looked for.
const INTERVAL: Duration = Duration::from_secs(60);

/// The pause between two batches, which leaves the writer to requests.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// Deletes batches until dropped. `delete_batch` deletes what has expired at a time, and
/// returns whether there may be more; `rows` names them for the log.
pub(crate) async fn run(
    store: Store,
    rows: &'static str,
    delete_batch: impl Fn(&mut Tx<'_>, Time) -> Result<bool, store::Error> + Clone + Send + 'static,
) {
    let clock = Mutex::new(SteadyClock::start(model::now(), Instant::now()));
    loop {
        let now = clock.lock().read(model::now(), Instant::now());
        let delete_batch = delete_batch.clone();
        let pause = match store.write_when_free(move |tx| delete_batch(tx, now)).await {
            Ok(true) => BATCH_PAUSE,
            Ok(false) => INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "{rows} that have expired were not deleted; trying again");
                INTERVAL
            }
        };
        tokio::time::sleep(pause).await;
    }
}
