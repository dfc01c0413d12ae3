//! Failures between the gateway and a service, and the problem a client receives for each.
//!
//! **Invariant:** 503 guarantees that nothing was written; 502 and 504 do not.

use std::error::Error as StdError;
use std::time::Duration;

use chassis::Problem;
use http::StatusCode;
use http::header::{CONNECTION, RETRY_AFTER};

/// The reason why a request got no response from its service.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No instance of the service is alive.
    #[error("no instance of {0} is alive")]
    Absent(&'static str),
    /// The instance is alive by its token, but cannot be connected to; nothing was sent.
    #[error("{service} cannot be reached: {why}")]
    Unreachable {
        /// The service.
        service: &'static str,
        /// The connection's error.
        why: String,
    },
    /// The connection ended before the response, or the response was not HTTP.
    #[error("the connection to {service} broke: {why}")]
    Broken {
        /// The service.
        service: &'static str,
        /// The connection's error.
        why: String,
    },
    /// The response, or a part of it, did not arrive within the timeout.
    #[error("{service} sent nothing for {timeout:?}")]
    Late {
        /// The service.
        service: &'static str,
        /// The timeout.
        timeout: Duration,
    },
    /// The client's body exceeds the limit of its route.
    #[error("the body has more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The client's body arrived too slowly.
    #[error("the client's body made no progress for {timeout:?}")]
    Slow {
        /// The timeout.
        timeout: Duration,
    },
    /// The client's body ended early or was malformed.
    #[error("the client's body cannot be read: {why}")]
    Unreadable {
        /// The parser's error.
        why: String,
    },
}

impl Error {
    /// Its name in metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Absent(_) => "absent",
            Self::Unreachable { .. } => "unreachable",
            Self::Broken { .. } => "broken",
            Self::Late { .. } => "late",
            Self::TooLarge { .. } | Self::Unreadable { .. } | Self::Slow { .. } => "body",
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::Absent(service) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service-unavailable",
                "A service is unavailable",
                format!("the service `{service}` is not running; nothing was written, try again"),
            )
            .member("service", service)
            .header(RETRY_AFTER, "1"),
            Error::Unreachable { service, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service-unavailable",
                "A service is unavailable",
                format!("the service `{service}` cannot be reached; nothing was written, try again"),
            )
            .member("service", service)
            .header(RETRY_AFTER, "1")
            .because(&error),
            Error::Broken { service, .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "bad-gateway",
                "A service failed",
                format!(
                    "the connection to the service `{service}` broke; whether anything was written is unknown"
                ),
            )
            .member("service", service)
            .because(&error),
            Error::Late { service, timeout } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "Timeout",
                format!(
                    "no response from the service `{service}` within {} s; whether anything was written is unknown",
                    timeout.as_secs()
                ),
            )
            .member("service", service)
            .because(&error),
            Error::TooLarge { bytes_max } => too_large(*bytes_max),
            Error::Slow { .. } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "The body took too long",
                "the body arrived too slowly; send the request again",
            )
            .header(CONNECTION, "close"),
            Error::Unreadable { .. } => {
                Self::bad_request("the body ended early or its chunks are malformed")
            }
        }
    }
}

/// 413 for a limit in bytes.
pub(crate) fn too_large(bytes_max: u64) -> Problem {
    Problem::too_large(usize::try_from(bytes_max).unwrap_or(usize::MAX))
}

/// An error with its chain of causes, in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
