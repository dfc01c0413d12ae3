//! What products tells of changes, heard live.
//!
//! **Invariant:** answers are told again only while every change is heard of: with
//! the first word missing nothing that was kept counts any more.

use std::sync::Arc;
use std::time::Duration;

use chassis::Context;
use mesh::{Event, Listener, Update};
use tokio::sync::watch;

use super::{Kept, SOURCE, Stripe};

/// How long without a word from products before it counts as not heard. It announces
/// itself four times in this.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a write's answer waits for what it rests on to be heard here. Mostly that
/// was long ago; else everything kept is given up instead.
const HEARD_TIMEOUT: Duration = Duration::from_millis(50);

/// How far products' log was heard; `None` while it is not.
pub(super) type Heard = watch::Sender<Option<u64>>;

/// Listens until the service ends.
///
/// # Errors
/// When the mesh refuses.
pub(super) async fn listen(ctx: &Context, kept: Arc<Kept>) -> Result<(), chassis::Error> {
    let mut listener = Listener::start(&ctx.mesh, SOURCE, SILENCE).await?;
    let listening = async move {
        loop {
            let word = listener.next().await;
            kept.hear(&word, listener.place());
        }
    };
    let stop = ctx.stop.clone();
    ctx.tasks.spawn(stop.run_until_cancelled_owned(listening));
    Ok(())
}

impl Kept {
    fn hear(&self, word: &Update, place: u64) {
        let heard = match word {
            Update::Events(events) => {
                events.iter().for_each(|event| self.take_in(event));
                Some(place)
            }
            Update::Gap => {
                self.empty();
                Some(place)
            }
            Update::Stale => {
                // Before it is empty, so that nothing is told from it meanwhile.
                self.heard.send_replace(None);
                self.empty();
                tracing::info!("no word from {SOURCE}: its answers are not kept");
                None
            }
        };
        // Afterwards: whoever waits for this place relies on what it changed.
        self.heard.send_replace(heard);
    }

    fn take_in(&self, event: &Event) {
        let fact = event.fact.as_ref();
        if let Some(id) = fact.and_then(|fact| fact.product_shown_anew()) {
            self.versions.changed(Stripe::of(&id.to_string()));
            self.versions.changed(Stripe::of(SOURCE));
        }
    }

    /// Whether every change is heard of.
    pub(super) fn is_informed(&self) -> bool {
        self.heard.borrow().is_some()
    }

    /// Returns when nothing is told any more that was so before `place`.
    pub(super) async fn catch_up(&self, place: u64) {
        let has_come = |heard: &Option<u64>| heard.is_none_or(|heard| heard >= place);
        if has_come(&self.heard.borrow()) {
            return;
        }
        let mut heard = self.heard.subscribe();
        let waited = tokio::time::timeout(HEARD_TIMEOUT, heard.wait_for(has_come)).await;
        if waited.is_err() {
            self.empty();
        }
    }
}
