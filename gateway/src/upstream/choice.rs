//! Load balancing: the instance that a request is sent to.
//!
//! A service that owns state has one instance, and an older liveliness token belongs
//! to one that is stopping: the newest is chosen. Replicas are balanced by the power
//! of two choices on requests in flight: nearly as even as comparing all of them, and
//! without a herd to the replica that was idle a moment ago.
//!
//! **Invariants:** an ejected replica (`health`) is chosen only when all are ejected.
//! A request is the only way to learn that one is back, and a refused connection costs
//! microseconds; a gateway that refused by itself would be down for longer than the
//! service. A replica that has just failed is not chosen again while there is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::instance::UpstreamInstance;

/// Instances of a service that can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instances {
    /// The newest.
    Newest,
    /// Any replica: all hold the same state.
    #[cfg_attr(not(test), expect(dead_code, reason = "no service has replicas yet"))]
    Any,
}

/// Chooses one of `all`, which has the newest first; `turn` counts the choices, and
/// `failed` is the instance that has just failed this request.
pub(super) fn choose<'a>(
    all: &'a [Arc<UpstreamInstance>],
    which: Instances,
    turn: &AtomicUsize,
    failed: Option<&Arc<UpstreamInstance>>,
) -> Option<&'a Arc<UpstreamInstance>> {
    if which == Instances::Newest || all.len() < 2 {
        return all.first();
    }
    let (turn, now) = (turn.fetch_add(1, Ordering::Relaxed), Instant::now());
    let is_other =
        |one: &&Arc<UpstreamInstance>| failed.is_none_or(|failed| !Arc::ptr_eq(failed, one));
    let is_well = |one: &&Arc<UpstreamInstance>| is_other(one) && !one.health.is_ejected(now);
    less_loaded(all.iter().filter(is_well), turn)
        .or_else(|| less_loaded(all.iter().filter(is_other), turn))
        .or_else(|| all.first())
}

/// The less loaded of two instances; `turn` selects the pair, each equally often.
fn less_loaded<'a>(
    able: impl Iterator<Item = &'a Arc<UpstreamInstance>> + Clone,
    turn: usize,
) -> Option<&'a Arc<UpstreamInstance>> {
    let count = able.clone().count();
    let others = count.checked_sub(1)?;
    let first = turn % count;
    let Some(step) = (turn / count).checked_rem(others) else {
        return { able }.next();
    };
    let nth = |index| able.clone().nth(index);
    let (one, other) = (nth(first)?, nth((first + 1 + step) % count)?);
    Some(if other.in_flight() < one.in_flight() {
        other
    } else {
        one
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Upstream as Meter;
    use std::collections::HashMap;

    fn meter() -> Arc<Meter> {
        Arc::new(Meter::new("products"))
    }

    fn three() -> Vec<Arc<UpstreamInstance>> {
        let instance = |port| mesh::Instance::new("products", ([127, 0, 0, 1], port).into());
        [1, 2, 3]
            .map(|port| {
                Arc::new(UpstreamInstance::new(
                    "products",
                    &instance(port),
                    None,
                    meter(),
                ))
            })
            .into()
    }

    fn chosen(
        all: &[Arc<UpstreamInstance>],
        failed: Option<&Arc<UpstreamInstance>>,
    ) -> HashMap<u16, usize> {
        let (mut chosen, turn) = (HashMap::new(), AtomicUsize::new(0));
        for _ in 0..600 {
            let one = choose(all, Instances::Any, &turn, failed).unwrap();
            *chosen.entry(one.address.port()).or_default() += 1;
        }
        chosen
    }

    #[test]
    fn the_less_loaded_of_two_instances_is_chosen() {
        let all = three();
        assert_eq!(chosen(&all, None), [(1, 200), (2, 200), (3, 200)].into());
        let _busy = [all[0].begin(), all[0].begin(), all[1].begin()];
        // Every pair is equally frequent, and the idle instance is in two of three.
        assert_eq!(chosen(&all, None), [(2, 200), (3, 400)].into());
        assert_eq!(chosen(&all, Some(&all[2])), [(2, 600)].into());
        let newest = choose(&all, Instances::Newest, &AtomicUsize::new(1), None).unwrap();
        assert!(Arc::ptr_eq(newest, &all[0]));
    }

    #[test]
    fn ejected_replicas_are_chosen_last() {
        let all = three();
        let eject = |one: &UpstreamInstance| {
            while !one.health.is_ejected(Instant::now()) {
                one.health.failed(Instant::now());
            }
        };
        eject(&all[0]);
        assert_eq!(chosen(&all, None), [(2, 300), (3, 300)].into());
        eject(&all[1]);
        assert_eq!(chosen(&all, None), [(3, 600)].into());
        eject(&all[2]);
        assert_eq!(chosen(&all, None).len(), 3);
        assert!(choose(&[], Instances::Any, &AtomicUsize::new(0), None).is_none());
        let alone = &all[..1];
        assert_eq!(chosen(alone, Some(&all[0])), [(1, 600)].into());
    }
}
