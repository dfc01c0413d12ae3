//! The settings of the gateway: `[gateway]` and its sub-sections, such as `[gateway.cache]`.

mod acme;
mod cors;
mod limits;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::acme::AcmeConfig;
pub use self::cors::CorsConfig;
pub use self::limits::LimitsConfig;
pub use self::tls::TlsConfig;

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the shop listens.
    pub listen: SocketAddr,
    /// How it speaks TLS there.
    pub tls: TlsConfig,
    /// How its certificates come by themselves.
    pub acme: AcmeConfig,
    /// Networks, as `10.0.0.0/8`, of proxies whose `Forwarded` (RFC 7239) or
    /// `X-Forwarded-For` names the client. Such a proxy must name
    /// every client it speaks for: what it says nothing about counts as its own.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every request is written to the log, as a line of the target
    /// `access`. Metrics count requests either way, and a line each wears a small
    /// host's disk, so it is off by default.
    pub access_log: bool,
    /// How much of everything one client and all of them may have.
    pub limits: LimitsConfig,
    /// What scripts of other sites may do.
    pub cors: CorsConfig,
    /// Whether text is sent in fewer bytes to clients that can read that: gzip or
    /// brotli, at levels for a small host.
    pub compression: bool,
    /// Answers that are kept.
    pub cache: CacheConfig,
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
        }
    }
}

impl Config {
    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        let proxies = match self.trusted_proxies.iter().any(|net| net.prefix_len() == 0) {
            true => Err("gateway.trusted_proxies must not be everybody: name the proxies".into()),
            false => Ok(()),
        };
        chassis::config::all([
            self.tls.check(&self.acme),
            self.acme.check(),
            self.cache.check(),
            self.limits.check(),
            self.cors.check(),
            proxies,
        ])
    }

    /// Whether it speaks TLS, and only that.
    pub fn is_secure(&self) -> bool {
        self.acme.is_on() || self.tls.files().is_some()
    }
}

/// `[gateway.cache]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How much memory they may take, in MiB, 0..=4096; 0 keeps none.
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

    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        chassis::config::ranges(&[("gateway.cache.mib", self.mib, 0..=4096)])
    }
}
