//! `[gateway]`: the shop's door. Each concern of it is a section below, such as
//! `[gateway.cache]`, in a file of its own.

mod acme;
mod cache;
mod cors;
mod limits;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::acme::Acme;
pub use self::cache::Cache;
pub use self::cors::Cors;
pub use self::limits::Limits;
pub use self::tls::Tls;

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where the shop listens.
    pub listen: SocketAddr,
    /// How it speaks TLS there.
    pub tls: Tls,
    /// How its certificates come by themselves.
    pub acme: Acme,
    /// Networks, as `10.0.0.0/8`, whose word on where a request comes from is
    /// believed (`Forwarded`, RFC 7239, or `X-Forwarded-For`). Such a proxy must name
    /// every client it speaks for: what it says nothing about counts as its own.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every request is written to the log, as a line of the target
    /// `access`. Metrics count requests either way, and a line each wears a small
    /// host's disk, so nobody's are written unless asked for.
    pub access_log: bool,
    /// How much of everything one client and all of them may have.
    pub limits: Limits,
    /// What scripts of other sites may do.
    pub cors: Cors,
    /// Whether text is sent in fewer bytes to clients that can read that: gzip or
    /// brotli, at levels for a small host.
    pub compression: bool,
    /// Answers that are kept.
    pub cache: Cache,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls: Tls::default(),
            acme: Acme::default(),
            trusted_proxies: Vec::new(),
            access_log: false,
            limits: Limits::default(),
            cors: Cors::default(),
            compression: true,
            cache: Cache::default(),
        }
    }
}

impl Gateway {
    pub(super) fn check(&self) -> Result<(), String> {
        self.tls.check(&self.acme)?;
        self.acme.check()?;
        self.cache.check()?;
        self.limits.check()?;
        self.cors.check()?;
        if self.trusted_proxies.iter().any(|net| net.prefix_len() == 0) {
            return Err("gateway.trusted_proxies must not be everybody: name the proxies".into());
        }
        Ok(())
    }

    /// Whether it speaks TLS, and only that.
    pub fn is_secure(&self) -> bool {
        self.acme.is_on() || self.tls.files().is_some()
    }
}
