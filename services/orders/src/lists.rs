//! Which orders a list shows, newest first: read from the indexes alone.

use mesh::{Id, kinds};
use store::{Key, Read, Span};

use crate::Error;
use crate::domain::Status;
use crate::store::{BY_STATUS, BY_STATUS_AND_USER, ORDERS, OrderId};

/// Ids of orders as a list has them.
type Ids<'a> = Box<dyn Iterator<Item = Result<OrderId, store::Error>> + 'a>;

/// The ids of orders older than `before`, newest first: of a user, in a status, of
/// everyone.
pub(crate) fn ids(
    from: &impl Read,
    user: Option<Id<kinds::User>>,
    status: Option<Status>,
    before: Option<OrderId>,
) -> Result<Ids<'_>, Error> {
    match (user, status) {
        (None, None) => newest(from, ORDERS.all(), before, |id| id),
        (Some(user), Some(status)) => of_user(from, user, status, before),
        (Some(user), None) => {
            let each = Status::ALL.map(|status| of_user(from, user, status, before));
            let each = each.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok(Box::new(Merged(
                each.into_iter().map(Iterator::peekable).collect(),
            )))
        }
        // They are few and have no index of their own.
        (None, Some(Status::Pending)) => {
            let rows = from.scan(BY_STATUS_AND_USER.prefix(&Status::Pending))?;
            let mut ids: Vec<OrderId> = rows
                .map(|row| row.map(|((_, _, id), ())| id))
                .filter(|id| !matches!((id, before), (Ok(id), Some(before)) if *id >= before))
                .collect::<Result<_, _>>()?;
            ids.sort_unstable_by(|one, other| other.cmp(one));
            Ok(Box::new(ids.into_iter().map(Ok)))
        }
        (None, Some(status)) => {
            let before = before.map(|before| (status, before));
            newest(from, BY_STATUS.prefix(&status), before, |(_, id)| id)
        }
    }
}

fn of_user(
    from: &impl Read,
    user: Id<kinds::User>,
    status: Status,
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

/// Runs that are newest first, as one.
struct Merged<'a>(Vec<std::iter::Peekable<Ids<'a>>>);

impl Iterator for Merged<'_> {
    type Item = Result<OrderId, store::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // An error comes before every id.
        let next = |run: &mut std::iter::Peekable<Ids<'_>>| {
            run.peek()
                .map(|id| (id.is_err(), id.as_ref().ok().copied()))
        };
        let runs = self.0.iter_mut().map(|run| (next(run), run));
        let (_, run) = runs.max_by_key(|(next, _)| *next)?;
        run.next()
    }
}
