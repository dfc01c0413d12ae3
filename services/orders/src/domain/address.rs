//! The address of an order.

use std::collections::BTreeMap;

use model::Address;

/// Fields of any names, as a front end of an earlier version sent them.
pub(crate) type FreeFormAddress = BTreeMap<String, String>;

/// Where an order goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderAddress {
    Typed(Address),
    /// Of an order that an earlier version placed.
    FreeForm(FreeFormAddress),
}

impl OrderAddress {
    /// The names and values of its fields.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let address = match self {
            Self::FreeForm(fields) => return fields.clone().into_iter().collect(),
            Self::Typed(address) => address.clone(),
        };
        let Address {
            name,
            company,
            line1,
            line2,
            postal_code,
            city,
            region,
            country,
            phone,
        } = address;
        let fields = [
            ("name", Some(name)),
            ("company", company),
            ("line1", Some(line1)),
            ("line2", line2),
            ("postal_code", postal_code),
            ("city", Some(city)),
            ("region", region),
            ("country", Some(country.to_string())),
            ("phone", phone),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.into(), value?)));
        given.collect()
    }
}
