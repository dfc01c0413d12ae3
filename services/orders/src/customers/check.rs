//! Consistency check: guests against the index by address, and orders against their guests.

use chassis::Context;
use chassis::check::{self, Finding};
use store::{Read, Store};

use super::guests;
use crate::domain::{Buyer, Guest, Order};
use crate::tables::ERASURES;

/// Registers the check of guests.
pub(crate) fn add(ctx: &Context) {
    let store = ctx.store.clone();
    ctx.checks.add(move || {
        let store = store.clone();
        async move { check::settled(store, |from: &Store| compare(from), |tx| compare(tx)).await }
    });
}

fn compare(from: &impl Read) -> Result<Vec<Finding>, store::Error> {
    let mut finding = Finding::of("guests");
    let mut rows = 0;
    for row in guests::all(from)? {
        let (id, contact) = row?;
        finding.compare();
        rows += 1;
        if guests::of_email(from, &contact.email)? != Some(id) {
            finding.fault(format!("{id} is not found by its address"));
        }
    }
    if guests::addresses(from)? != rows {
        finding.fault("addresses lead to guests that are not there");
    }
    Ok(vec![finding])
}

/// Whether the guest of an order is there, as long as the order is not erased or about to be.
pub(crate) fn has_buyer(from: &impl Read, order: &Order) -> Result<bool, store::Error> {
    match &order.buyer {
        Buyer::Guest(Guest { id, contact: Some(_) }) => {
            Ok(guests::find(from, *id)?.is_some() || from.contains(ERASURES, id)?)
        }
        Buyer::Guest(_) | Buyer::Account(_) => Ok(true),
    }
}
