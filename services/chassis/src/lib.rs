//! Everything a service is before it has a purpose.
//!
//! A service is a function `open(Context) -> Service`: it gets its store, its
//! log, the mesh and the shop's trust, declares what it follows, and hands back
//! a router. [`run`] does the rest: recovery, followers, binding, liveliness,
//! readiness, draining.
//!
//! | module | holds |
//! | --- | --- |
//! | `routes` | routers, made from the route table |
//! | `run`, `context` | a service's life from opening to draining |
//! | `folder` | the data folder: its marker, its rooms, its keys |
//! | `config` | `konbini.toml`, read and checked in one place |
//! | `limits` | every bound that is not one service's own |
//! | `token`, `trust`, `caller` | making tokens, believing them, and who may do what |
//! | `problem`, `json`, `page`, `etag` | the HTTP contract's conventions |
//! | `idempotency` | requests that may be sent twice |
//! | `http`, `trace` | the layers around every router, the health pages, and whose trace a request is part of |
//! | `cache_tags` | what services tell the gateway beside their answers |
//! | `local_service` | services of one process, called without a socket |
//! | `check` | what the operator can have compared |
//! | `operating` | how a service stands, its log, what it could not handle |
//! | `outbound` | the HTTP client for hosts on the internet |
//! | `telemetry` | logs and metrics |
//!
//! **Invariant:** this crate knows no product and no order.

pub mod cache_tags;
pub mod caller;
pub mod check;
pub mod config;
pub mod context;
mod error;
pub mod etag;
pub mod folder;
pub mod http;
pub mod idempotency;
pub mod in_process;
pub mod json;
pub mod limits;
pub mod operating;
pub mod outbound;
pub mod page;
pub mod problem;
mod routes;
pub mod run;
pub mod telemetry;
pub mod token;
pub mod trace;
pub mod trust;

pub use caller::{Admin, Caller, Role, Staff};
pub use config::Config;
pub use context::{Context, Service};
pub use error::Error;
pub use folder::Folder;
pub use json::Json;
pub use problem::{FieldError, Problem};
pub use routes::{Endpoints, Routes};
pub use run::{Open, run};
pub use trust::Trust;
