//! Invalidation by products' log, which the gateway listens to, and by writes that pass
//! through.
//!
//! **Invariant:** cached responses are served only while every change is observed: after a
//! gap in the announcements no entry counts any more.

use std::sync::Arc;
use std::time::Duration;

use chassis::Context;
use chassis::versions::Stripe;
use mesh::{Event, Listener, Update};
use model::{Id, kinds};
use tokio::sync::watch;

use super::{CacheState, SOURCE};

/// How long products may send no announcement before the cache counts as stale; it sends
/// four in this time.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// How long a write's response waits until the events it depends on are observed here.
/// Usually they were long ago; after the timeout every entry is dropped instead.
const CATCH_UP_TIMEOUT: Duration = Duration::from_millis(50);

/// The last observed position of products' log; `None` while stale.
pub(super) type Observed = watch::Sender<Option<u64>>;

/// Listens until the service ends.
///
/// # Errors
/// When the mesh refuses the subscription.
pub(super) async fn listen(ctx: &Context, state: Arc<CacheState>) -> Result<(), chassis::Error> {
    let mut listener = Listener::start(&ctx.mesh, SOURCE, STALE_AFTER).await?;
    let listening = async move {
        loop {
            let update = listener.next().await;
            state.on_update(&update, listener.place());
        }
    };
    let stop = ctx.stop.clone();
    ctx.tasks.spawn(stop.run_until_cancelled_owned(listening));
    Ok(())
}

impl CacheState {
    fn on_update(&self, update: &Update, place: u64) {
        let observed = match update {
            Update::Events(events) => {
                events.iter().for_each(|event| self.on_event(event));
                Some(place)
            }
            Update::Gap => {
                self.clear();
                Some(place)
            }
            Update::Stale => {
                // Before the entries are dropped, so that none is served meanwhile.
                self.observed.send_replace(None);
                self.clear();
                tracing::info!("no announcement from {SOURCE}: its responses are not cached");
                None
            }
        };
        // Afterwards: a request that waits for this position relies on the invalidation.
        self.observed.send_replace(observed);
    }

    fn on_event(&self, event: &Event) {
        let fact = event.fact.as_ref();
        if let Some(id) = fact.and_then(|fact| fact.product_shown_anew()) {
            self.versions.invalidate(Stripe::of(&id.to_string()));
            self.versions.invalidate(Stripe::of(SOURCE));
        }
    }

    /// Whether every change is observed.
    pub(super) fn is_informed(&self) -> bool {
        self.observed.borrow().is_some()
    }

    /// Waits until no entry from before `place` is served any more.
    pub(super) async fn catch_up(&self, place: u64) {
        let is_reached = |observed: &Option<u64>| observed.is_none_or(|observed| observed >= place);
        if is_reached(&self.observed.borrow()) {
            return;
        }
        let mut observed = self.observed.subscribe();
        let waited = tokio::time::timeout(CATCH_UP_TIMEOUT, observed.wait_for(is_reached)).await;
        if waited.is_err() {
            self.clear();
        }
    }
}

/// The cached responses that a write invalidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// None at once: the effects arrive as announcements.
    Nothing,
    /// Lists, but no single product.
    Lists,
    /// One product, and lists.
    Product(Id<kinds::Product>),
    /// All, whatever the status of the response: an import that fails late has
    /// written much.
    Anything,
}

impl Reach {
    /// The reach of a write to this service and path.
    pub(super) fn of(service: &str, path: &str) -> Self {
        if service != SOURCE {
            return Self::Nothing;
        }
        if path == "/v1/products" {
            return Self::Lists;
        }
        // A path that is not in the canonical form of a product's path may be an alias
        // of one.
        let rest = path.strip_prefix("/v1/products/");
        let id = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
        id.map_or(Self::Anything, Self::Product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_invalidates_its_product_or_more() {
        let id: Id<kinds::Product> = "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let product = format!("/v1/products/{id}");
        assert_eq!(Reach::of("products", &product), Reach::Product(id));
        let stock = format!("{product}/stock");
        assert_eq!(Reach::of("products", &stock), Reach::Product(id));
        assert_eq!(Reach::of("products", "/v1/products"), Reach::Lists);
        for path in ["/v1/products/import", "/v1/products/prod%5F01", "/v1/x"] {
            assert_eq!(Reach::of("products", path), Reach::Anything, "{path}");
        }
        assert_eq!(Reach::of("orders", "/v1/orders"), Reach::Nothing);
    }
}
