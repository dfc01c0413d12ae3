//! Mails that were given up, kept for a while so that staff can send them again, when what was
//! wrong with them is set right. Mails with a code are not: it has expired.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Store, Table, Tx};
use api::routes;
use axum::extract::State;
use axum::http::StatusCode;
use chassis::json::PathId;
use chassis::{Context, Problem, Routes, ServiceRoutes, Staff};
use model::{Id, Time, kinds};
use uuid::Uuid;

use super::{MailContent, MailId, OutboundMail, Outbox};
use crate::error::Error;

/// Mail that was given up → the mail.
const GIVEN_UP: Table<MailId, OutboundMail> = Table::new("mail_given_up");
/// (time, mail): the mail was given up then.
const GIVEN_UP_AT: Table<(Time, MailId), ()> = Table::new("mail_given_up_at");

/// For how long they are kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Most that are deleted with a new one, after their time: more than one, so that the table has
/// the size of a month's failures.
const EXPIRED_BATCH_MAX: usize = 8;

/// The id by which staff know a mail.
pub(crate) type PublicMailId = Id<kinds::Mail>;

/// Keeps a mail that was given up at `now`; returns its id, if it can be sent again.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    id: MailId,
    mail: &OutboundMail,
    now: Time,
) -> Result<Option<PublicMailId>, StoreError> {
    let expired: Vec<_> = tx
        .scan(GIVEN_UP_AT.all())?
        .take(EXPIRED_BATCH_MAX)
        .collect::<Result<_, _>>()?;
    for ((at, id), ()) in expired {
        if now.since(at) > KEPT {
            tx.delete(GIVEN_UP_AT, &(at, id))?;
            tx.delete(GIVEN_UP, &id)?;
        }
    }
    if matches!(mail.content, MailContent::Code { .. }) {
        return Ok(None);
    }
    tx.put(GIVEN_UP, &id, mail)?;
    tx.put(GIVEN_UP_AT, &(now, id), &())?;
    Ok(Some(PublicMailId::from_uuid(Uuid::from_bytes(id))))
}

#[derive(Clone)]
struct MailApi {
    store: Store,
    outbox: Outbox,
}

/// The endpoints of mails.
pub(crate) fn endpoints(ctx: &Context, outbox: Outbox) -> ServiceRoutes {
    Routes::new()
        .on(&routes::RESEND_MAIL, resend)
        .with_state(MailApi { store: ctx.store.clone(), outbox })
}

/// `POST /v1/mails/{id}/resend`: begins a new series of attempts. The mail is the same one, so
/// its `Message-ID` is, too.
async fn resend(
    State(MailApi { store, outbox }): State<MailApi>,
    _: Staff,
    PathId(id): PathId<kinds::Mail>,
) -> Result<StatusCode, Problem> {
    let (id, now) = (id.uuid().into_bytes(), model::now());
    let queued = store.write(move |tx| {
        let mail = tx.get(GIVEN_UP, &id)?.ok_or(Error::NoMail)?;
        tx.delete(GIVEN_UP, &id)?;
        outbox.put(
            tx,
            now,
            id,
            &OutboundMail::new(mail.user_id, mail.content, now),
        )?;
        Ok::<_, Error>(())
    });
    queued.await?;
    Ok(StatusCode::ACCEPTED)
}
