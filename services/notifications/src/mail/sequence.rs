//! The order of mails about one order to one recipient: a mail waits while an earlier one is in
//! the queue, so that "shipped" never overtakes "paid" whose attempt failed.
//!
//! **Invariant:** a queued mail about an order has one row in `mail_sequence`, which says when it
//! is due. Mails that were queued by earlier versions have none and wait for none.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use model::{OrderId, Time, UserId};

use super::{MailContent, MailId, NOBODY, OutboundMail};

/// (order, recipient), place, mail → when the mail is due. Places grow in the order of events.
const SEQUENCE: Table<Place, Time> = Table::new("mail_sequence");

type Place = ((OrderId, UserId), u64, MailId);

/// How long after the mail before it a mail is due.
const PAUSE: Duration = Duration::from_secs(1);

/// The order and the recipient of a mail; `None` for mails that are about no order.
fn group(mail: &OutboundMail) -> Option<(OrderId, UserId)> {
    match &mail.content {
        MailContent::Notice(topic) => Some((topic.order_id()?, mail.user_id.unwrap_or(NOBODY))),
        _ => None,
    }
}

/// The queued mails of a group, which are few: an order has few steps.
fn queued(read: &impl Read, group: (OrderId, UserId)) -> Result<Vec<(Place, Time)>, StoreError> {
    read.scan(SEQUENCE.prefix(&group))?.collect()
}

/// Notes that a mail is in the queue and due then, behind those that are there before it.
pub(super) fn note(
    tx: &mut Tx<'_>,
    mail: &OutboundMail,
    id: MailId,
    due: Time,
) -> Result<(), StoreError> {
    let Some(group) = group(mail) else {
        return Ok(());
    };
    let queued = queued(tx, group)?;
    let own = queued.iter().find(|(place, _)| place.2 == id);
    let number = match (own, queued.last()) {
        (Some((own, _)), _) => own.1,
        (None, Some((last, _))) => last.1 + 1,
        (None, None) => 0,
    };
    tx.put(SEQUENCE, &(group, number, id), &due)
}

/// Notes that a mail has left the queue.
pub(super) fn forget(tx: &mut Tx<'_>, mail: &OutboundMail, id: MailId) -> Result<(), StoreError> {
    let Some(group) = group(mail) else {
        return Ok(());
    };
    for (place, _) in queued(tx, group)? {
        if place.2 == id {
            tx.delete(SEQUENCE, &place)?;
        }
    }
    Ok(())
}

/// The time for which a mail waits, if an earlier one of its order is in the queue.
pub(super) fn waits_until(
    read: &impl Read,
    mail: &OutboundMail,
    id: MailId,
    now: Time,
) -> Result<Option<Time>, StoreError> {
    let Some(group) = group(mail) else {
        return Ok(None);
    };
    let queued = queued(read, group)?;
    let has_place = queued.iter().any(|(place, _)| place.2 == id);
    let first = queued
        .first()
        .filter(|(place, _)| has_place && place.2 != id);
    Ok(first.map(|(_, due)| (*due).max(now).after(PAUSE)))
}

#[cfg(test)]
mod tests {
    use ::store::{Options, Store};
    use model::Id;

    use super::*;
    use crate::domain::Topic;

    #[tokio::test]
    async fn a_mail_waits_for_earlier_ones_of_its_order_and_recipient() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (order_id, user_id) = (Id::new(), UserId::new());
        let mail = |order_id, user_id, began_at| {
            let content = MailContent::Notice(Topic::OrderPaid { order_id });
            OutboundMail::new(Some(user_id), content, Time(began_at))
        };
        let first = mail(order_id, user_id, 1);
        let second = mail(order_id, user_id, 1);
        let other_order = mail(Id::new(), user_id, 2);
        let other_reader = mail(order_id, UserId::new(), 2);
        let written = store.write(move |tx| {
            // Events of one moment; the ids of mails are in no order.
            note(tx, &first, [1; 16], Time(3))?;
            note(tx, &second, [0; 16], Time(3))?;
            note(tx, &first, [1; 16], Time(50))?;
            let waits = |tx: &Tx<'_>, mail: &OutboundMail, id: u8| {
                waits_until(tx, mail, [id; 16], Time(10))
            };
            assert_eq!(waits(tx, &first, 1)?, None);
            assert_eq!(waits(tx, &second, 0)?, Some(Time(50).after(PAUSE)));
            for (mail, id) in [(&other_order, 2), (&other_reader, 3)] {
                assert_eq!(waits(tx, mail, id)?, None);
            }
            forget(tx, &first, [1; 16])?;
            assert_eq!(waits(tx, &second, 0)?, None);
            Ok::<_, StoreError>(())
        });
        written.await.unwrap();
    }
}
