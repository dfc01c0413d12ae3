//! The limits of clients: rates, connections, streams, and memory.
//!
//! Everything that a client can make the gateway hold has a bound:
//!
//! | what | bound | per | beyond it |
//! | --- | --- | --- | --- |
//! | connections | `connections` | all | wait in the kernel's queue |
//! | connections | `connections_per_address` | address | closed at once |
//! | requests a second | `address_per_second`, `user_per_second` | address, user | 429 |
//! | requests in flight | `in_flight` (`shed`) | service | 503, reads first |
//! | open notification streams | `streams_per_address`, `streams` | address, all | 429, 503 |
//! | HTTP/2 streams | 100 (`connection`) | connection | refused by HTTP/2 |
//! | resets | 20 and 100 (`connection`) | connection | closed |
//! | head | 32 KiB, `head_ms` (`server`) | request | 431, closed |
//! | body | its route's bound, `body_ms` (`request_body`) | request | 413, 408 |
//! | unread bytes of a body | 64 KiB, 512 KiB (`connection`) | stream, connection | flow control |
//! | large responses being sent | an eighth, a quarter, three quarters of `sending_mib` (`send_budget`) | connection, address, all | 429, 429, 503 |
//! | small responses that wait, over HTTP/2 | a quarter of `sending_mib` | all | reset, closed |
//! | time to take a response | `write_ms`, or 1 s under pressure (`progress_timeout`) | connection, HTTP/2 stream | closed, reset |
//! | compressed responses | 64, 300 KiB each (`compress`) | all | sent plain |
//! | cached responses | `[gateway.cache] mib` | all | evicted |
//! | idle connection | `head_ms`; 60 s over HTTP/2 (`connection`) | connection | closed |
//! | shutdown | 8 s (`server`) | all | closed |
//!
//! The limits of an address do not hold for this host, because a process on it has access to
//! the shop anyway; they do for clients behind a trusted proxy.
//!
//! **Invariant:** nothing here grows with the number of clients that were ever
//! seen: rates are counted in tables of a fixed size, and the rest is counted only
//! for as long as it is open.

mod rate;
mod send_budget;
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use chassis::Problem;
use chassis::client_address::network;
use chassis::occupancy::{Full, Occupancy, Place};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::{Id, kinds};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, TrustedProxies};
use crate::config::{Config, LimitsConfig};
use crate::progress_timeout::{Pressure, ProgressTimeout};

use self::rate::{Left, Rate};
pub(crate) use self::send_budget::{ResponseSize, SMALL_BYTES, SendBudget, SendCharge, SendShare};

/// draft-ietf-httpapi-ratelimit-headers-10, §3 and §4.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// An open connection or stream of an address.
pub(crate) type AddressPlace = Place<u128>;

/// The limits and their counters.
pub(crate) struct ClientLimits {
    settings: LimitsConfig,
    proxies: TrustedProxies,
    address: Option<Rate>,
    user: Option<Rate>,
    policy: HeaderValue,
    connections: Occupancy<u128>,
    streams: Occupancy<u128>,
    send_budget: Arc<SendBudget>,
    /// What slow readers hold is needed.
    pressure: Pressure,
    /// The gateway drains.
    draining: Pressure,
}

/// The remaining quotas of a request: its address's, then its user's.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rates {
    address: Option<Left>,
    user: Option<Left>,
}

impl ClientLimits {
    /// Creates the limits from the settings; slow clients give way once the gateway is
    /// `draining`.
    pub(crate) fn new(config: &Config, draining: CancellationToken) -> Self {
        let settings = config.limits.clone();
        let address = Rate::new(
            "address",
            settings.address_per_second,
            settings.address_burst,
        );
        let user = Rate::new("user", settings.user_per_second, settings.user_burst);
        let policies: Vec<_> = [&address, &user]
            .into_iter()
            .flatten()
            .map(Rate::policy)
            .collect();
        let policy = HeaderValue::try_from(policies.join(", "));
        let send_budget = Arc::new(SendBudget::new(settings.sending_mib));
        let (budget, ending) = (send_budget.clone(), draining.clone());
        let pressure = Pressure::new(move || ending.is_cancelled() || budget.is_scarce());
        let draining = Pressure::new(move || draining.is_cancelled());
        Self {
            proxies: TrustedProxies::new(&config.trusted_proxies),
            address,
            user,
            policy: policy.expect("names and numbers are visible ASCII"),
            connections: Occupancy::default(),
            streams: Occupancy::default(),
            send_budget,
            pressure,
            draining,
            settings,
        }
    }

    /// The configured limits.
    pub(crate) fn settings(&self) -> &LimitsConfig {
        &self.settings
    }

    /// The proxies whose forwarding headers are trusted.
    pub(crate) fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// The bounds of what is being sent.
    pub(crate) fn send_budget(&self) -> &Arc<SendBudget> {
        &self.send_budget
    }

    /// The progress timeout of a request's body.
    pub(crate) fn body_progress_timeout(&self) -> ProgressTimeout {
        let limits = &self.settings;
        ProgressTimeout::new(
            limits.body_timeout(),
            limits.slowest_bytes_per_second,
            self.draining.clone(),
        )
    }

    /// The progress timeout of a client that reads a response.
    pub(crate) fn write_progress_timeout(&self) -> ProgressTimeout {
        let limits = &self.settings;
        ProgressTimeout::new(
            limits.write_timeout(),
            limits.slowest_bytes_per_second,
            self.pressure.clone(),
        )
    }

    /// The progress timeout of an HTTP/2 connection as a whole: twice that of its streams, so
    /// that a stalled one is reset and the others go on.
    pub(crate) fn connection_progress_timeout(&self) -> ProgressTimeout {
        let limits = &self.settings;
        let (timeout, rate) = (2 * limits.write_timeout(), limits.slowest_bytes_per_second);
        ProgressTimeout::new(timeout, rate, self.pressure.clone())
    }

    /// A place for a connection; `None`: its address has enough.
    pub(crate) fn connection(&self, ip: IpAddr) -> Option<AddressPlace> {
        let ip = ip.to_canonical();
        let is_exempt = ip.is_loopback() || self.proxies.trust(ip);
        let most = if is_exempt {
            usize::MAX
        } else {
            self.settings.connections_per_address as usize
        };
        // The acceptor bounds all together, by `connections`.
        self.connections.enter(network(ip), most, usize::MAX).ok()
    }

    /// A place for an answer that does not end.
    ///
    /// # Errors
    /// 429 when the address has enough, 503 when all together have.
    pub(crate) fn stream(&self, client: &Client) -> Result<AddressPlace, Problem> {
        let most = if client.is_local {
            usize::MAX
        } else {
            self.settings.streams_per_address as usize
        };
        let total_max = self.settings.streams as usize;
        let place = self.streams.enter(network(client.ip), most, total_max);
        place.map_err(|full| match full {
            Full::Total => Problem::busy(),
            Full::Key => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                "Too many streams are open",
                format!("{most} streams are open from this address; close one of them"),
            )
            .header(RETRY_AFTER, "5"),
        })
    }

    /// Counts a request against the rate limit of its address, before any other work.
    ///
    /// # Errors
    /// 429 when the quota is used up.
    pub(crate) fn request(&self, client: &Client, rates: &mut Rates) -> Result<(), Problem> {
        match &self.address {
            Some(rate) if !client.is_local => {
                let counted = rate.count(network(client.ip));
                rate::admit(counted, &mut rates.address)
            }
            _ => Ok(()),
        }
    }

    /// Counts a request against the rate limit of its user, from any address.
    ///
    /// # Errors
    /// 429 when the quota is used up.
    pub(crate) fn user(
        &self,
        client: &Client,
        user: Id<kinds::User>,
        rates: &mut Rates,
    ) -> Result<(), Problem> {
        match &self.user {
            Some(rate) if !client.is_local => {
                let counted = rate.count(user.uuid().as_u128());
                rate::admit(counted, &mut rates.user)
            }
            _ => Ok(()),
        }
    }

    /// Adds the rate limit headers, if the client is counted.
    pub(crate) fn write_headers(&self, rates: &Rates, headers: &mut HeaderMap) {
        let Some(value) = rate::value(rates.address.as_ref(), rates.user.as_ref()) else {
            return;
        };
        headers.insert(LIMIT, value);
        headers.insert(POLICY, self.policy.clone());
    }
}
