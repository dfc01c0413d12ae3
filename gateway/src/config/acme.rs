//! `[gateway.acme]`: certificates that are obtained and renewed automatically (RFC 8555).
//! Off unless domains are named.

use std::path::PathBuf;

use chassis::config::ensure;
use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[gateway.acme]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeConfig {
    /// The host names of the shop, at most 100. Each must lead to port 443 of this gateway
    /// from the public internet (RFC 8737).
    #[garde(length(max = 100), inner(custom(is_host_name)))]
    pub domains: Vec<String>,
    /// The e-mail address that the authority warns about certificates near expiry.
    #[garde(skip)]
    pub email: Option<String>,
    /// The URL of the authority's directory.
    #[garde(custom(is_directory))]
    pub directory: String,
    /// PEM file with the root certificate of a private authority's directory
    /// [default: the public roots].
    #[garde(skip)]
    pub authority: Option<PathBuf>,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            email: None,
            directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
            authority: None,
        }
    }
}

impl AcmeConfig {
    /// Whether certificates are obtained by ACME.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }
}

fn is_host_name(name: &str, _: &()) -> garde::Result {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_name =
        (1..=253).contains(&name.len()) && name.contains('.') && name.bytes().all(is_allowed);
    ensure(
        is_name,
        format_args!("`{name}` is not a host name such as shop.example.com"),
    )
}

/// An authority on this host may do without TLS.
fn is_directory(url: &str, _: &()) -> garde::Result {
    ensure(
        url.starts_with("https://") || url.starts_with("http://127.0.0.1:"),
        "must start with https://",
    )
}
