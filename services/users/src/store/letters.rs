//! Letters that somebody without a login asked for, until they are on their way.
//!
//! **Invariant:** asking costs the same write whether an account has the address or
//! not. What is different comes after the answer, and not even a crash in between
//! loses it.

use model::{CodePurpose, Fact, Id, Time};
use store::{Read, Table, Tx};

use super::{Cause, USERS, UserId};
use crate::domain::User;
use crate::{Error, codes};

/// when, at random → the account, or an id that nobody has.
const LETTERS: Table<(Time, [u8; 16]), UserId> = Table::new("letters");

/// A letter that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter(Time, [u8; 16]);

/// Notes that a letter about a lost password is to go to an account, or to nobody.
pub(crate) fn ask_for_letter(
    tx: &mut Tx<'_>,
    user_id: Option<UserId>,
    now: Time,
) -> Result<Letter, Error> {
    let letter = Letter(now, rand::random());
    let user_id = user_id.unwrap_or_else(Id::new);
    tx.put(LETTERS, &(letter.0, letter.1), &user_id)?;
    Ok(letter)
}

/// The letters that were asked for before a crash.
pub(crate) fn letters(read: &impl Read) -> Result<Vec<Letter>, ::store::Error> {
    let rows = read.scan(LETTERS.all())?;
    rows.map(|row| row.map(|((at, key), _)| Letter(at, key)))
        .collect()
}

/// Sends a letter on its way, if somebody is to have it.
pub(crate) fn send_letter(
    tx: &mut Tx<'_>,
    Letter(at, key): Letter,
    cause: &Cause,
) -> Result<(), Error> {
    let user_id = tx.get(LETTERS, &(at, key))?;
    tx.delete(LETTERS, &(at, key))?;
    let user = user_id.map(|id| tx.get(USERS, &id)).transpose()?.flatten();
    match user.filter(User::is_active) {
        Some(user) => request_code(tx, user.id, CodePurpose::PasswordReset, cause),
        None => Ok(()),
    }
}

/// Has a code sent to an account's owner; the one before is worth nothing then.
pub(crate) fn request_code(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
    cause: &Cause,
) -> Result<(), Error> {
    let until = codes::request(tx, user_id, purpose, cause.at)?;
    let fact = Fact::UserCodeRequested { user_id, purpose, until };
    Ok(cause.tell(tx, user_id.to_string(), fact)?)
}

#[cfg(test)]
mod tests {
    use super::super::register;
    use super::*;
    use crate::domain::Email;
    use ::store::{Options, Store};
    use mesh::{Event, Log};

    #[tokio::test]
    async fn what_was_asked_for_is_sent_once_and_only_to_somebody() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", Time(1)).await.unwrap();
        let email = Email::parse("ana@example.org").unwrap();
        let ana = User::new(email, "Ana".into(), Time(1));
        let cause = Cause { log: log.clone(), at: Time(7), by: None, trace: None };
        let sent = store.write(move |tx| {
            register(tx, &ana, "hash".into(), &cause)?;
            ask_for_letter(tx, Some(ana.id), Time(2))?;
            ask_for_letter(tx, None, Time(2))?;
            // As after a crash, and once more.
            let waiting = letters(tx)?;
            assert_eq!(waiting.len(), 2);
            for letter in waiting.iter().chain(&waiting) {
                send_letter(tx, *letter, &cause)?;
            }
            assert!(letters(tx)?.is_empty());
            Ok::<_, Error>(())
        });
        sent.await.unwrap();
        let events = log.read(0).unwrap();
        let kinds = events
            .iter()
            .map(|event| Event::decode(&event.body).unwrap().kind);
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, ["user.registered", "user.code_requested"]);
    }
}
