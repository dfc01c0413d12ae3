//! The settings of the gateway: `[gateway]` and its sub-sections, such as `[gateway.cache]`.

mod acme;
mod cors;
mod limits;
mod monitoring;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};

use chassis::config::ensure;
use garde::Validate;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::acme::AcmeConfig;
pub use self::cors::CorsConfig;
pub use self::limits::LimitsConfig;
pub use self::monitoring::{MonitoringConfig, PingUrl};
pub use self::tls::TlsConfig;

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address at which the shop listens.
    #[garde(skip)]
    pub listen: SocketAddr,
    /// TLS at that address.
    #[garde(dive(self.acme))]
    pub tls: TlsConfig,
    /// Automatic certificates.
    #[garde(dive)]
    pub acme: AcmeConfig,
    /// Networks, such as `10.0.0.0/8`, of proxies whose `Forwarded` (RFC 7239) or
    /// `X-Forwarded-For` names the client. Such a proxy must name the client of every
    /// request it forwards: one without a client counts as the proxy's own.
    #[garde(custom(|_, _| ensure(
        self.trusted_proxies.iter().all(|network| network.prefix_len() > 0),
        "must not cover every address: name the networks of the proxies",
    )))]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every request is logged, as a line of the target `access`. Off by default:
    /// metrics count requests either way, and a line per request wears a small host's
    /// disk.
    #[garde(skip)]
    pub access_log: bool,
    /// Rate limits, connection limits and timeouts.
    #[garde(dive)]
    pub limits: LimitsConfig,
    /// Access by scripts of other sites.
    #[garde(dive)]
    pub cors: CorsConfig,
    /// Whether text is compressed for clients that accept gzip or brotli, at levels for a
    /// small host.
    #[garde(skip)]
    pub compression: bool,
    /// The response cache.
    #[garde(dive)]
    pub cache: CacheConfig,
    /// The dead man's switch.
    #[garde(dive)]
    pub monitoring: MonitoringConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls: TlsConfig::default(),
            acme: AcmeConfig::default(),
            trusted_proxies: Vec::new(),
            access_log: false,
            limits: LimitsConfig::default(),
            cors: CorsConfig::default(),
            compression: true,
            cache: CacheConfig::default(),
            monitoring: MonitoringConfig::default(),
        }
    }
}

impl Config {
    /// Whether the shop is served over TLS only.
    pub fn is_secure(&self) -> bool {
        self.acme.is_on() || self.tls.files().is_some()
    }
}

/// `[gateway.cache]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// The memory of cached responses, in MiB, 0..=4096; 0 turns the cache off.
    #[garde(range(max = 4096))]
    pub mib: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { mib: 16 }
    }
}

impl CacheConfig {
    /// The size of the cache.
    pub(crate) fn bytes(&self) -> u64 {
        self.mib * 1024 * 1024
    }
}
