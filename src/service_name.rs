//! The names of the five services, in the order in which their processes connect.

use clap::ValueEnum;

/// A service of the shop. Each one's process connects to those before it, so that
/// every pair of processes has exactly one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    Users,
    Products,
    Orders,
    Notifications,
    Gateway,
}

impl ServiceName {
    pub(crate) const ALL: [Self; 5] = [
        Self::Users,
        Self::Products,
        Self::Orders,
        Self::Notifications,
        Self::Gateway,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::Notifications => "notifications",
            Self::Gateway => "gateway",
        }
    }

    /// The services that it connects to.
    pub(crate) fn before(self) -> Vec<&'static str> {
        Self::ALL
            .iter()
            .take_while(|other| **other != self)
            .map(|other| other.name())
            .collect()
    }
}
