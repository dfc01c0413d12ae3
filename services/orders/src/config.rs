//! The settings of orders: `[orders]`, `[payments]` and `[tax]`.

mod providers;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use garde::Validate;
use model::{Country, NotACountry};
use pricing::{PriceBasis, Promotion, ShippingTaxedBy, TaxRate, Terms};
use serde::{Deserialize, Serialize, Serializer};

use chassis::Error;
use chassis::config::credential;

use self::providers::is_origin;
pub use self::providers::{MollieConfig, StripeConfig, StripeKeys};
use crate::domain::PaidCancellation;

/// The secrets' name among systemd's credentials.
const CREDENTIAL: &str = "payments_secrets";

/// The sections of this service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `[orders]`
    pub orders: OrdersConfig,
    /// `[payments]`
    pub payments: PaymentsConfig,
    /// `[tax]`
    pub tax: TaxConfig,
    /// The shop's address on the web, without a slash at its end, if the settings name one:
    /// where payment providers call.
    pub public_url: Option<String>,
}

/// `[orders]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersConfig {
    /// After how many minutes a confirmed order that is not paid is cancelled,
    /// 1..=525,600; without it, never. Counts for orders confirmed from then on.
    #[garde(range(min = 1, max = 525_600))]
    pub unpaid_expire_minutes: Option<u32>,
    /// What stands before the digits of an order's number: at most 20 characters, the last one no
    /// digit. Counts for orders placed from then on.
    #[garde(custom(is_prefix))]
    pub number_prefix: String,
    /// The first number, 1..=999,999,999,999. A later and higher one counts from then on.
    #[garde(range(min = 1, max = 999_999_999_999))]
    pub number_start: u64,
    /// Whether a buyer's cancellation of a paid order cancels it, and its payment is to be
    /// sent back; otherwise it asks staff to.
    #[garde(skip)]
    pub buyer_cancels_paid: bool,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self {
            unpaid_expire_minutes: None,
            number_prefix: String::new(),
            number_start: 1001,
            buyer_cancels_paid: false,
        }
    }
}

/// Characters of a prefix.
const PREFIX_CHARS_MAX: usize = 20;

fn is_prefix(prefix: &str, (): &()) -> garde::Result {
    let is_short = prefix.chars().count() <= PREFIX_CHARS_MAX;
    let ends_well = !prefix.ends_with(|sign: char| sign.is_ascii_digit());
    match is_short && ends_well && model::is_legible(prefix) || prefix.is_empty() {
        true => Ok(()),
        false => Err(garde::Error::new(format!(
            "at most {PREFIX_CHARS_MAX} legible characters, the last one no digit"
        ))),
    }
}

impl OrdersConfig {
    /// How long stock is held for an order that is not paid; `None`: for ever.
    pub fn unpaid_expire(&self) -> Option<Duration> {
        self.unpaid_expire_minutes.map(minutes)
    }

    pub(crate) fn paid_cancellation(&self) -> PaidCancellation {
        match self.buyer_cancels_paid {
            true => PaidCancellation::IsDone,
            false => PaidCancellation::IsRequested,
        }
    }
}

fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(u64::from(minutes) * 60)
}

/// `[tax]`: how prices are meant, and what is taxed where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct TaxConfig {
    /// Whether prices include tax.
    #[garde(skip)]
    pub prices_include_tax: bool,
    /// Where the shop is, as an ISO 3166-1 code: what is picked up, or has no destination yet, is
    /// taxed there.
    #[garde(custom(is_listed))]
    pub home_country: Country,
    /// What decides the tax of shipping: the tax class of its `method`, or the `goods`, by whose
    /// rates it is split.
    #[garde(skip)]
    pub shipping_taxed_by: TaxedBy,
}

/// What decides the tax of shipping, by its name in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxedBy {
    /// The tax class of the shipping method.
    Method,
    /// The goods.
    Goods,
}

impl Default for TaxConfig {
    fn default() -> Self {
        Self {
            prices_include_tax: true,
            home_country: "DE".parse().expect("the code of Germany"),
            shipping_taxed_by: TaxedBy::Method,
        }
    }
}

impl TaxConfig {
    /// Whether prices include tax.
    pub fn price_basis(&self) -> PriceBasis {
        match self.prices_include_tax {
            true => PriceBasis::Gross,
            false => PriceBasis::Net,
        }
    }

    /// The terms of a basket with these rates and promotions.
    pub fn terms<'a>(&self, tax_rates: &'a [TaxRate], promotions: &'a [Promotion]) -> Terms<'a> {
        Terms {
            price_basis: self.price_basis(),
            home_country: self.home_country,
            shipping_taxed_by: match self.shipping_taxed_by {
                TaxedBy::Method => ShippingTaxedBy::Method,
                TaxedBy::Goods => ShippingTaxedBy::Goods,
            },
            tax_rates,
            promotions,
        }
    }
}

fn is_listed(country: &Country, _: &()) -> garde::Result {
    match country.is_listed() {
        true => Ok(()),
        false => Err(garde::Error::new(NotACountry)),
    }
}

/// `[payments]`: payment methods, and the signed webhook of any provider. Several secrets may be valid at
/// once, so that one can be replaced while the other still counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentsConfig {
    /// Secrets as the provider shows them: `whsec_` and base64 of 24 to 64 bytes.
    #[garde(inner(custom(Secret::check)))]
    pub secrets: Vec<Secret>,
    /// Files with more of them, one a line [default: the systemd credential
    /// `payments_secrets`].
    #[garde(skip)]
    pub secrets_files: Vec<PathBuf>,
    /// The origins of the pages that a provider may send buyers back to, such as
    /// `https://shop.example`, at most 20.
    #[garde(length(max = 20), inner(custom(is_origin)))]
    pub return_origins: Vec<String>,
    /// `[payments.stripe]`
    #[garde(dive)]
    pub stripe: StripeConfig,
    /// `[payments.mollie]`
    #[garde(dive)]
    pub mollie: MollieConfig,
    /// `[payments.transfer]`
    #[garde(dive)]
    pub transfer: TransferConfig,
    /// `[payments.on_delivery]`
    #[garde(skip)]
    pub on_delivery: OnDeliveryConfig,
}

/// `[payments.transfer]`: payment by bank transfer, which staff record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct TransferConfig {
    /// What the buyer is told, such as the shop's account, 1..=2,000 bytes; without it, the
    /// method is not offered.
    #[garde(inner(length(bytes, min = 1, max = 2_000)))]
    pub text: Option<String>,
    /// After how many minutes an order that is to be paid so is cancelled, 1..=525,600
    /// [default: that of `[orders]`].
    #[garde(range(min = 1, max = 525_600))]
    pub unpaid_expire_minutes: Option<u32>,
}

impl TransferConfig {
    /// How long stock is held for an order that is to be paid so; `None`: not set.
    pub(crate) fn unpaid_expire(&self) -> Option<Duration> {
        self.unpaid_expire_minutes.map(minutes)
    }
}

/// `[payments.on_delivery]`: payment to the carrier, which staff record. Such an order does not
/// expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnDeliveryConfig {
    /// Whether the method is offered.
    pub enabled: bool,
}

impl PaymentsConfig {
    /// Every secret that is valid now, the files' too.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that cannot be read or holds something else.
    pub fn all_secrets(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut secrets = Vec::new();
        for secret in &self.secrets {
            secrets.push(secret.bytes().map_err(Error::Config)?);
        }
        for file in self
            .secrets_files
            .iter()
            .cloned()
            .chain(credential(CREDENTIAL))
        {
            let failed = |why: String| Error::Config(format!("{}: {why}", file.display()));
            let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                secrets.push(Secret(line.into()).bytes().map_err(failed)?);
            }
        }
        Ok(secrets)
    }
}

/// The secret of a webhook. It is never printed or logged.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    fn check(&self, _: &()) -> garde::Result {
        self.bytes().map(drop).map_err(garde::Error::new)
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = self.0.strip_prefix("whsec_").unwrap_or_default();
        BASE64
            .decode(bytes.as_bytes())
            .ok()
            .filter(|bytes| (24..=64).contains(&bytes.len()))
            .ok_or_else(|| "a secret is `whsec_` and base64 of 24 to 64 bytes".into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("(a secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        let second = format!("whsec_{}", BASE64.encode(&[2; 32]));
        std::fs::write(&file, format!("{second}\n\n")).unwrap();
        let payments = PaymentsConfig {
            secrets: vec![format!("whsec_{}", BASE64.encode(&[1; 24])).as_str().into()],
            secrets_files: vec![file.clone()],
            ..PaymentsConfig::default()
        };
        payments.validate().unwrap();
        assert_eq!(payments.all_secrets().unwrap(), [vec![1; 24], vec![2; 32]]);
        let shown = format!("{payments:?} {}", serde_json::to_string(&payments).unwrap());
        assert!(!shown.contains("whsec_"), "{shown}");

        for wrong in ["AQEB", "whsec_AQEB", "whsec_!"] {
            let payments =
                PaymentsConfig { secrets: vec![wrong.into()], ..PaymentsConfig::default() };
            assert!(payments.validate().is_err(), "{wrong}");
        }
        std::fs::write(&file, "whsec_x").unwrap();
        let why = payments.all_secrets().unwrap_err().to_string();
        assert!(why.contains("secrets: a secret is"), "{why}");
    }
}
