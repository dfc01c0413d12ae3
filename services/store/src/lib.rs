//! The embedded database each service owns: typed tables, one writer, group commit.
//!
//! A [`Store`] is a folder with one service's data. Readers look at it from any
//! thread ([`Read`]); every change goes through [`Store::write`], a closure that
//! one writer thread runs against a [`Tx`]: it reads its own writes, and a
//! closure that refuses leaves nothing behind. The writer drains what is queued,
//! journals all of it as one record, syncs once, and only then answers; the
//! database underneath gets the rows of many batches at a time.
//!
//! | module | holds |
//! | --- | --- |
//! | `table` | [`Table`] and [`Span`]: names and key ranges with types |
//! | `key`, `record` | how keys and values become bytes, and back |
//! | `read`, `tx` | what a reader and a transaction can do |
//! | `overlay` | the uncommitted writes of a batch, with undo |
//! | `writer` | the one writer thread: batch, journal, answer |
//! | `journal` | what makes a batch durable, and whole after a crash |
//! | `layers`, `view` | rows on their way to the database, and both as one |
//! | `room` | the disk's free space, and what is refused without any |
//! | `engine` | sled, and everything sled needs to be told |
//!
//! **Invariant:** an answer that says `Ok` was preceded by an `fdatasync` that
//! covers the write. **Invariant:** only `engine` names sled, so another ordered
//! key-value engine could stand behind the same tables one day. This crate knows
//! no event and no service.

mod engine;
mod error;
mod journal;
mod key;
mod layers;
mod overlay;
mod read;
mod record;
mod room;
mod store;
mod table;
mod tx;
mod view;
mod writer;

pub use error::Error;
pub use key::{Key, Prefix};
pub use read::Read;
pub use record::{Record, decode, encode};
pub use store::{Options, Store};
pub use table::{Span, Table};
pub use tx::Tx;

/// The largest stored value, in bytes. sled keeps larger messages in files it
/// never syncs; with 4 MiB segments a full leaf of values of this size stays
/// well inside the log (see `engine`). Whatever a client can make larger is
/// bounded and refused before it comes here.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;

/// The largest stored key, in bytes. Keys are repeated in sled's index pages, so
/// they are kept an order of magnitude below a value.
pub const KEY_BYTES_MAX: usize = 1024;
