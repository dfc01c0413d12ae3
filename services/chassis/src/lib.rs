//! The chassis of every service: its life from recovery to draining, and the conventions
//! of the HTTP contract.
//!
//! A service is a function `open(Context) -> OpenedService`: it gets its store, its log,
//! the mesh and the verification of tokens, declares what it follows, and returns its
//! routes. [`run`] does the rest.
//!
//! | module | holds |
//! | --- | --- |
//! | `run`, `context` | the life of a service, and its interface to the chassis |
//! | `routes` | routers, made from the route table |
//! | `folder`, `config`, `limits` | the data folder, the settings, the bounds of all services |
//! | `token`, `trust`, `caller` | access tokens: signing, verification, authorisation |
//! | `mac`, `rate_limit` | message authentication codes, and counters of attempts |
//! | `fields` | request bodies, read field by field with every fault collected |
//! | `problem`, `json`, `page`, `etag`, `idempotency` | the conventions of the HTTP contract |
//! | `erasures` | the list of erased people beside a store, for when an older copy is put back |
//! | `people_index` | people by the parts of their address and name, for the search of staff |
//! | `export`, `spreadsheet` | streamed exports, and tables for spreadsheets |
//! | `http` | the layers around every router, and the health pages |
//! | `request_id`, `trace`, `client_address`, `accept_language` | the identity of a request |
//! | `event_stream` | streams of server-sent events |
//! | `cache_tags` | response headers that control the gateway's cache |
//! | `in_process` | the transport between services of one process |
//! | `delivery` | the delivery queue: due rows, backoff, the worker |
//! | `outbound` | the HTTP client for hosts on the internet |
//! | `health`, `status` | readiness, `/v1/status` and `/v1/events`, also on the control socket |
//! | `backfill` | what is made of a table's rows, made for those of an earlier version |
//! | `dead_letters` | events that could not be applied, as news for staff |
//! | `check`, `positions` | consistency checks within a service, and across services |
//! | `snapshot`, `backup_state` | copies of a running service, and how the last backup ended |
//! | `supervision` | progress and reloading, for a supervisor such as systemd |
//! | `expiry`, `steady_clock` | deletion of what has had its time, and a clock for deadlines that does not believe every jump |
//! | `telemetry`, `log_limit` | logs and metrics, and the rate limit of a line that clients can cause |
//!
//! **Invariant:** this crate knows no product and no order.

pub mod accept_language;
pub mod backfill;
pub mod backup_state;
pub mod cache_tags;
pub mod caller;
pub mod check;
pub mod client_address;
pub mod config;
pub mod context;
pub mod dead_letters;
pub mod delivery;
pub mod erasures;
mod error;
pub mod etag;
pub mod event_stream;
mod expiry;
pub mod export;
pub mod fields;
pub mod folder;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
pub mod http;
pub mod idempotency;
pub mod in_process;
pub mod json;
pub mod limits;
pub mod log_limit;
pub mod mac;
pub mod occupancy;
pub mod outbound;
pub mod page;
pub mod people_index;
mod positions;
pub mod problem;
pub mod rate_limit;
pub mod request_id;
mod routes;
pub mod run;
mod snapshot;
pub mod spreadsheet;
pub mod status;
mod steady_clock;
mod supervision;
pub mod telemetry;
pub mod token;
pub mod trace;
pub mod trust;
pub mod versions;

pub use backfill::{Backfill, not_built_yet};
pub use caller::{Admin, AnyCaller, Caller, Staff};
pub use config::Config;
pub use context::{Context, OpenedService};
pub use error::Error;
pub use folder::Folder;
pub use health::Health;
pub use json::Json;
pub use problem::{FieldError, Problem};
pub use routes::{Routes, ServiceRoutes};
pub use run::{Open, Opening, ProcessContext, opener, run};
pub use steady_clock::{SteadyClock, built_at, is_clock_set};
pub use supervision::Supervision;
pub use telemetry::Collectors;
pub use token::Role;
pub use trust::Trust;
