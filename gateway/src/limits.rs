//! Rate limits and concurrency limits, per client and for all clients together.
//!
//! | limit | per | beyond it |
//! | --- | --- | --- |
//! | connections | an address | closed at once |
//! | requests a second | an address, a user | 429 with `Retry-After` |
//! | open streams | an address, all clients | 429, 503 |
//! | progress (`progress_timeout`) | a head, a body, a response | closed |
//!
//! Loopback clients are exempt, because a process on this host has access to the shop
//! anyway; clients behind a trusted proxy are not.
//!
//! **Invariant:** nothing here grows with the number of clients that were ever
//! seen: rates are counted in tables of a fixed size, and the rest is counted only
//! for as long as it is open.

mod rate;
mod table;

use std::net::IpAddr;

use chassis::Problem;
use chassis::client_address::network;
use chassis::occupancy::{Full, Occupancy, Place};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::{Id, kinds};

use crate::client::{Client, TrustedProxies};
use crate::config::{Config, LimitsConfig};
use crate::progress_timeout::ProgressTimeout;

use self::rate::{Left, Rate};

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
}

/// The remaining quotas of a request: its address's, then its user's.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rates {
    address: Option<Left>,
    user: Option<Left>,
}

impl ClientLimits {
    /// Creates the limits from the settings.
    pub(crate) fn new(config: &Config) -> Self {
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
        Self {
            proxies: TrustedProxies::new(&config.trusted_proxies),
            address,
            user,
            policy: policy.expect("names and numbers are visible ASCII"),
            connections: Occupancy::default(),
            streams: Occupancy::default(),
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

    /// The progress timeout of a request's body.
    pub(crate) fn body_progress_timeout(&self) -> ProgressTimeout {
        let limits = &self.settings;
        ProgressTimeout::new(limits.body_timeout(), limits.slowest_bytes_per_second)
    }

    /// The progress timeout of a client that reads a response.
    pub(crate) fn write_progress_timeout(&self) -> ProgressTimeout {
        let limits = &self.settings;
        ProgressTimeout::new(limits.write_timeout(), limits.slowest_bytes_per_second)
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
