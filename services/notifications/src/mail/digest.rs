//! Digests: when many mails of one kind go to one member of staff, most of them become one.
//!
//! The first [`SINGLE_MAX`] of a kind within a [window](crate::windows) are mails of their own;
//! what follows is counted, and mailed as a number at the window's end.
//!
//! **Invariant:** what is counted is in the queue: a window's digest is a row of the mail
//! queue, written in the transaction of the first notification that it counts.

use ::store::{Error as StoreError, Read, Table, Tx};
use model::{Time, UserId};

use super::{MAIL, MailContent, MailId, OutboundMail, STAFF_PRIORITY};
use crate::windows::{NoticeWindow, Windows};

/// Mails of a kind that are sent one by one in a window.
const SINGLE_MAX: u32 = 3;

/// (user, kind) → the latest window of their mail.
pub(crate) const MAIL_WINDOWS: Windows<MailId> = Table::new("mail_windows");

/// What becomes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is sent by itself.
    Single,
    /// The digest counts it.
    Counted,
}

/// Admits one more mail of a kind to a person at `now`. `id` is that of a digest that it may
/// begin.
pub(super) fn admit(
    tx: &mut Tx<'_>,
    user_id: UserId,
    kind: &str,
    id: MailId,
    now: Time,
) -> Result<Admission, StoreError> {
    let key = (user_id, kind.to_owned());
    let mut window = NoticeWindow::open(tx, MAIL_WINDOWS, &key, now)?;
    if window.takes_single(SINGLE_MAX) {
        tx.put(MAIL_WINDOWS, &key, &window)?;
        return Ok(Admission::Single);
    }
    let id = window.digest.unwrap_or(id);
    if window.digest.is_none() {
        window.digest = Some(id);
        tx.put(MAIL_WINDOWS, &key, &window)?;
    }
    let due = window.ends_at();
    let row = (STAFF_PRIORITY, due, id);
    let counted = match tx.get(MAIL, &row)?.map(|mail| mail.content) {
        Some(MailContent::Digest { count, .. }) => count,
        _ => 0,
    };
    let content = MailContent::Digest {
        kind: kind.to_owned(),
        count: counted + 1,
        since: window.began_at,
    };
    tx.put(MAIL, &row, &OutboundMail::new(Some(user_id), content, due))?;
    Ok(Admission::Counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::store::{Options, Store};
    use model::Id;

    use crate::windows;

    /// What is queued for one person: the digests' numbers, with when they are due.
    fn digests(store: &Store) -> Vec<(Time, u64)> {
        let rows = store.scan(MAIL.all()).unwrap().map(Result::unwrap);
        let digests = rows.filter_map(|((_, due, _), mail)| match mail.content {
            MailContent::Digest { count, .. } => Some((due, count)),
            _ => None,
        });
        digests.collect()
    }

    #[tokio::test]
    async fn from_the_fourth_on_mails_of_a_kind_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (user, other): (UserId, UserId) = (Id::new(), Id::new());
        let (begin, end) = (Time(1_000), Time(601_000));
        let admit_at = async |user, kind: &'static str, now| {
            let id = rand::random();
            let admitted = store.write(move |tx| admit(tx, user, kind, id, now));
            let admitted: Result<_, StoreError> = admitted.await;
            admitted.unwrap()
        };
        for after in 0..SINGLE_MAX.into() {
            let now = Time(begin.0 + after);
            assert_eq!(admit_at(user, "a", now).await, Admission::Single);
        }
        for now in [Time(2_000), Time(3_000), Time(end.0 - 1)] {
            assert_eq!(admit_at(user, "a", now).await, Admission::Counted);
        }
        // Other kinds and other people have windows of their own.
        assert_eq!(admit_at(user, "b", Time(2_000)).await, Admission::Single);
        assert_eq!(admit_at(other, "a", Time(2_000)).await, Admission::Single);
        assert_eq!(digests(&store), [(end, 3)]);
        // The next window begins anew, and leaves the digest as it is.
        assert_eq!(admit_at(user, "a", end).await, Admission::Single);
        assert_eq!(digests(&store), [(end, 3)]);
        let forgotten: Result<(), StoreError> = store
            .write(move |tx| windows::forget(tx, MAIL_WINDOWS, user))
            .await;
        forgotten.unwrap();
        let left = store.scan(MAIL_WINDOWS.all()).unwrap();
        assert_eq!(
            left.map(|row| row.unwrap().0.0).collect::<Vec<_>>(),
            [other]
        );
    }
}
