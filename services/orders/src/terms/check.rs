//! Consistency check: terms against their counts and indexes.

use chassis::Context;
use chassis::check::{self, Finding};
use store::{Read, Store};

use super::promotions::{self, PromotionContent};
use super::shipping::ShippingMethodContent;
use super::tax::{self, TaxRateContent};
use super::term::{self, Term};

/// Registers the check.
pub(crate) fn add(ctx: &Context) {
    let store = ctx.store.clone();
    ctx.checks.add(move || {
        let store = store.clone();
        async move { check::settled(store, |from: &Store| compare(from), |tx| compare(tx)).await }
    });
}

pub(super) fn compare(from: &impl Read) -> Result<Vec<Finding>, store::Error> {
    let mut finding = Finding::of("shipping methods, tax rates and promotions");
    compare_term::<ShippingMethodContent>(from, &mut finding, None)?;
    compare_term::<TaxRateContent>(from, &mut finding, Some(tax::index_rows(from)?))?;
    compare_term::<PromotionContent>(from, &mut finding, Some(promotions::index_rows(from)?))?;
    Ok(vec![finding])
}

/// Compares the rows of a term with its count, and with the rows of its index, if it has one.
fn compare_term<T: Term>(
    from: &impl Read,
    finding: &mut Finding,
    index_rows: Option<u64>,
) -> Result<(), store::Error> {
    let mut rows = 0;
    for row in from.scan(T::TABLE.all())? {
        let (id, row) = row?;
        finding.compare();
        rows += 1;
        if index_rows.is_some() && row.content.index_rows(from, id)? != 1 {
            finding.fault(format!("{id} is missing in its index"));
        }
    }
    if term::count_of(from, T::TABLE.name())? != rows {
        finding.fault(format!("the number of {} is not that of the rows", T::NOUN));
    }
    if index_rows.is_some_and(|indexed| indexed != rows) {
        finding.fault(format!("an index has {} that are not there", T::NOUN));
    }
    Ok(())
}
