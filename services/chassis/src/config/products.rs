//! `[products]`: the catalogue and its stock.

use serde::{Deserialize, Serialize};

/// `[products]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Products {
    /// Staff are told when fewer pieces of a product than this can be sold; 0:
    /// never. At most 1,000,000.
    pub low_stock: i64,
    /// How much memory answers that are ready to be sent may take, in MiB,
    /// 0..=1024; 0 makes each one anew.
    pub cache_mib: u64,
    /// The currency of a CSV file that does not name one, ISO 4217.
    pub import_currency: model::Currency,
}

impl Default for Products {
    fn default() -> Self {
        Self {
            low_stock: 5,
            cache_mib: 4,
            import_currency: "EUR".parse().expect("EUR is a currency code"),
        }
    }
}

impl Products {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(0..=1_000_000).contains(&self.low_stock) {
            return Err("products.low_stock must be 0..1000000".into());
        }
        if self.cache_mib > 1024 {
            return Err("products.cache_mib must be 0..1024".into());
        }
        Ok(())
    }
}
