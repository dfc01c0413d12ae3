//! Facts that left a service, and how the others hear of them.
//!
//! The life of an event: a service appends it to its [`Log`] in the transaction
//! that made it true; once that is durable, its [`Source`] rings by publishing
//! it over the [`Transport`]; every [`Follower`] applies it to its own store and
//! advances its cursor in one transaction; whoever missed the ring asks the log.
//! **The log is the letter, pub/sub is the doorbell.**
//!
//! | module | holds |
//! | --- | --- |
//! | `event` | the envelope of a fact |
//! | `log` | the durable, gap-free log in the caller's store |
//! | `page` | what travels: events, marks, questions and answers |
//! | `source` | publishes a log and answers for it |
//! | `follow`, `apply`, `parked` | applies a foreign log exactly once |
//! | `listen` | hears a foreign log from now on, for whoever keeps nothing |
//! | `transport`, `zenoh`, `local` | the one trait and its two implementations |
//! | `ask` | questions for what must not be in a log |
//! | `endpoints` | where Zenoh listens and connects, and what is refused |
//! | `discovery` | who is alive, and where |
//!
//! **Invariants:** a sequence number is published only when it is durable; a
//! cursor moves only together with its effect; a source that does not show the
//! hash a follower remembers is never followed further. This crate knows no HTTP.

mod apply;
mod ask;
mod dead_letters;
mod discovery;
mod endpoints;
mod event;
mod follow;
mod listen;
mod local;
mod log;
mod page;
mod source;
mod transport;
mod zenoh;

pub use apply::Refusal;
pub use ask::{Ask, CodeOf, Contact, ContactOf, OneTimeCode};
pub use dead_letters::DeadLetter;
pub use discovery::{Directory, Instance, Presence};
pub use endpoints::{Endpoints, EndpointsError, MutualTls, socket_path};
pub use event::{Event, Hash, Recorded};
pub use follow::{Follower, FollowerState, Following};
pub use listen::{Listener, Update};
pub use local::{Faults, LocalNetwork};
pub use log::{Draft, Log};
pub use page::Mark;
pub use source::Source;
pub use transport::{Guard, Mesh, Question, Sighting, Subscription, Transport, TransportError};
pub use zenoh::ZenohTransport;

/// The store each service keeps its cursors and its log in.
pub use store;
