//! Expiry: deletes inboxes of erased accounts and messages of deleted webhooks, in chunks.
//!
//! Chunks keep every transaction short. **Invariant:** what is left to delete is recorded in
//! the store, so an interrupted expiry continues at the next start.

use std::sync::Arc;
use std::time::Duration;

use chassis::Context;
use tokio::sync::Notify;

use crate::{tables, webhooks};

/// How often the tables are checked without a wake-up.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Starts the task; `wake_up` announces something to delete.
pub(crate) fn start(ctx: &Context, wake_up: Arc<Notify>) {
    let store = ctx.store.clone();
    let expiry = async move {
        loop {
            let deleted = store.write_when_free(|tx| {
                Ok::<_, ::store::Error>(
                    tables::forget_chunk(tx)? || webhooks::tables::delete_chunk(tx)?,
                )
            });
            match deleted.await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "expired rows cannot be deleted"),
            }
            let _ = tokio::time::timeout(CHECK_EVERY, wake_up.notified()).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(expiry));
}
