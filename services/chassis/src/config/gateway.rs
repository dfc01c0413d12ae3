//! `[gateway]`: the shop's door. Each concern of it is a section below, such as
//! `[gateway.cache]`, in a file of its own.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where the shop listens.
    pub listen: SocketAddr,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8080).into() }
    }
}

impl Gateway {
    pub(super) fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
