//! The embedded database each service owns: typed tables, one writer, group commit.
//!
//! A [`Store`] is a folder with one service's data. Any thread reads it ([`Read`]); every
//! change goes through [`Store::write`], a closure that the one writer thread runs against a
//! [`Tx`]. The closure reads its own writes, and one that refuses is rolled back. The writer
//! takes all queued closures as one batch, journals it as one record, syncs once, and only
//! then completes the callers (group commit); checkpoints move the rows of many batches into
//! the database at a time.
//!
//! | module | holds |
//! | --- | --- |
//! | `table` | [`Table`] and [`Span`]: names and key ranges with types |
//! | `key`, `record` | codecs of keys and values |
//! | `read`, `tx` | reads, and transactions |
//! | `overlay` | the uncommitted writes of a batch, with undo |
//! | `writer` | the writer thread: batch, journal, complete |
//! | `deferred` | visible rows of which nobody awaits the sync |
//! | `journal` | the write-ahead journal, its checkpoints and its recovery |
//! | `salvage` | what reads of a damaged store, in a new one |
//! | `snapshot`, `taps` | a copy of a store that serves meanwhile |
//! | `builder` | a new store from a copy, or from what was salvaged |
//! | `compact` | a store at rest, written anew |
//! | `rows` | the encoding of rows in records and snapshots |
//! | `stamp` | how far the database has the journal |
//! | `memtables`, `merge`, `view` | committed rows above the database, and both as one |
//! | `disk_health` | failed reads and stalled writes, for readiness |
//! | `disk_reserve` | refusal of batches on a nearly full disk |
//! | `engine` | sled and its settings |
//!
//! **Invariant:** a result of `Ok` was preceded by an `fdatasync` that covers the write, but
//! for [`Store::write_deferred`].
//! **Invariant:** only `engine` names sled, so another ordered key-value engine could
//! stand behind the same tables. This crate knows no event and no service.

mod builder;
mod compact;
mod deferred;
mod disk_health;
mod disk_reserve;
mod engine;
mod error;
mod journal;
mod key;
mod memtables;
mod merge;
mod options;
mod overlay;
mod read;
mod record;
mod rows;
mod salvage;
mod snapshot;
mod stamp;
mod store;
mod table;
mod taps;
mod tx;
mod view;
mod writer;

pub use builder::StoreBuilder;
pub use compact::{Compacted, compact, is_open};
pub use error::Error;
pub use key::{Key, Prefix};
pub use options::{Options, WriterMetrics};
pub use read::Read;
pub use record::{Record, decode, encode};
pub use salvage::{Salvaged, SalvagedTable, salvage};
pub use snapshot::{Frame, FrameKind, Snapshot};
pub use store::Store;
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
