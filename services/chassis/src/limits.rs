//! Every bound that is not one service's own, with the reason for its number.

use std::time::Duration;

/// How long a service waits for requests in flight when it is told to end.
/// SIGTERM promises to end within 10 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a service that misses something in its projection lets the source
/// tell it before it refuses.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// The default and the largest page of a list.
pub const PAGE_ITEMS: (usize, usize) = (20, 100);

/// An access token's life. Also the longest a cut-off verifier can be wrong.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// How far clocks of two hosts of one shop may differ.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(30);

/// A bearer token, in bytes; ours have about 400.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// A token's footer, in bytes, bounded before it is parsed; ours has about 70.
pub const FOOTER_BYTES_MAX: usize = 256;

/// How many verified tokens are remembered: one a busy customer, about 1 KiB each.
pub const TOKENS_CACHED_MAX: usize = 4096;

/// An `X-Request-Id` or `Idempotency-Key`, in bytes.
pub const HEADER_ID_BYTES_MAX: usize = 255;

const _: () = assert!(DRAIN_TIMEOUT.as_secs() < 10);
const _: () = assert!(CATCH_UP_TIMEOUT.as_secs() < api::REQUEST_TIMEOUT.as_secs());
