//! What other services ask about people: where to write to, and which code.
//!
//! **Invariant:** what is answered here is in no event and no log line. Whoever is
//! disabled or erased is nobody.

use std::sync::Arc;

use ::store::Read;
use chassis::Context;
use mesh::{CodeOf, Contact, ContactOf, OneTimeCode};

use crate::domain::User;
use crate::store::{self as tables, USERS};
use crate::{Error, Users};

/// Answers until the service stops.
///
/// # Errors
/// When the mesh refuses.
pub(crate) async fn start(context: &Context, users: &Arc<Users>) -> Result<(), chassis::Error> {
    let (mesh, tasks) = (&context.mesh, &context.tasks);
    let people = users.clone();
    let contact = move |asked: ContactOf| {
        let answer = said(people.contact(&asked));
        Box::pin(async move { answer }) as _
    };
    mesh.answer(tasks, context.stop.clone(), contact).await?;
    let people = users.clone();
    let code = move |asked: CodeOf| {
        let answer = said(people.code(&asked));
        Box::pin(async move { answer }) as _
    };
    mesh.answer(tasks, context.stop.clone(), code).await?;
    Ok(())
}

/// A store that cannot be read knows nobody now; whoever asked tries again.
fn said<T>(answer: Result<Option<T>, Error>) -> Option<T> {
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "a question about somebody could not be answered");
        None
    })
}

impl Users {
    fn contact(&self, asked: &ContactOf) -> Result<Option<Contact>, Error> {
        let user = self.store.get(USERS, &asked.user_id)?;
        let user = user.filter(User::is_active);
        user.map(|user| self.contact_of(&user)).transpose()
    }

    fn code(&self, asked: &CodeOf) -> Result<Option<OneTimeCode>, Error> {
        let user = self.store.get(USERS, &asked.user_id)?;
        let Some(user) = user.filter(User::is_active) else {
            return Ok(None);
        };
        let code = self
            .codes
            .current(&self.store, &user, asked.purpose, model::now())?;
        let contact = self.contact_of(&user)?;
        Ok(code.map(|code| OneTimeCode { code, contact }))
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
