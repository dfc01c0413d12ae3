//! `[gateway.acme]`: certificates that come and are renewed by themselves
//! (RFC 8555). Off unless domains are named.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[gateway.acme]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeConfig {
    /// The names the shop is reached by, at most 100. Each must lead to this
    /// gateway's port 443 from everywhere (RFC 8737).
    pub domains: Vec<String>,
    /// Where the authority writes to about certificates that are not renewed.
    pub email: Option<String>,
    /// The authority's directory.
    pub directory: String,
    /// PEM file of whoever signs the directory's own certificate, for an
    /// authority of one's own [default: the public ones].
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

    /// Whether certificates are asked for.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }
}
