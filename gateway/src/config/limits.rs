//! `[gateway.limits]`: rate limits, connection limits and timeouts of clients.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[gateway.limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Open connections, 16..=65,536; further ones wait in the kernel's queue.
    pub connections: u32,
    /// Open connections of one address, 1..=65,536; further ones are closed at once. This
    /// host and trusted proxies are exempt.
    pub connections_per_address: u32,
    /// Open notification streams, 1..=65,536: fewer than connections, so that streams never
    /// take all connections.
    pub streams: u32,
    /// Open streams of one address, 1..=65,536. This host is exempt.
    pub streams_per_address: u32,
    /// Requests per second of one address in the long run, 0..=1,000,000; 0 for no limit.
    /// This host is exempt.
    pub address_per_second: u32,
    /// Requests that an address may send at once after a pause, 1..=1,000,000.
    pub address_burst: u32,
    /// Requests per second of one user, from any address, 0..=1,000,000; 0 for no limit.
    pub user_per_second: u32,
    /// Requests that a user may send at once after a pause, 1..=1,000,000.
    pub user_burst: u32,
    /// Requests in flight at one service, 8..=65,536. Near this bound requests are shed,
    /// anonymous reads first.
    pub in_flight: u32,
    /// Timeout of a request's head, and of an idle connection between requests, in
    /// milliseconds, 10..=300,000.
    pub head_ms: u64,
    /// Progress timeout of a request's body, in milliseconds, 10..=300,000.
    pub body_ms: u64,
    /// Progress timeout of a client that reads a response, in milliseconds, 10..=300,000.
    pub write_ms: u64,
    /// The slowest lasting rate of a transfer, in bytes per second, 1..=1,000,000: progress
    /// refills a progress timeout at this rate.
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

    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        const COUNT: RangeInclusive<u64> = 1..=65_536;
        const RATE: u64 = 1_000_000;
        const TIMEOUT: RangeInclusive<u64> = 10..=300_000;
        let bounds = [
            (
                "gateway.limits.connections",
                u64::from(self.connections),
                16..=65_536,
            ),
            (
                "gateway.limits.connections_per_address",
                self.connections_per_address.into(),
                COUNT,
            ),
            ("gateway.limits.streams", self.streams.into(), COUNT),
            (
                "gateway.limits.streams_per_address",
                self.streams_per_address.into(),
                COUNT,
            ),
            (
                "gateway.limits.address_per_second",
                self.address_per_second.into(),
                0..=RATE,
            ),
            (
                "gateway.limits.address_burst",
                self.address_burst.into(),
                1..=RATE,
            ),
            (
                "gateway.limits.user_per_second",
                self.user_per_second.into(),
                0..=RATE,
            ),
            (
                "gateway.limits.user_burst",
                self.user_burst.into(),
                1..=RATE,
            ),
            (
                "gateway.limits.in_flight",
                self.in_flight.into(),
                8..=65_536,
            ),
            ("gateway.limits.head_ms", self.head_ms, TIMEOUT),
            ("gateway.limits.body_ms", self.body_ms, TIMEOUT),
            ("gateway.limits.write_ms", self.write_ms, TIMEOUT),
            (
                "gateway.limits.slowest_bytes_per_second",
                self.slowest_bytes_per_second.into(),
                1..=RATE,
            ),
        ];
        chassis::config::ranges(&bounds)?;
        if self.streams >= self.connections {
            return Err("gateway.limits.streams must be less than connections".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting_at_fault() {
        LimitsConfig::default().check().unwrap();
        let fault = |limits: LimitsConfig| limits.check().unwrap_err();
        let slow = LimitsConfig { head_ms: 5, ..LimitsConfig::default() };
        assert_eq!(fault(slow), "gateway.limits.head_ms must be 10..300000");
        let all = LimitsConfig { streams: 4096, ..LimitsConfig::default() };
        assert!(fault(all).contains("less than connections"));
    }
}
