//! `[gateway.acme]`: certificates that are obtained and renewed automatically (RFC 8555).
//! Off unless domains are named.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[gateway.acme]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeConfig {
    /// The host names of the shop, at most 100. Each must lead to port 443 of this gateway
    /// from the public internet (RFC 8737).
    pub domains: Vec<String>,
    /// The e-mail address that the authority warns about certificates near expiry.
    pub email: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// PEM file with the root certificate of a private authority's directory
    /// [default: the public roots].
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
    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        let is_name = |name: &String| {
            (1..=253).contains(&name.len())
                && name.contains('.')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if self.domains.len() > 100 {
            return Err("gateway.acme.domains must be at most 100".into());
        }
        let (directory, this_host) = (&self.directory, "http://127.0.0.1:");
        if !directory.starts_with("https://") && !directory.starts_with(this_host) {
            return Err("gateway.acme.directory must start with https://".into());
        }
        if let Some(wrong) = self.domains.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "gateway.acme.domains: `{wrong}` is not a host name such as shop.example.com"
            ));
        }
        Ok(())
    }

    /// Whether certificates are obtained by ACME.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }
}
