//! Why a service could not be opened or go on, for the person who started it.

use std::net::SocketAddr;
use std::path::PathBuf;

/// One clear line, and the exit code that goes with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used as it is.
    #[error("configuration: {0}")]
    Config(String),
    /// The data folder is not a shop's, or cannot be used.
    #[error("data folder {}: {why}", path.display())]
    Folder {
        /// The folder or file concerned.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The mesh failed.
    #[error(transparent)]
    Mesh(#[from] mesh::TransportError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {why}; is another program using it? Choose another with --listen"
    )]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the operating system said.
        why: std::io::Error,
    },
    /// A service-specific reason.
    #[error("{0}")]
    Service(String),
}

impl Error {
    /// The process's exit code: 78 (`EX_CONFIG`, sysexits.h) when the
    /// configuration must change before another try makes sense, else 1.
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
