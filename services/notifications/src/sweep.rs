//! Drops what is to go, a stretch at a time, so that no one commit is long: what
//! was told to people who are forgotten, and the messages of deleted webhooks.
//!
//! **Invariant:** what is left to do is in the store, so a sweep that was cut off
//! goes on at the next start.

use std::sync::Arc;
use std::time::Duration;

use chassis::Context;
use tokio::sync::Notify;

use crate::{store, webhooks};

/// How often it is looked although nothing rang.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Starts sweeping; `bell` rings when there is something to sweep.
pub(crate) fn start(ctx: &Context, bell: Arc<Notify>) {
    let database = ctx.store.clone();
    let sweeping = async move {
        loop {
            let swept = database.write_when_free(|tx| {
                Ok::<_, ::store::Error>(
                    store::forget_stretch(tx)? || webhooks::store::delete_stretch(tx)?,
                )
            });
            match swept.await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "what is to go cannot be dropped"),
            }
            let _ = tokio::time::timeout(LOOK_EVERY, bell.notified()).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(sweeping));
}
