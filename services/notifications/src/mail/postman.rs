//! Brings the mail to the server: what is due, not too much at once, not too fast.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Store};
use chassis::{Context, Error};
use mesh::{CodeOf, Contact, Mesh, OneTimeCode};
use model::CodePurpose;
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use super::queue::{self, Place};
use super::smtp::{Failure, Server};
use super::{Letter, Mail, Outbox, compose};
use crate::contacts::Contacts;
use crate::courier;
use crate::domain::Topic;
use crate::tell::Teller;
use crate::text::Texts;

/// How many mails are handed over at once.
const AT_ONCE_MAX: usize = 4;

/// How long users may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

struct Postman {
    store: Store,
    mesh: Mesh,
    contacts: Contacts,
    texts: Texts,
    teller: Teller,
    outbox: Outbox,
    server: Option<Server>,
    pace: Mutex<Interval>,
}

/// What became of a mail.
enum Outcome {
    /// The server has it.
    Sent,
    /// Nobody is to be written to any more.
    Moot,
    /// Not this time, or never.
    Failed(Failure),
}

/// Starts bringing mail, where mail is configured; else says once that there is
/// none.
///
/// # Errors
/// [`Error::Config`] naming the setting at fault.
pub(crate) fn start(
    ctx: &Context,
    contacts: Contacts,
    texts: Texts,
    teller: Teller,
) -> Result<(), Error> {
    let outbox = teller.outbox.clone();
    let settings = outbox.settings.clone();
    let server = Server::open(&settings)?;
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
    let mut pace = tokio::time::interval(Duration::from_secs(1) / settings.per_second_max);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let postman = Arc::new(Postman {
        store: ctx.store.clone(),
        mesh: ctx.mesh.clone(),
        contacts,
        texts,
        teller,
        outbox,
        server,
        pace: Mutex::new(pace),
    });
    let (store, bell) = (ctx.store.clone(), postman.outbox.bell.clone());
    let look = move |under_way: &_, room| queue::due(&store, model::now(), under_way, room);
    let deliver = move |place| bring(postman.clone(), place);
    let round = courier::run(bell, AT_ONCE_MAX, look, deliver);
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(round));
    Ok(())
}

async fn bring(postman: Arc<Postman>, place: Place) -> Result<(), StoreError> {
    let Some(mail) = queue::at(&postman.store, &place)? else {
        return Ok(());
    };
    let outcome = postman.attempt(&place, &mail).await;
    postman.write_down(place, mail, outcome).await
}

impl Postman {
    async fn attempt(&self, place: &Place, mail: &Mail) -> Outcome {
        let (contact, words) = match &mail.letter {
            Letter::Notice(topic) => match self.contacts.of(mail.user_id, ASK_TIMEOUT).await {
                None => return users_silent(),
                Some(None) => return Outcome::Moot,
                Some(Some(contact)) => {
                    let words = self.texts.mail(topic, &contact.name, &languages(&contact));
                    (contact, words)
                }
            },
            Letter::Code { purpose, .. } => {
                let question = CodeOf { user_id: mail.user_id, purpose: *purpose };
                let OneTimeCode { code, contact } =
                    match self.mesh.ask(&question, ASK_TIMEOUT).await {
                        None => return users_silent(),
                        Some(None) => return Outcome::Moot,
                        Some(Some(code)) => code,
                    };
                if self.server.is_none() {
                    print(mail, *purpose, &code);
                }
                let languages = languages(&contact);
                let words = self
                    .texts
                    .code_mail(&code, *purpose, &contact.name, &languages);
                (contact, words)
            }
        };
        let Some(server) = &self.server else {
            return Outcome::Moot;
        };
        let message = match compose::compose(&server.from, &contact, &place.2, words) {
            Ok(message) => message,
            Err(why) => return Outcome::Failed(Failure { code: None, is_final: true, why }),
        };
        self.pace.lock().await.tick().await;
        match server.send(message).await {
            Ok(()) => Outcome::Sent,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Takes the mail out of the queue, or puts it back for later; staff hear of
    /// one that is given up.
    async fn write_down(
        &self,
        place: Place,
        mail: Mail,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let now = model::now();
        let schedule = self.outbox.schedule(&mail);
        let (kind, failed) = (mail.letter.kind(), mail.failed + 1);
        let (mut again, mut given_up) = (None, None);
        if let Outcome::Failed(Failure { code, is_final, why }) = outcome {
            let next = schedule.next(mail.began_at, failed, now, rand::random());
            again = next.filter(|_| !is_final);
            match again {
                Some(next) => tracing::warn!(kind, failed, %next, why, "a mail was not sent"),
                None => {
                    tracing::error!(kind, failed, why, "a mail is given up");
                    let (user_id, about) = (mail.user_id, kind.to_owned());
                    given_up = Some(Topic::MailFailed { user_id, about, code });
                }
            }
        }
        let teller = self.teller.clone();
        let written = self.store.write_when_free(move |tx| {
            queue::remove(tx, &place)?;
            if let Some(due) = again {
                queue::put(tx, due, place.2, &Mail { failed, ..mail })?;
            }
            match given_up {
                Some(topic) => teller.tell_staff(tx, &topic, now),
                None => Ok(()),
            }
        });
        written.await
    }
}

fn users_silent() -> Outcome {
    let why = "users did not say where to send it".into();
    Outcome::Failed(Failure { code: None, is_final: false, why })
}

fn languages(contact: &Contact) -> Vec<String> {
    contact.language.iter().cloned().collect()
}

/// Where the shop is only tried out, the log is the mail.
fn print(mail: &Mail, purpose: CodePurpose, code: &str) {
    let user = mail.user_id;
    tracing::warn!(%user, "this shop sends no mail; the one-time code for {purpose:?} is {code}");
}
