//! Answers to mesh queries about people: their contact data, one-time codes, and access tokens
//! for their API keys.
//!
//! Other services ask for these when they need them, because personal data is in no
//! event. **Invariant:** answers are in no log line, and an erased account has none; nor has a
//! disabled one, but for [`PeopleQuery`], by which staff see who ordered.

use std::sync::Arc;

use chassis::Context;
use mesh::{
    AccountContact, CodeOf, Contact, ContactOf, EmailUndo, EmailUndoOf, OneTimeCode, PEOPLE_MAX,
    PeopleQuery, TokenOf,
};
use model::{CodePurpose, UserId};
use store::Read;

use crate::domain::User;
use crate::tables::{self, USERS};
use crate::{Error, Users, codes};

/// Answers queries until the service stops.
pub(crate) async fn start(context: &Context, users: &Arc<Users>) -> Result<(), chassis::Error> {
    let (mesh, tasks) = (&context.mesh, &context.tasks);
    let people = users.clone();
    let contact = move |asked: ContactOf| {
        let contact = or_none(people.contact(&asked));
        Box::pin(async move { contact }) as _
    };
    mesh.answer(tasks, context.stop.clone(), contact).await?;
    let people = users.clone();
    let code = move |asked: CodeOf| {
        let code = or_none(people.code(&asked));
        Box::pin(async move { code }) as _
    };
    mesh.answer(tasks, context.stop.clone(), code).await?;
    let people = users.clone();
    let undo = move |asked: EmailUndoOf| {
        let undo = or_none(people.email_undo(&asked));
        Box::pin(async move { undo }) as _
    };
    mesh.answer(tasks, context.stop.clone(), undo).await?;
    let accounts = users.clone();
    let people = move |asked: PeopleQuery| {
        let people = or_none(accounts.people(asked));
        Box::pin(async move { people }) as _
    };
    mesh.answer(tasks, context.stop.clone(), people).await?;
    let keys = users.clone();
    let token = move |asked: TokenOf| {
        let exchanged = keys.clone().exchange(asked);
        Box::pin(async move { or_none(exchanged.await.map(Some)) }) as _
    };
    mesh.answer(tasks, context.stop.clone(), token).await?;
    Ok(())
}

/// A failed read answers like an unknown account; the asking service retries.
fn or_none<T>(answer: Result<Option<T>, Error>) -> Option<T> {
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "a query about an account failed");
        None
    })
}

impl Users {
    fn contact(&self, asked: &ContactOf) -> Result<Option<Contact>, Error> {
        let user = self.active(asked.user_id)?;
        user.map(|user| self.contact_of(&user)).transpose()
    }

    fn code(&self, asked: &CodeOf) -> Result<Option<OneTimeCode>, Error> {
        let Some(user) = self.active(asked.user_id)? else {
            return Ok(None);
        };
        let now = model::now();
        let code = self.codes.current(&self.store, &user, asked.purpose, now)?;
        let mut contact = self.contact_of(&user)?;
        if asked.purpose == CodePurpose::EmailChange {
            let Some(email) = codes::pending_email(&self.store, user.id, now)? else {
                return Ok(None);
            };
            contact = Contact { email: email.to_string(), email_verified: false, ..contact };
        }
        Ok(code.map(|code| OneTimeCode { code, contact }))
    }

    fn email_undo(&self, asked: &EmailUndoOf) -> Result<Option<EmailUndo>, Error> {
        let EmailUndoOf { user_id, change_id } = *asked;
        let Some(user) = self.active(user_id)? else {
            return Ok(None);
        };
        let undo = tables::email_undo(&self.store, user_id, change_id, model::now())?;
        let Some(undo) = undo else {
            return Ok(None);
        };
        let token = self.codes.undo_token(user_id, change_id);
        let contact = Contact { email: undo.email.to_string(), ..self.contact_of(&user)? };
        Ok(Some(EmailUndo { token, contact }))
    }

    fn people(&self, asked: PeopleQuery) -> Result<Option<Vec<AccountContact>>, Error> {
        let people: Vec<User> = match asked {
            PeopleQuery::Of(ids) => {
                let known = ids
                    .iter()
                    .take(PEOPLE_MAX)
                    .map(|id| self.store.get(USERS, id));
                known
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?
            }
            PeopleQuery::Matching(_) if !self.people.is_done() => return Ok(None),
            PeopleQuery::Matching(text) => tables::matching(&self.store, &text, PEOPLE_MAX)?,
            PeopleQuery::RegisteredBefore { before, limit } => {
                let span = match &before {
                    Some(before) => USERS.all().before(before),
                    None => USERS.all(),
                };
                let rows = self.store.scan(span.newest_first())?;
                let rows = rows.take(limit.min(PEOPLE_MAX));
                rows.map(|row| row.map(|(_, user)| user))
                    .collect::<Result<_, _>>()?
            }
        };
        let contacts = people.into_iter().map(|user| AccountContact {
            user_id: user.id,
            email: user.email.to_string(),
            name: user.name,
            registered_at: user.created_at,
        });
        Ok(Some(contacts.collect()))
    }

    fn active(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(self.store.get(USERS, &id)?.filter(User::is_active))
    }

    fn contact_of(&self, user: &User) -> Result<Contact, Error> {
        Ok(Contact {
            email: user.email.to_string(),
            email_verified: user.email_verified,
            name: user.name.clone(),
            language: tables::language(&self.store, user.id)?,
        })
    }
}
