//! The customers of the replayed invoices, as accounts of the shop.
//!
//! E-mail and password follow from the customer's number alone, so that every
//! run against the same shop finds the accounts of the runs before. These
//! passwords protect nothing: the accounts exist for measuring.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use super::invoice::Part;
use crate::client::{Account, Client};
use crate::progress::Progress;

/// A log-in costs the shop tens of milliseconds of a whole core, on purpose.
const LOGINS_AT_ONCE: usize = 4;

/// Accounts by customer; `None` is the guest.
pub(crate) type Accounts = HashMap<Option<String>, Account>;

/// Registers everyone who orders, where that was not done before, and logs
/// them in.
pub(crate) async fn open(client: &Client, parts: &[Part]) -> anyhow::Result<Accounts> {
    let customers: BTreeSet<&Option<String>> = parts.iter().map(|part| &part.customer).collect();
    let progress = &Progress::count("logging in", customers.len() as u64);
    let accounts = stream::iter(customers)
        .map(|customer| async move {
            let (account, name) = describe(customer.as_deref());
            client.register(&account, &name).await?;
            client.renew(&account, "").await?;
            progress.step();
            anyhow::Ok((customer.clone(), account))
        })
        .buffer_unordered(LOGINS_AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(accounts)
}

fn describe(customer: Option<&str>) -> (Account, String) {
    let (local, name) = match customer {
        Some(number) => (format!("c{number}"), format!("Customer {number}")),
        None => ("guest".to_owned(), "Guest".to_owned()),
    };
    let password = format!("replayed invoices of {local}");
    (
        Account::new(format!("{local}@replay.example"), password),
        name,
    )
}
