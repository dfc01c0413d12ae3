//! Consistency check: carts against their indexes and their count.

use chassis::Context;
use chassis::check::{self, Finding};
use store::{Read, Store};

use super::tables::{self, BY_OWNER, CARTS, DUE, open_owner};

/// Registers the check.
pub(crate) fn add(ctx: &Context) {
    let store = ctx.store.clone();
    ctx.checks.add(move || {
        let store = store.clone();
        async move { check::settled(store, |from: &Store| compare(from), |tx| compare(tx)).await }
    });
}

fn compare(from: &impl Read) -> Result<Vec<Finding>, store::Error> {
    let mut finding = Finding::of("carts");
    let (mut rows, mut owned) = (0, 0);
    for row in from.scan(CARTS.all())? {
        let (id, cart) = row?;
        finding.compare();
        rows += 1;
        if !from.contains(DUE, &(cart.until, id))? {
            finding.fault(format!("{id} has no end"));
        }
        if let Some(owner) = open_owner(&cart) {
            owned += 1;
            if from.get(BY_OWNER, &owner)? != Some(id) {
                finding.fault(format!("{id} is not the cart of its owner {owner}"));
            }
        }
    }
    if tables::kept(from)? != rows {
        finding.fault("the number of carts is not that of the rows");
    }
    let ends: u64 = from
        .scan(DUE.all())?
        .map(|row| row.map(|_| 1))
        .sum::<Result<_, _>>()?;
    let owners: u64 = from
        .scan(BY_OWNER.all())?
        .map(|row| row.map(|_| 1))
        .sum::<Result<_, _>>()?;
    if (ends, owners) != (rows, owned) {
        finding.fault("an index has carts that are not there");
    }
    Ok(vec![finding])
}
