//! The settings of products: `[products]`.

use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[products]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Staff are notified when fewer units of a product than this are available; 0:
    /// never. At most 1,000,000.
    #[garde(range(min = 0, max = 1_000_000))]
    pub low_stock: i64,
    /// Size of the response cache, in MiB, 0..=1024; 0 disables it.
    #[garde(range(max = 1024))]
    pub cache_mib: u64,
    /// The currency of a CSV file that does not name one, ISO 4217.
    #[garde(skip)]
    pub import_currency: model::Currency,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            low_stock: 5,
            cache_mib: 4,
            import_currency: "EUR".parse().expect("EUR is a currency code"),
        }
    }
}
