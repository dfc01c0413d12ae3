//! Rate limit of requests by the generic cell rate algorithm (GCRA): a quota that refills
//! at a steady rate.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use chassis::Problem;
use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::table::RateTable;

/// A rate limit, counted for each of its keys.
pub(super) struct Rate {
    name: &'static str,
    per_second: u32,
    burst: u32,
    limiter: RateLimiter<u128, RateTable, MonotonicClock, StateInformationMiddleware>,
}

/// The remaining quota of one key.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    name: &'static str,
    /// Requests that may be sent at once.
    requests: u32,
    /// Time until the whole burst may be sent again.
    whole_in_seconds: u32,
    /// Time until one may be sent, if none may.
    wait: Option<Duration>,
}

impl Rate {
    /// Allows `per_second` in the long run and `burst` after a pause; `None` without a
    /// bound.
    pub(super) fn new(name: &'static str, per_second: u32, burst: u32) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let quota = Quota::per_second(rate).allow_burst(NonZeroU32::new(burst)?);
        let limiter = RateLimiter::new(quota, RateTable::new(), MonotonicClock);
        Some(Self { name, per_second, burst, limiter })
    }

    /// The value of `RateLimit-Policy`.
    pub(super) fn policy(&self) -> String {
        let Self { name, burst, .. } = self;
        let window_seconds = self.seconds(*burst).max(1);
        format!("\"{name}\";q={burst};w={window_seconds}")
    }

    /// Counts one request.
    pub(super) fn count(&self, key: u128) -> Left {
        let (requests, wait) = match self.limiter.check_key(&key) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => (0, Some(until.wait_time_from(self.limiter.clock().now()))),
        };
        Left {
            name: self.name,
            requests,
            whole_in_seconds: self.seconds(self.burst - requests.min(self.burst)),
            wait,
        }
    }

    /// The seconds in which so many requests are refilled.
    fn seconds(&self, requests: u32) -> u32 {
        requests.div_ceil(self.per_second)
    }
}

/// Records the remaining quota of a key.
///
/// # Errors
/// 429 when the quota is used up.
pub(super) fn admit(left: Left, place: &mut Option<Left>) -> Result<(), Problem> {
    let refused = left.wait.map(|wait| refusal(left.name, wait));
    *place = Some(left);
    refused.map_or(Ok(()), Err)
}

/// The value of `RateLimit`; `None` if nothing was counted.
pub(super) fn value(address: Option<&Left>, user: Option<&Left>) -> Option<HeaderValue> {
    let mut text = String::new();
    for left in [address, user].into_iter().flatten() {
        let Left { name, requests, whole_in_seconds, .. } = left;
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}\"{name}\";r={requests};t={whole_in_seconds}");
    }
    let text = Some(text).filter(|text| !text.is_empty())?;
    HeaderValue::try_from(text).ok()
}

fn refusal(name: &'static str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        format!("the rate limit of this {name} is used up; nothing was written, try again in {seconds} s"),
    )
    .member("violated-policies", [name])
    .header(RETRY_AFTER, &seconds.max(1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_refused_with_the_wait() {
        let rate = Rate::new("address", 1, 3).unwrap();
        assert_eq!(rate.policy(), "\"address\";q=3;w=3");
        let left: Vec<_> = (0..4).map(|_| rate.count(7)).collect();
        let requests: Vec<_> = left.iter().map(|left| left.requests).collect();
        assert_eq!(requests, [2, 1, 0, 0]);
        let text = value(Some(&left[0]), Some(&left[3])).unwrap();
        assert_eq!(text, "\"address\";r=2;t=1, \"address\";r=0;t=3");
        let mut place = None;
        assert!(admit(left[2].clone(), &mut place).is_ok());
        let refused = admit(left[3].clone(), &mut place).unwrap_err();
        assert_eq!(refused.status(), 429);
        assert!(left[3].wait.unwrap() <= Duration::from_secs(1));
        assert_eq!(rate.count(8).requests, 2, "another key has its own quota");
        assert!(Rate::new("address", 0, 1).is_none());
    }
}
