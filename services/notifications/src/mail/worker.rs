//! Mail worker: asks for the address and the content of a due mail and hands it to the SMTP
//! server, rate limited. **Invariant:** a shop without a server sends nothing; one-time codes are
//! then only logged, and only if the settings ask for it.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Read, Store, Table, Tx};
use chassis::delivery::{self, Delivery, QueueMetrics};
use chassis::{Context, Error};
use mesh::{
    CodeOf, Contact, EmailUndo, EmailUndoOf, GuestDetails, Mesh, OneTimeCode, OrderDetails,
};
use model::{CodePurpose, Time, UserId};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use super::smtp::{MailServer, Retry, SmtpFailure};
use super::status::MailState;
use super::{
    CODE_PRIORITY, MAIL, MailContent, MailId, NOTICE_PRIORITY, OutboundMail, Outbox,
    STAFF_PRIORITY, given_up, sequence, status,
};
use crate::domain::{Audience, Topic};
use crate::incidents::{self, IncidentNews, LASTS};
use crate::notify::Notifier;
use crate::queries::Queries;
use crate::text::order::OrderData;
use crate::text::{MailText, Texts};

/// Services that are asked for what a mail is made of.
const USERS: &str = "users";
const ORDERS: &str = "orders";

/// Timeout of a query to one of them.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

struct MailWorker {
    store: Store,
    mesh: Mesh,
    queries: Queries,
    texts: Texts,
    notifier: Notifier,
    outbox: Outbox,
    server: Option<MailServer>,
    state: MailState,
    rate_limit: Mutex<Interval>,
}

/// Outcome of one attempt.
enum Outcome {
    /// The server accepted it.
    Sent,
    /// The recipient is gone or there is no server.
    Obsolete,
    Failed(SmtpFailure),
    /// Another service did not answer, so there was no attempt.
    NotMade(SmtpFailure),
}

/// Starts the mail worker if mail is configured, and logs once if it is not.
///
/// # Errors
/// [`Error::Config`] naming the setting at fault.
pub(crate) fn start(
    ctx: &Context,
    queries: Queries,
    texts: Texts,
    notifier: Notifier,
) -> Result<(), Error> {
    let outbox = notifier.outbox.clone();
    let settings = outbox.settings.clone();
    let server = MailServer::open(&settings)?;
    delivery::measure::<MailWorker>(ctx);
    match (&server, settings.print_codes) {
        (Some(_), _) => {}
        (None, true) => tracing::warn!(
            "this shop sends no mail: notifications go to inboxes only, and one-time codes are written here"
        ),
        (None, false) => {
            tracing::info!(
                "mail.server is not set: notifications go to inboxes only, and no one-time codes are sent"
            );
            return Ok(());
        }
    }
    let mut rate_limit = tokio::time::interval(Duration::from_secs(1) / settings.per_second_max);
    rate_limit.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wake_up = outbox.wake_up.clone();
    let state = MailState::new(ctx.store.clone());
    state.report(ctx);
    let worker = MailWorker {
        store: ctx.store.clone(),
        mesh: ctx.mesh.clone(),
        queries,
        texts,
        notifier,
        outbox,
        server,
        state,
        rate_limit: Mutex::new(rate_limit),
    };
    delivery::spawn(ctx, worker, wake_up);
    Ok(())
}

impl Delivery for MailWorker {
    type Partition = u16;
    type DeliveryId = MailId;
    type Row = OutboundMail;
    const QUEUE: Table<(u16, Time, MailId), OutboundMail> = MAIL;
    const METRICS: QueueMetrics = QueueMetrics {
        service: "notifications",
        waiting: "konbini_mail_queue",
        given_up: "konbini_mail_given_up_total",
    };
    const IN_FLIGHT_MAX: usize = 4;
    const PARTITION_IN_FLIGHT_MAX: usize = 4;

    fn store(&self) -> &Store {
        &self.store
    }

    /// The priorities.
    fn partitions(&self) -> Result<Vec<u16>, StoreError> {
        Ok(vec![CODE_PRIORITY, NOTICE_PRIORITY, STAFF_PRIORITY])
    }

    async fn deliver(self: Arc<Self>, key: (u16, Time, MailId)) -> Result<(), StoreError> {
        let Some(mail) = self.store.get(MAIL, &key)? else {
            return Ok(());
        };
        let now = model::now();
        if let Some(due) = sequence::waits_until(&self.store, &mail, key.2, now)? {
            return self.postpone(key, mail, due).await;
        }
        let outcome = self.attempt(&key.2, &mail).await;
        self.record(key, mail, outcome).await
    }
}

impl MailWorker {
    async fn attempt(&self, id: &MailId, mail: &OutboundMail) -> Outcome {
        let (contact, text) = match self.compose(mail).await {
            Err(service) => return unavailable(service),
            Ok(None) => return Outcome::Obsolete,
            Ok(Some(composed)) => composed,
        };
        let Some(server) = &self.server else {
            return Outcome::Obsolete;
        };
        let message = match server.compose(&contact, id, text) {
            Ok(message) => message,
            Err(why) => {
                return Outcome::Failed(SmtpFailure::before(Retry::Never, why));
            }
        };
        self.rate_limit.lock().await.tick().await;
        match server.send(message).await {
            Ok(()) => Outcome::Sent,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// The recipient and the text of a mail; none when there is nothing to send any more.
    ///
    /// # Errors
    /// The service that did not answer.
    async fn compose(
        &self,
        mail: &OutboundMail,
    ) -> Result<Option<(Contact, MailText)>, &'static str> {
        Ok(match (&mail.content, mail.user_id) {
            (MailContent::Notice(topic), _) => self.compose_notice(mail, topic).await?,
            // Only notices go to guests.
            (_, None) => None,
            (MailContent::Code { purpose, .. }, Some(user_id)) => {
                let query = CodeOf { user_id, purpose: *purpose };
                let code = self.mesh.ask(&query, QUERY_TIMEOUT).await.ok_or(USERS)?;
                code.map(|OneTimeCode { code, contact }| {
                    if self.server.is_none() {
                        print_code(mail, *purpose, &code);
                    }
                    let text = self.texts.code_mail(*purpose, &code, &contact);
                    (contact, text)
                })
            }
            (MailContent::EmailUndo { change_id, .. }, Some(user_id)) => {
                let query = EmailUndoOf { user_id, change_id: *change_id };
                let undo = self.mesh.ask(&query, QUERY_TIMEOUT).await.ok_or(USERS)?;
                undo.map(|EmailUndo { token, contact }| {
                    let text = self.texts.undo_mail(&token, &contact);
                    (contact, text)
                })
            }
            (MailContent::Digest { kind, count, since }, Some(user_id)) => {
                self.contact(user_id).await?.map(|contact| {
                    let text = self.texts.digest_mail(kind, *count, *since, &contact);
                    (contact, text)
                })
            }
        })
    }

    /// The mail of a notification. One about an order says what was ordered, to its owner in
    /// the order's language.
    async fn compose_notice(
        &self,
        mail: &OutboundMail,
        topic: &Topic,
    ) -> Result<Option<(Contact, MailText)>, &'static str> {
        let mut contact = match mail.user_id {
            Some(user_id) => self.contact(user_id).await?,
            None => None,
        };
        let mut order = None;
        if let Some(order_id) = topic.order_id() {
            let asked = self.queries.order(order_id, mail.began_at, QUERY_TIMEOUT);
            // An order that is not known any more leaves the mail without its lines.
            if let Some(details) = asked.await.ok_or(ORDERS)? {
                if !topic.is_news(&details) {
                    return Ok(None);
                }
                let (language, buyer) = (details.language.clone(), self.buyer(&details).await?);
                let data = OrderData::new(order_id, details);
                order = Some(match topic.rule().audience {
                    Audience::Owner => {
                        contact = contact.or(buyer);
                        if let Some(contact) = &mut contact {
                            contact.language = language.or(contact.language.take());
                        }
                        data
                    }
                    Audience::Staff => data.with_buyer(buyer),
                });
            }
        }
        let Some(contact) = contact else {
            return Ok(None);
        };
        let text = self.texts.mail(topic, order.as_ref(), &contact);
        Ok(Some((contact, text)))
    }

    /// The buyer of an order, unless they are erased.
    async fn buyer(&self, order: &OrderDetails) -> Result<Option<Contact>, &'static str> {
        if let Some(user_id) = order.user_id {
            return self.contact(user_id).await;
        }
        let guest = order.guest.clone();
        Ok(guest.map(|GuestDetails { email, name }| Contact {
            email,
            email_verified: false,
            name,
            language: None,
        }))
    }

    /// The contact of an active account.
    ///
    /// # Errors
    /// That users did not answer.
    async fn contact(&self, user: UserId) -> Result<Option<Contact>, &'static str> {
        self.queries.contact(user, QUERY_TIMEOUT).await.ok_or(USERS)
    }

    /// Reschedules a mail that waits for an earlier one.
    async fn postpone(
        &self,
        key: (u16, Time, MailId),
        mail: OutboundMail,
        due: Time,
    ) -> Result<(), StoreError> {
        let postponed = self.store.write_when_free(move |tx| {
            tx.delete(MAIL, &key)?;
            tx.put(MAIL, &(mail.priority(), due, key.2), &mail)?;
            sequence::note(tx, &mail, key.2, due)
        });
        postponed.await
    }

    /// Removes the mail from the queue or reschedules it; staff are notified of one that is
    /// given up.
    async fn record(
        &self,
        key: (u16, Time, MailId),
        mail: OutboundMail,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let now = model::now();
        let kind = mail.content.kind().to_owned();
        let (mut retry_at, mut given_up) = (None, None);
        let (failed, unasked) = match &outcome {
            Outcome::NotMade(_) => (mail.failed, mail.unasked.saturating_add(1)),
            _ => (mail.failed + 1, 0),
        };
        let (backoff, failures) = match unasked {
            0 => (self.outbox.backoff(&mail), failed),
            _ => (self.outbox.unasked_backoff(&mail), unasked),
        };
        let server = match &outcome {
            Outcome::Sent => ServerNote::Accepts,
            Outcome::Failed(SmtpFailure { code, retry: Retry::Later, .. }) => {
                ServerNote::Fails(*code)
            }
            // A mail that was refused by itself says nothing of others.
            Outcome::Obsolete | Outcome::Failed(_) | Outcome::NotMade(_) => ServerNote::Nothing,
        };
        if let Outcome::Failed(failure) = &outcome
            && failure.step.is_some()
        {
            self.state.note_failure(failure, now);
        }
        if let Outcome::Failed(failure) | Outcome::NotMade(failure) = outcome {
            let SmtpFailure { code, retry, why, .. } = failure;
            let next = backoff.next(mail.began_at, failures, now, rand::random());
            retry_at = next.filter(|_| retry == Retry::Later);
            match retry_at {
                Some(next) => tracing::warn!(kind, failed, %next, why, "sending a mail failed"),
                None => {
                    tracing::error!(kind, failed, why, "a mail is given up");
                    delivery::given_up::<Self>().increment(1);
                    given_up = Some(code);
                }
            }
        }
        let notifier = self.notifier.clone();
        let written = self.store.write_when_free(move |tx| {
            tx.delete(MAIL, &key)?;
            if let Some(due) = retry_at {
                let mail = OutboundMail { failed, unasked, ..mail };
                tx.put(MAIL, &(mail.priority(), due, key.2), &mail)?;
                sequence::note(tx, &mail, key.2, due)?;
            } else {
                sequence::forget(tx, &mail, key.2)?;
                if let Some(code) = given_up {
                    let mail_id = given_up::keep(tx, key.2, &mail, now)?;
                    let topic = Topic::MailFailed {
                        user_id: mail.user_id,
                        order_id: mail.content.order_id(),
                        about: kind,
                        code,
                        mail_id,
                    };
                    notifier.notify_staff(tx, &topic, now)?;
                }
            }
            if let Some(topic) = server.news(tx, now)? {
                notifier.notify_staff(tx, &topic, now)?;
            }
            Ok(())
        });
        written.await
    }
}

/// What an attempt says of the mail server.
enum ServerNote {
    Nothing,
    Accepts,
    /// With its reply code, where it gave one.
    Fails(Option<u16>),
}

impl ServerNote {
    /// What staff are to be notified of.
    fn news(self, tx: &mut Tx<'_>, now: Time) -> Result<Option<Topic>, StoreError> {
        let what = status::MAIL_SERVER.to_owned();
        let (news, code) = match self {
            Self::Nothing => return Ok(None),
            Self::Accepts => (incidents::succeeded(tx, &what)?, None),
            Self::Fails(code) => (incidents::failed(tx, &what, LASTS, now)?, code),
        };
        Ok(match news {
            IncidentNews::Nothing => None,
            IncidentNews::Began(since) => Some(Topic::MailDelayed { since, code }),
            IncidentNews::Ended => Some(Topic::MailRecovered {}),
        })
    }
}

fn unavailable(service: &str) -> Outcome {
    let why = format!("{service} did not answer what the mail is made of");
    Outcome::NotMade(SmtpFailure::before(Retry::Later, why))
}

/// A shop without mail logs its codes, if the settings ask for it.
fn print_code(mail: &OutboundMail, purpose: CodePurpose, code: &str) {
    let user = mail.user_id.map(|id| id.to_string());
    tracing::warn!(
        user,
        "this shop sends no mail; the one-time code for {purpose:?} is {code}"
    );
}
