//! The mesh: durable logs of events, and how the services of a shop follow them.
//!
//! The life of an event: a service appends it to its [`Log`] in the transaction that made
//! it true; once that is durable, its [`Source`] announces it over the [`Transport`]; every
//! [`Follower`] applies it to its own store and moves its cursor in one transaction; a
//! follower that missed the announcement asks the log. The log is the truth, an
//! announcement only a hint.
//!
//! | module | holds |
//! | --- | --- |
//! | `event` | the envelope of a fact, marks and the running hash |
//! | `log`, `tail` | the durable, gap-free log in the caller's store, and its end in memory |
//! | `retention`, `trim` | deleting old events behind all followers |
//! | `state` | a source's present state, for new followers of a trimmed log |
//! | `verify` | the comparison of a log with its hashes |
//! | `protocol` | announcements, queries and pages |
//! | `source` | announces a log and serves queries of it |
//! | `follow`, `following` | a follower, and its handle |
//! | `apply`, `cursor`, `dead_letters` | applying events exactly once, and those refused |
//! | `salvage` | a damaged store with a log, as far as it reads |
//! | `listen` | a listener, which has no cursor |
//! | `transport`, `zenoh`, `in_process` | the interface and its two implementations |
//! | `ask` | requests for data that must not be in a log |
//! | `endpoints` | Zenoh's endpoints, and which are refused |
//! | `discovery` | live instances |
//!
//! **Invariants:** a sequence number is announced only when it is durable; a cursor moves
//! only together with its effect; a source without the hash that a follower remembers is
//! never followed further. This crate knows no HTTP.

mod apply;
mod ask;
mod cursor;
mod dead_letters;
mod discovery;
mod endpoints;
mod epochs;
mod event;
mod follow;
mod following;
mod in_process;
mod listen;
mod log;
mod protocol;
mod retention;
mod salvage;
mod source;
mod state;
mod tail;
mod transport;
mod trim;
mod verify;
mod zenoh;

pub use apply::{OnRefusal, Refusal};
pub use ask::{
    AccountContact, Ask, CodeOf, Contact, ContactOf, EmailUndo, EmailUndoOf, GuestDetails,
    OneTimeCode, OrderBody, OrderBodyOf, OrderChange, OrderChargesDetails, OrderDetails,
    OrderLineDetails, OrderOf, PEOPLE_MAX, PeopleQuery, TokenAnswer, TokenOf,
};
pub use dead_letters::{DeadLetter, dead_letter_count};
pub use discovery::{Directory, Instance, Presence};
pub use endpoints::{EndpointsError, MutualTls, ZenohEndpoints, check_socket_path, socket_path};
pub use epochs::lost_events;
pub use event::{Event, Hash, Mark, Recorded};
pub use follow::Follower;
pub use following::{FollowerState, Following, HOLD_MAX, Hold};
pub use in_process::{InProcessNetwork, LinkFaults};
pub use listen::{Listener, Update};
pub use log::{Cause, Draft, Log};
pub use protocol::StatePage;
pub use retention::LogError;
pub use salvage::{SalvagedService, salvage};
pub use source::Source;
pub use transport::{
    Guard, Liveliness, Mesh, Question, Sighting, Subscription, Transport, TransportError,
};
pub use zenoh::ZenohTransport;

/// The store each service keeps its cursors and its log in.
pub use store;
