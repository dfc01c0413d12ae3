//! Which events of other services are told to whom.
//!
//! **Invariant:** the notification is written in the transaction that moves the
//! cursor over its event, so it is told once, however often the event arrives.

use ::store::Tx;
use mesh::{Event, Fact, Refusal};

use crate::domain::{Retention, Topic};
use crate::live::Bells;
use crate::store;

/// Whose events.
pub(crate) const SOURCES: [&str; 2] = ["orders", "users"];

/// Tells what an event means to a person, and wakes their streams once it is
/// durable.
pub(crate) fn handler(
    bells: Bells,
) -> impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static {
    move |tx, event| {
        let (user, topic) = match event.fact {
            Some(Fact::UserRegistered { user_id, .. }) => (user_id, Topic::UserRegistered {}),
            Some(Fact::OrderConfirmed { order_id, user_id }) => {
                (user_id, Topic::OrderConfirmed { order_id })
            }
            Some(Fact::OrderRejected { order_id, user_id }) => {
                (user_id, Topic::OrderRejected { order_id })
            }
            _ => return Ok(()),
        };
        store::tell(tx, &Retention::DEFAULT, user, topic, event.at)?;
        let bells = bells.clone();
        tx.on_durable(move || bells.ring(user));
        Ok(())
    }
}
