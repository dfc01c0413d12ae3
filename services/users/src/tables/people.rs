//! Accounts by the parts of their address and name, for the search of staff.

use chassis::people_index::{IndexedPerson, PeopleIndex};
use model::kinds;
use store::{Read, Tx};

use super::USERS;
use crate::domain::User;

const PEOPLE_BY_PART: PeopleIndex<kinds::User> = PeopleIndex::new("people_by_part");

/// The names of the tables that are made of accounts.
pub(crate) const INDEXES_OF_PEOPLE: &[&str] = &[PEOPLE_BY_PART.table()];

/// Replaces the rows of the account before by those of the account after a change.
pub(super) fn index_person(
    tx: &mut Tx<'_>,
    before: Option<&User>,
    after: Option<&User>,
) -> Result<(), store::Error> {
    let Some(id) = before.or(after).map(|user| user.id) else {
        return Ok(());
    };
    PEOPLE_BY_PART.update(tx, id, before.map(indexed), after.map(indexed))
}

/// Writes the rows of an account that an earlier version stored.
pub(crate) fn index_known_person(tx: &mut Tx<'_>, user: &User) -> Result<(), store::Error> {
    index_person(tx, None, Some(user))
}

/// The people that a text finds, at most `count_max`, in order of their accounts; none for a
/// text without letters and digits.
pub(crate) fn matching(
    from: &impl Read,
    text: &str,
    count_max: usize,
) -> Result<Vec<User>, store::Error> {
    let find = |id| from.get(USERS, &id);
    let found = PEOPLE_BY_PART.matching(from, text, count_max, find, indexed)?;
    Ok(found.into_iter().map(|(_, user)| user).collect())
}

fn indexed(user: &User) -> IndexedPerson<'_> {
    IndexedPerson { email: user.email.as_str(), name: &user.name }
}
