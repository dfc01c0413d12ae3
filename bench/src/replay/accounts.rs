//! The customers of the replayed invoices, as accounts of the shop.
//!
//! E-mail and password follow from the customer's number alone, so that every
//! run against the same shop finds the accounts of the runs before. These
//! passwords protect nothing: the accounts exist for measuring.

use std::collections::{BTreeSet, HashMap};

use super::invoice::OrderPart;
use crate::client::{Credentials, ShopClient};

/// Accounts by customer; `None` is the guest.
pub(crate) type Accounts = HashMap<Option<String>, Credentials>;

/// Registers everyone who orders, where that was not done before, and logs
/// them in.
pub(crate) async fn open(client: &ShopClient, parts: &[OrderPart]) -> anyhow::Result<Accounts> {
    let customers: BTreeSet<&Option<String>> = parts.iter().map(|part| &part.customer).collect();
    let accounts = client.log_in_all(
        customers
            .iter()
            .map(|customer| describe(customer.as_deref())),
    );
    let customers = customers.iter().map(|customer| (*customer).clone());
    Ok(customers.zip(accounts.await?).collect())
}

fn describe(customer: Option<&str>) -> Credentials {
    let local = customer.map_or_else(|| "guest".to_owned(), |number| format!("c{number}"));
    let password = format!("replayed invoices of {local}");
    Credentials::new(format!("{local}@replay.example"), password)
}
