//! The error with which a service ends, for the operator who started it.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The reason why a service ended, in one line, and its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error("configuration: {0}")]
    Config(String),
    /// The data folder is not a shop's, or cannot be used.
    #[error("data folder {}: {why}", path.display())]
    Folder {
        /// The folder or file concerned.
        path: PathBuf,
        /// The fault and its remedy.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The mesh failed.
    #[error(transparent)]
    Mesh(#[from] mesh::TransportError),
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address}: {why}; is another program using it? Choose another with --listen"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        why: std::io::Error,
    },
    /// A service-specific reason.
    #[error("{0}")]
    Service(String),
}

impl Error {
    /// The process's exit code: 78 (`EX_CONFIG`, sysexits.h) when a restart is useless
    /// before the configuration has changed, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Folder { .. } | Self::Bind { .. } => 78,
            Self::Store(_) | Self::Mesh(_) | Self::Service(_) => 1,
        }
    }
}

impl From<mesh::EndpointsError> for Error {
    fn from(error: mesh::EndpointsError) -> Self {
        Self::Config(error.to_string())
    }
}
