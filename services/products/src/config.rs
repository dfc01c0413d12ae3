//! The settings of products: `[products]`.

use serde::{Deserialize, Serialize};

/// `[products]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Staff are notified when fewer units of a product than this are available; 0:
    /// never. At most 1,000,000.
    pub low_stock: i64,
    /// Size of the response cache, in MiB, 0..=1024; 0 disables it.
    pub cache_mib: u64,
    /// The currency of a CSV file that does not name one, ISO 4217.
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

impl Config {
    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        // A negative number is outside the range, as is one too large.
        let low_stock = u64::try_from(self.low_stock).unwrap_or(u64::MAX);
        chassis::config::ranges(&[
            ("products.low_stock", low_stock, 0..=1_000_000),
            ("products.cache_mib", self.cache_mib, 0..=1024),
        ])
    }
}
