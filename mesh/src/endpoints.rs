//! The endpoints that Zenoh listens on and connects to, and those that are refused.
//!
//! On one host they are unix sockets in a folder that only the owner may enter. Between hosts
//! mutual TLS is required. A peer on the mesh could forge events, so a plain TCP endpoint
//! beyond loopback is refused when the configuration is read.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The longest path of a unix socket, in bytes (`sun_path`, unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Certificates for both sides of a TLS link, PEM files.
#[derive(Debug, Clone)]
pub struct MutualTls {
    /// The root certificate that signs the shop's certificates.
    pub authority: PathBuf,
    /// This host's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// Validated endpoints of one session.
#[derive(Debug, Clone, Default)]
pub struct ZenohEndpoints {
    /// The endpoints to listen on.
    pub listen: Vec<String>,
    /// The endpoints to connect to; absent ones are retried in the background.
    pub connect: Vec<String>,
    /// Needed for `tls/` endpoints.
    pub(crate) tls: Option<MutualTls>,
}

/// The configured endpoints cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointsError {
    /// Open to the network without certificates.
    #[error(
        "mesh endpoint {0}: TCP beyond loopback needs certificates on both sides; use tls/HOST:PORT and set authority, certificate and private_key"
    )]
    Open(String),
    /// A `tls/` endpoint without the files it needs.
    #[error("mesh endpoint {0}: set authority, certificate and private_key for tls/ endpoints")]
    NoCertificates(String),
    /// An unsupported protocol.
    #[error("mesh endpoint {0}: use tls/HOST:PORT, tcp/127.0.0.1:PORT or unixsock-stream/PATH")]
    Unknown(String),
    /// A character that separates parts of an endpoint, or one that is not UTF-8.
    #[error("{}: the path of a socket cannot contain `?` or `#` and must be UTF-8; choose another data folder", .0.display())]
    Separator(PathBuf),
    /// The data folder's path is too deep for a socket in it.
    #[error("{}: this path has {bytes} bytes, but a unix socket's may have {SOCKET_PATH_BYTES_MAX}; choose a data folder with a shorter path", path.display())]
    TooDeep {
        /// The socket's path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

/// The socket of `service` in the mesh folder.
pub fn socket_path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.sock"))
}

/// Fails if a unix socket cannot have this path.
///
/// # Errors
/// [`EndpointsError::TooDeep`] above [`SOCKET_PATH_BYTES_MAX`].
pub fn check_socket_path(path: &Path) -> Result<(), EndpointsError> {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    Err(EndpointsError::TooDeep { path: path.to_owned(), bytes })
}

impl ZenohEndpoints {
    /// No endpoints: every service is in this session.
    pub fn alone() -> Self {
        Self::default()
    }

    /// One host: `service` listens on its socket in `folder` and connects to the
    /// sockets of `others`. For each pair only one side may name the other.
    ///
    /// # Errors
    /// When a socket's path would be too long.
    pub fn on_this_host(
        folder: &Path,
        service: Option<&str>,
        others: &[&str],
    ) -> Result<Self, EndpointsError> {
        let endpoint = |service: &str| {
            let path = socket_path(folder, service);
            check_socket_path(&path)?;
            match path.to_str() {
                Some(text) if !text.contains(['?', '#']) => Ok(format!("unixsock-stream/{text}")),
                _ => Err(EndpointsError::Separator(path)),
            }
        };
        Ok(Self {
            listen: service.map(endpoint).transpose()?.into_iter().collect(),
            connect: others
                .iter()
                .map(|other| endpoint(other))
                .collect::<Result<_, _>>()?,
            tls: None,
        })
    }

    /// Adds endpoints beyond this host.
    ///
    /// # Errors
    /// For an endpoint that is open to the network without mutual TLS.
    pub fn and_beyond(
        mut self,
        listen: &[String],
        connect: &[String],
        tls: Option<MutualTls>,
    ) -> Result<Self, EndpointsError> {
        for endpoint in listen.iter().chain(connect) {
            check(endpoint, tls.is_some())?;
        }
        self.listen.extend_from_slice(listen);
        self.connect.extend_from_slice(connect);
        self.tls = tls;
        Ok(self)
    }
}

fn check(endpoint: &str, has_certificates: bool) -> Result<(), EndpointsError> {
    match endpoint.split_once('/') {
        Some(("unixsock-stream", _)) => Ok(()),
        Some(("tls", _)) if has_certificates => Ok(()),
        Some(("tls", _)) => Err(EndpointsError::NoCertificates(endpoint.into())),
        Some(("tcp", address)) if is_loopback(address) => Ok(()),
        Some(("tcp", _)) => Err(EndpointsError::Open(endpoint.into())),
        _ => Err(EndpointsError::Unknown(endpoint.into())),
    }
}

/// Whether the name resolves, and to loopback addresses only.
fn is_loopback(address: &str) -> bool {
    let addresses: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map(Iterator::collect)
        .unwrap_or_default();
    !addresses.is_empty() && addresses.iter().all(|one| one.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_open_to_the_network_are_refused() {
        let with = |endpoint: &str, tls: bool| {
            let tls = tls.then(|| MutualTls {
                authority: "ca.pem".into(),
                certificate: "me.pem".into(),
                private_key: "me.key".into(),
            });
            ZenohEndpoints::alone()
                .and_beyond(&[endpoint.into()], &[], tls)
                .map(|_| ())
        };
        assert_eq!(with("tcp/127.0.0.1:7447", false), Ok(()));
        assert_eq!(with("tls/0.0.0.0:7447", true), Ok(()));
        for (endpoint, tls) in [
            ("tcp/0.0.0.0:7447", true),
            ("tcp/10.0.0.7:7447", false),
            ("tcp/[::]:7447", false),
        ] {
            assert_eq!(
                with(endpoint, tls),
                Err(EndpointsError::Open(endpoint.into()))
            );
        }
        assert_eq!(
            with("tls/0.0.0.0:7447", false),
            Err(EndpointsError::NoCertificates("tls/0.0.0.0:7447".into()))
        );
        assert!(matches!(
            with("udp/127.0.0.1:1", false),
            Err(EndpointsError::Unknown(_))
        ));
        let deep = PathBuf::from("/tmp").join("x".repeat(100));
        assert!(matches!(
            ZenohEndpoints::on_this_host(&deep, Some("users"), &[]),
            Err(EndpointsError::TooDeep { bytes: 116, .. })
        ));
        for folder in ["/tmp/shop#1", "/tmp/what?"] {
            assert!(matches!(
                ZenohEndpoints::on_this_host(Path::new(folder), Some("users"), &[]),
                Err(EndpointsError::Separator(_))
            ));
        }
    }
}
