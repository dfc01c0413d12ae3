//! The order ids of a list, newest first, read from the indexes alone.

use std::collections::BTreeSet;

use chassis::limits::PAGE_ITEMS;
use model::{OrderId, UserId};
use store::{Key, Read, Span};

use crate::Error;
use crate::domain::OrderStatus;
use crate::tables::{BY_STATUS, BY_STATUS_AND_USER, ORDERS};

type Ids<'a> = Box<dyn Iterator<Item = Result<OrderId, store::Error>> + 'a>;

/// The ids of the orders older than `before`, newest first: of a user or of all users,
/// in one status or in any.
pub(crate) fn ids(
    from: &impl Read,
    user: Option<UserId>,
    status: Option<OrderStatus>,
    before: Option<OrderId>,
) -> Result<Ids<'_>, Error> {
    match (user, status) {
        (None, None) => newest(from, ORDERS.all(), before, |id| id),
        (Some(user), Some(status)) => of_user(from, user, status, before),
        (Some(user), None) => {
            let each = OrderStatus::ALL.map(|status| of_user(from, user, status, before));
            let each = each.into_iter().collect::<Result<Vec<_>, _>>()?;
            let runs = each.into_iter().map(Iterator::peekable).collect();
            Ok(Box::new(Merged { runs, last: None }))
        }
        (None, Some(OrderStatus::Pending)) => pending(from, before),
        (None, Some(status)) => {
            let before = before.map(|before| (status, before));
            newest(from, BY_STATUS.prefix(&status), before, |(_, id)| id)
        }
    }
}

/// A page of pending orders and one more. They are few and have no index of their own.
/// While products is unavailable they are many, so only a page of them is held in memory.
fn pending(from: &impl Read, before: Option<OrderId>) -> Result<Ids<'_>, Error> {
    let mut newest = BTreeSet::new();
    for row in from.scan(BY_STATUS_AND_USER.prefix(&OrderStatus::Pending))? {
        let ((_, _, id), ()) = row?;
        if before.is_none_or(|before| id < before) {
            newest.insert(id);
        }
        if newest.len() > PAGE_ITEMS.1 + 1 {
            newest.pop_first();
        }
    }
    Ok(Box::new(newest.into_iter().rev().map(Ok)))
}

fn of_user(
    from: &impl Read,
    user: UserId,
    status: OrderStatus,
    before: Option<OrderId>,
) -> Result<Ids<'_>, Error> {
    let before = before.map(|before| (status, user, before));
    newest(
        from,
        BY_STATUS_AND_USER.prefix(&(status, user)),
        before,
        |(_, _, id)| id,
    )
}

fn newest<'a, K: Key + 'static, V: store::Record + 'static>(
    from: &'a impl Read,
    span: Span<K, V>,
    before: Option<K>,
    id: fn(K) -> OrderId,
) -> Result<Ids<'a>, Error> {
    let span = match before {
        Some(before) => span.before(&before),
        None => span,
    };
    let rows = from.scan(span.newest_first())?;
    Ok(Box::new(rows.map(move |row| row.map(|(key, _)| id(key)))))
}

/// Merge scan of runs that are newest first each. The runs are opened one after the
/// other, so an order that changes its status meanwhile may be in two of them.
struct Merged<'a> {
    runs: Vec<std::iter::Peekable<Ids<'a>>>,
    last: Option<OrderId>,
}

impl Iterator for Merged<'_> {
    type Item = Result<OrderId, store::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // An error comes before every id.
        let next = |run: &mut std::iter::Peekable<Ids<'_>>| {
            run.peek()
                .map(|id| (id.is_err(), id.as_ref().ok().copied()))
        };
        loop {
            let runs = self.runs.iter_mut().map(|run| (next(run), run));
            let (_, run) = runs.max_by_key(|(next, _)| *next)?;
            match run.next()? {
                Ok(id) if self.last.replace(id) == Some(id) => {}
                id => return Some(id),
            }
        }
    }
}
