//! Facts that left a service, and how the others hear of them.
//!
//! The life of an event: a service appends it to its [`Log`] in the transaction
//! that made it true; once that is durable, its [`Source`] rings by publishing
//! it over the [`Transport`]; every [`Follower`] applies it to its own store and
//! advances its cursor in one transaction; whoever missed the ring asks the log.
//! **The log is the letter, pub/sub is the doorbell.**
//!
//! | room | holds |
//! | --- | --- |
//! | `id`, `time`, `money` | the words all services share |
//! | `event`, `fact` | the envelope and the published language |
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
mod discovery;
mod endpoints;
mod event;
mod fact;
mod follow;
mod id;
mod listen;
mod local;
mod log;
mod money;
mod page;
mod parked;
mod source;
mod time;
mod transport;
mod zenoh;

pub use apply::Refusal;
pub use ask::{Ask, CodeOf, Contact, ContactOf, OneTimeCode};
pub use discovery::{Directory, Instance, Presence};
pub use endpoints::{Endpoints, EndpointsError, MutualTls, socket_path};
pub use event::{Event, Hash, Recorded};
pub use fact::{
    CodePurpose, Fact, ItemOrdered, KeyPublished, Listing, Mismatch, PublicationStatus,
    RevocationReason, Shortage, UserField,
};
pub use follow::{Follower, Following, State};
pub use id::{Id, Kind, kinds};
pub use listen::{Listener, Word};
pub use local::{Faults, LocalNetwork};
pub use log::{Draft, Log};
pub use money::{Currency, Money};
pub use page::Mark;
pub use parked::Parked;
pub use source::Source;
pub use time::{Time, now};
pub use transport::{Guard, Mesh, Question, Sighting, Subscription, Transport, TransportError};
pub use zenoh::ZenohTransport;

/// The store each service keeps its cursors and its log in.
pub use store;
