//! The limits and timeouts of all services, with the reason for each number.
//!
//! A limit of one service alone is a constant of that service, and the limits of a route
//! are columns of the route table.
//!
//! **Invariant:** a timeout is shorter than the timeout of the operation around it; the
//! assertions below hold that at compile time.

use std::time::Duration;

/// The time to drain requests in flight. A process ends within 10 s of SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// The timeout of catching up with a source whose event a projection lacks.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// The default and the maximum of `?limit=`. A page of the maximum is one response of some
/// 100 KiB, which is encoded in memory.
pub const PAGE_ITEMS: (usize, usize) = (20, 100);

/// The lifetime of an access token, and of a revocation that a disconnected service misses.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// The lifetime of an access token that was given for an API key, at most. The gateway asks
/// for the next one shortly before.
pub const KEY_TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

/// The tolerated difference between clocks of a shop's hosts.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(30);

/// A bearer token, in bytes; ours have about 400.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// A token's footer, in bytes, bounded before it is parsed; ours has about 70.
pub const FOOTER_BYTES_MAX: usize = 256;

/// The number of cached verified tokens: one per busy customer, about 1 KiB each.
pub const TOKENS_CACHED_MAX: usize = 4096;

/// An `X-Request-Id` or `Idempotency-Key`, in bytes.
pub const HEADER_ID_BYTES_MAX: usize = 255;

const _: () = assert!(KEY_TOKEN_LIFE.as_secs() <= ACCESS_TOKEN_LIFE.as_secs());
const _: () = assert!(DRAIN_TIMEOUT.as_secs() < 10);
const _: () = assert!(CATCH_UP_TIMEOUT.as_secs() < api::REQUEST_TIMEOUT.as_secs());
