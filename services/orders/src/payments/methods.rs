//! The payment methods that the settings offer.

use std::time::Duration;

use model::Time;

use crate::config::{OrdersConfig, PaymentsConfig};
use crate::domain::{ChosenPayment, PaymentMethod};

/// A method that the shop offers.
#[derive(Debug, Clone)]
pub(crate) struct OfferedMethod {
    pub(crate) method: PaymentMethod,
    /// What the buyer has to do, in the shop's own words.
    pub(crate) instructions: Option<String>,
    /// How long an order waits for its payment; `None`: for ever.
    unpaid_expire: Option<Duration>,
}

impl OfferedMethod {
    /// The choice of this method at that time.
    pub(crate) fn chosen(&self, at: Time) -> ChosenPayment {
        let until = self.unpaid_expire.map(|span| at.after(span));
        ChosenPayment { method: self.method, until }
    }
}

/// The methods that the shop offers.
#[derive(Debug, Clone)]
pub(crate) struct OfferedMethods(Vec<OfferedMethod>);

impl OfferedMethods {
    pub(crate) fn new(
        orders: &OrdersConfig,
        payments: &PaymentsConfig,
        of_providers: impl Iterator<Item = PaymentMethod>,
    ) -> Self {
        let by_provider = |method| OfferedMethod {
            method,
            instructions: None,
            unpaid_expire: orders.unpaid_expire(),
        };
        let mut offered: Vec<_> = of_providers.map(by_provider).collect();
        if let Some(text) = &payments.transfer.text {
            offered.push(OfferedMethod {
                method: PaymentMethod::Transfer,
                instructions: Some(text.clone()),
                unpaid_expire: payments.transfer.unpaid_expire().or(orders.unpaid_expire()),
            });
        }
        if payments.on_delivery.enabled {
            offered.push(OfferedMethod {
                method: PaymentMethod::OnDelivery,
                instructions: None,
                // It is paid when it arrives.
                unpaid_expire: None,
            });
        }
        Self(offered)
    }

    pub(crate) fn all(&self) -> &[OfferedMethod] {
        &self.0
    }

    pub(crate) fn find(&self, method: PaymentMethod) -> Option<&OfferedMethod> {
        self.0.iter().find(|offered| offered.method == method)
    }

    /// The offered method of that name.
    ///
    /// # Errors
    /// A sentence that names the methods there are.
    pub(crate) fn named(&self, name: &str) -> Result<&OfferedMethod, String> {
        let named = PaymentMethod::parse(name).and_then(|method| self.find(method));
        named.ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|offered| offered.method.name()).collect();
            match names.as_slice() {
                [] => "this shop offers no payment method".into(),
                names => format!(
                    "must be a payment method of this shop: {}",
                    names.join(", ")
                ),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_offered_and_waits_as_long_as_it_says() {
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        let transfer = (PaymentMethod::Transfer, Some("IBAN"));
        let on_delivery = (PaymentMethod::OnDelivery, None);
        for (orders, transfers, text, enabled, expected) in [
            (None, None, None, false, vec![]),
            (Some(5), Some(7), None, false, vec![]),
            (
                Some(5),
                None,
                Some("IBAN"),
                false,
                vec![(transfer, minutes(5))],
            ),
            (
                Some(5),
                Some(7),
                Some("IBAN"),
                false,
                vec![(transfer, minutes(7))],
            ),
            (
                None,
                None,
                Some("IBAN"),
                true,
                vec![(transfer, None), (on_delivery, None)],
            ),
            (Some(5), None, None, true, vec![(on_delivery, None)]),
        ] {
            let orders = OrdersConfig { unpaid_expire_minutes: orders, ..OrdersConfig::default() };
            let mut payments = PaymentsConfig::default();
            payments.transfer.text = text.map(str::to_owned);
            payments.transfer.unpaid_expire_minutes = transfers;
            payments.on_delivery.enabled = enabled;
            let offered = OfferedMethods::new(&orders, &payments, std::iter::empty());
            let of = |offered: &OfferedMethod| {
                let OfferedMethod { method, instructions, unpaid_expire } = offered.clone();
                (method, instructions, unpaid_expire)
            };
            let expected: Vec<_> = expected
                .into_iter()
                .map(|((method, text), span)| (method, text.map(str::to_owned), span))
                .collect();
            assert_eq!(offered.all().iter().map(of).collect::<Vec<_>>(), expected);
            let is_offered = offered.named("transfer").is_ok();
            assert_eq!(is_offered, text.is_some());
            assert!(offered.named("cash").is_err());
        }
    }
}
