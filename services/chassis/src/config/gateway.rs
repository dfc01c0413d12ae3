//! `[gateway]`: the shop's door. Each concern of it is a section below, such as
//! `[gateway.cache]`, in a file of its own.

mod acme;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use self::acme::Acme;
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
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls: Tls::default(),
            acme: Acme::default(),
        }
    }
}

impl Gateway {
    pub(super) fn check(&self) -> Result<(), String> {
        self.tls.check(&self.acme)?;
        self.acme.check()
    }

    /// Whether it speaks TLS, and only that.
    pub fn is_secure(&self) -> bool {
        self.acme.is_on() || self.tls.files().is_some()
    }
}
