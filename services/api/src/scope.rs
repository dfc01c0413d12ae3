//! [`KeyScope`]: a right that an API key may be given.
//!
//! A route that API keys may call names the scope that it takes in its row; a route without
//! one refuses them. A scope only limits: what its holder may do is also limited by the roles
//! of the account that made the key.

use serde::{Deserialize, Serialize};

/// One line a scope: its name on the wire and its variant.
macro_rules! scopes {
    ($($(#[$doc:meta])* $name:literal => $variant:ident,)*) => {
        /// A scope of API keys.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum KeyScope {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl KeyScope {
            /// Every scope, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire, `orders:read`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

scopes! {
    /// Reads products, categories and stock, drafts included.
    "catalogue:read" => CatalogueRead,
    /// Changes products, categories and stock.
    "catalogue:write" => CatalogueWrite,
    /// Reads orders and their history.
    "orders:read" => OrdersRead,
    /// Places orders and moves them on, refunds included.
    "orders:write" => OrdersWrite,
    /// Reads names and addresses of people.
    "customers:read" => CustomersRead,
    /// Reads reports.
    "reports:read" => ReportsRead,
    /// Reads the event logs of all services.
    "events:read" => EventsRead,
}

impl KeyScope {
    /// The scope of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name)
    }
}
