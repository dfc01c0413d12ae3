//! The mail that is still to be sent.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `mail` | (lane, due, mail) | [`Mail`] |
//!
//! **Invariant:** a mail has one row. Codes have the lane before all others, since
//! somebody waits for them and they expire.

use std::collections::HashSet;

use ::store::{Error as StoreError, Read, Store, Table, Tx};
use model::Time;

use super::{Letter, Mail, MailId};
use crate::courier::Due;

/// (lane, due, mail) → the mail.
const MAIL: Table<Place, Mail> = Table::new("mail");

/// Where a mail is in the queue.
pub(super) type Place = (u16, Time, MailId);

const CODES: u16 = 0;
const NOTICES: u16 = 1;

/// Puts a mail into the queue, to be sent at `due`.
pub(super) fn put(tx: &mut Tx<'_>, due: Time, id: MailId, mail: &Mail) -> Result<(), StoreError> {
    let lane = match mail.letter {
        Letter::Code { .. } => CODES,
        Letter::Notice(_) => NOTICES,
    };
    tx.put(MAIL, &(lane, due, id), mail)
}

/// Takes a mail out of the queue.
pub(super) fn remove(tx: &mut Tx<'_>, place: &Place) -> Result<(), StoreError> {
    tx.delete(MAIL, place)
}

/// The mail at a place, if it is still there.
pub(super) fn at(store: &Store, place: &Place) -> Result<Option<Mail>, StoreError> {
    store.get(MAIL, place)
}

/// What is due at `now` and not under way, at most `count_max`.
pub(super) fn due(
    store: &Store,
    now: Time,
    under_way: &HashSet<Place>,
    count_max: usize,
) -> Result<Due<Place>, StoreError> {
    let mut due = Due::default();
    for lane in [CODES, NOTICES] {
        for row in store.scan(MAIL.prefix(&lane))? {
            let (place, _) = row?;
            if place.1 > now {
                let sooner = due.next.is_none_or(|next| place.1 < next);
                due.next = if sooner { Some(place.1) } else { due.next };
                break;
            }
            if due.now.len() == count_max {
                return Ok(due);
            }
            if !under_way.contains(&place) {
                due.now.push(place);
            }
        }
    }
    Ok(due)
}
