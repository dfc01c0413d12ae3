//! The error with which a service ends, for the operator who started it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The reason why a service ended, in one line, and its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error("configuration: {0}")]
    Config(String),
    /// The data folder is not a shop's, or a file in it is not what it should be.
    #[error("data folder {}: {why}", path.display())]
    Folder {
        /// The folder or file concerned.
        path: PathBuf,
        /// The fault and its remedy.
        why: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        why: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store of a service is damaged.
    #[error(
        "{service}: {why}. Restore the data of {service} from a copy (the folder {service}/store), or without one go on with what reads: `konbini salvage {service}`"
    )]
    Damaged {
        /// The service.
        service: &'static str,
        /// The store's error.
        why: store::Error,
    },
    /// The mesh failed.
    #[error(transparent)]
    Mesh(#[from] mesh::TransportError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {why}{}", bind_remedy(why))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        why: io::Error,
    },
    /// A service-specific reason.
    #[error("{0}")]
    Service(String),
}

impl Error {
    /// Adds the service's name to damage of its store.
    pub(crate) fn of(self, service: &'static str) -> Self {
        match self {
            Self::Store(why @ store::Error::Damaged { .. }) => Self::Damaged { service, why },
            other => other,
        }
    }

    /// The process's exit code: 78 (`EX_CONFIG`, sysexits.h) when a restart is useless
    /// before an operator has changed something, else 1.
    pub fn exit_code(&self) -> u8 {
        let is_lasting = match self {
            Self::Config(_) | Self::Folder { .. } | Self::Damaged { .. } => true,
            Self::File { why, .. } | Self::Bind { why, .. } => is_lasting(why.kind()),
            Self::Store(store::Error::Io { kind, .. }) => is_lasting(*kind),
            Self::Store(_) | Self::Mesh(_) | Self::Service(_) => false,
        };
        if is_lasting { 78 } else { 1 }
    }
}

/// Whether the cause stays until an operator removes it. An absent address, a disk that is
/// full, not mounted or read-only, and too many open files may pass by themselves.
fn is_lasting(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory,
        PermissionDenied, Unsupported,
    };
    matches!(
        kind,
        AlreadyExists
            | InvalidFilename
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | PermissionDenied
            | Unsupported
    )
}

fn bind_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program uses it: choose another with --listen",
        io::ErrorKind::AddrNotAvailable => "; this host does not have the address (yet)",
        io::ErrorKind::PermissionDenied => {
            "; a port below 1024 is systemd's to open (konbini@gateway.socket), or choose another with --listen"
        }
        _ => "",
    }
}

impl From<mesh::EndpointsError> for Error {
    fn from(error: mesh::EndpointsError) -> Self {
        Self::Config(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_tried_again() {
        let bind = |kind: io::ErrorKind| Error::Bind {
            address: ([192, 0, 2, 1], 80).into(),
            why: kind.into(),
        };
        let file = |kind: io::ErrorKind| Error::File { path: "data".into(), why: kind.into() };
        let store = |kind: io::ErrorKind| {
            Error::Store(store::Error::io("data".as_ref(), "its lock", &kind.into()))
        };
        let too_many_files = io::Error::from_raw_os_error(24);
        let io_error = io::Error::from_raw_os_error(5);
        for (code, error) in [
            (1, bind(io::ErrorKind::AddrNotAvailable)),
            (1, bind(io::ErrorKind::AddrInUse)),
            (78, bind(io::ErrorKind::PermissionDenied)),
            (1, file(io::ErrorKind::StorageFull)),
            (1, file(io::ErrorKind::ReadOnlyFilesystem)),
            (1, Error::File { path: "data".into(), why: too_many_files }),
            (1, Error::File { path: "data".into(), why: io_error }),
            (78, file(io::ErrorKind::PermissionDenied)),
            (78, file(io::ErrorKind::NotADirectory)),
            (78, Error::Config("a typo".into())),
            (78, store(io::ErrorKind::PermissionDenied)),
            (1, store(io::ErrorKind::ReadOnlyFilesystem)),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
