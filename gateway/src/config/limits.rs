//! `[gateway.limits]`: rate limits, connection limits and timeouts of clients.

use std::time::Duration;

use chassis::config::ensure;
use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[gateway.limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Open connections, 16..=65,536; further ones wait in the kernel's queue.
    #[garde(range(min = 16, max = 65_536))]
    pub connections: u32,
    /// Open connections of one address, 1..=65,536; further ones are closed at once. This
    /// host and trusted proxies are exempt.
    #[garde(range(min = 1, max = 65_536))]
    pub connections_per_address: u32,
    /// Open notification streams, 1..=65,536: fewer than connections, so that streams never
    /// take all connections.
    #[garde(range(min = 1, max = 65_536))]
    #[garde(custom(|_, _| ensure(self.streams < self.connections, "must be less than connections")))]
    pub streams: u32,
    /// Open streams of one address, 1..=65,536. This host is exempt.
    #[garde(range(min = 1, max = 65_536))]
    pub streams_per_address: u32,
    /// Requests per second of one address in the long run, 0..=1,000,000; 0 for no limit.
    /// This host is exempt.
    #[garde(range(max = 1_000_000))]
    pub address_per_second: u32,
    /// Requests that an address may send at once after a pause, 1..=1,000,000.
    #[garde(range(min = 1, max = 1_000_000))]
    pub address_burst: u32,
    /// Requests per second of one user, from any address, 0..=1,000,000; 0 for no limit.
    #[garde(range(max = 1_000_000))]
    pub user_per_second: u32,
    /// Requests that a user may send at once after a pause, 1..=1,000,000.
    #[garde(range(min = 1, max = 1_000_000))]
    pub user_burst: u32,
    /// Requests in flight at one service, 8..=65,536. Near this bound requests are shed,
    /// anonymous reads first.
    #[garde(range(min = 8, max = 65_536))]
    pub in_flight: u32,
    /// Memory for responses that clients have not taken yet, in MiB, 4..=65,536. One connection
    /// may hold an eighth of it, one address a quarter.
    #[garde(range(min = 4, max = 65_536))]
    pub sending_mib: u32,
    /// Timeout of a request's head, and of an idle connection between requests, in
    /// milliseconds, 10..=300,000.
    #[garde(range(min = 10, max = 300_000))]
    pub head_ms: u64,
    /// Progress timeout of a request's body, in milliseconds, 10..=300,000.
    #[garde(range(min = 10, max = 300_000))]
    pub body_ms: u64,
    /// Progress timeout of a client that reads a response, in milliseconds, 10..=300,000.
    #[garde(range(min = 10, max = 300_000))]
    pub write_ms: u64,
    /// The slowest lasting rate of a transfer, in bytes per second, 1..=1,000,000: progress
    /// refills a progress timeout at this rate.
    #[garde(range(min = 1, max = 1_000_000))]
    pub slowest_bytes_per_second: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 256,
            streams: 3584,
            streams_per_address: 64,
            address_per_second: 100,
            address_burst: 400,
            user_per_second: 50,
            user_burst: 200,
            in_flight: 1024,
            sending_mib: 16,
            head_ms: 10_000,
            body_ms: 10_000,
            write_ms: 60_000,
            slowest_bytes_per_second: 1024,
        }
    }
}

impl LimitsConfig {
    /// [`head_ms`](Self::head_ms).
    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_ms)
    }

    /// [`body_ms`](Self::body_ms).
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_ms)
    }

    /// [`write_ms`](Self::write_ms).
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting_at_fault() {
        LimitsConfig::default().validate().unwrap();
        let fault = |limits: LimitsConfig| limits.validate().unwrap_err().to_string();
        let slow = LimitsConfig { head_ms: 5, ..LimitsConfig::default() };
        assert_eq!(fault(slow), "head_ms: lower than 10\n");
        let all = LimitsConfig { streams: 4096, ..LimitsConfig::default() };
        assert!(fault(all).contains("less than connections"));
    }
}
