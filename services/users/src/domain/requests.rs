//! What people send about accounts, read so that EVERY field at fault is named.

use chassis::{FieldError, Role};

use super::fields::{name, roles};
use super::{AccountStatus, Email, PlaintextPassword};

/// Somebody who wants an account.
pub(crate) struct NewUser {
    pub(crate) email: Email,
    pub(crate) name: String,
    pub(crate) password: PlaintextPassword,
}

impl NewUser {
    /// Reads a registration.
    pub(crate) fn parse(
        email: Option<String>,
        password: Option<String>,
        called: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.required("/email", email, |text| Email::parse(&text));
        let password = faults.required("/password", password, |text| {
            PlaintextPassword::choose(&text)
        });
        let name = faults.required("/name", called, |text| name(&text));
        faults.unless(|| Some(Self { email: email?, name: name?, password: password? }))
    }
}

/// Somebody who wants to log in. An address that nobody can have is nobody's.
pub(crate) struct Credentials {
    pub(crate) email: Option<Email>,
    pub(crate) password: PlaintextPassword,
}

impl Credentials {
    /// Reads a login.
    pub(crate) fn parse(
        email: Option<String>,
        password: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.required("/email", email, |text| Ok(Email::parse(&text).ok()));
        let password = faults.required("/password", password, |text| {
            Ok(PlaintextPassword::attempt(&text))
        });
        faults.unless(|| Some(Self { email: email?, password: password? }))
    }
}

/// Somebody who is logged in and wants another password.
pub(crate) struct PasswordChange {
    pub(crate) current: PlaintextPassword,
    pub(crate) new: PlaintextPassword,
}

impl PasswordChange {
    /// Reads a change.
    pub(crate) fn parse(
        current: Option<String>,
        new: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let attempt = |text: String| Ok(PlaintextPassword::attempt(&text));
        let current = faults.required("/current_password", current, attempt);
        let new = faults.required("/new_password", new, |text| {
            PlaintextPassword::choose(&text)
        });
        faults.unless(|| Some(Self { current: current?, new: new? }))
    }
}

/// Somebody who lost their password. An address that nobody can have is nobody's.
pub(crate) struct Lost {
    pub(crate) email: Option<Email>,
}

impl Lost {
    /// Reads a request for a code.
    pub(crate) fn parse(email: Option<String>) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.required("/email", email, |text| Ok(Email::parse(&text).ok()));
        faults.unless(|| Some(Self { email: email? }))
    }
}

/// Somebody who lost their password and got a code.
pub(crate) struct Reset {
    pub(crate) email: Option<Email>,
    pub(crate) code: String,
    pub(crate) new: PlaintextPassword,
}

impl Reset {
    /// Reads a confirmation.
    pub(crate) fn parse(
        email: Option<String>,
        code: Option<String>,
        new: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.required("/email", email, |text| Ok(Email::parse(&text).ok()));
        let code = faults.required("/code", code, Ok);
        let new = faults.required("/new_password", new, |text| {
            PlaintextPassword::choose(&text)
        });
        faults.unless(|| Some(Self { email: email?, code: code?, new: new? }))
    }
}

/// The code somebody typed.
pub(crate) fn code(typed: Option<String>) -> Result<String, Vec<FieldError>> {
    let mut faults = Faults::default();
    let code = faults.required("/code", typed, Ok);
    faults.unless(|| code)
}

/// What people change about themselves.
pub(crate) struct Profile {
    pub(super) email: Option<Email>,
    pub(super) name: Option<String>,
}

impl Profile {
    /// Reads a change.
    pub(crate) fn parse(
        email: Option<String>,
        called: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.optional("/email", email, |text| Email::parse(&text));
        let name = faults.optional("/name", called, |text| name(&text));
        faults.unless(|| Some(Self { email, name }))
    }
}

/// What an admin changes about an account.
pub(crate) struct Administration {
    pub(super) roles: Option<Vec<Role>>,
    pub(super) status: Option<AccountStatus>,
}

impl Administration {
    /// Reads a change.
    pub(crate) fn parse(
        granted: Option<Vec<Role>>,
        status: Option<AccountStatus>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let roles = faults.optional("/roles", granted, roles);
        faults.unless(|| Some(Self { roles, status }))
    }
}

/// An account as whoever runs the machine wants it to be, made or changed.
pub(crate) struct Addition {
    pub(crate) email: Email,
    pub(crate) password: Option<PlaintextPassword>,
    pub(super) name: Option<String>,
    pub(super) roles: Option<Vec<Role>>,
}

impl Addition {
    /// Reads an order from the control socket.
    pub(crate) fn parse(
        email: Option<String>,
        called: Option<String>,
        password: Option<String>,
        granted: Option<Vec<Role>>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let email = faults.required("/email", email, |text| Email::parse(&text));
        let password = faults.optional("/password", password, |text| {
            PlaintextPassword::choose(&text)
        });
        let name = faults.optional("/name", called, |text| name(&text));
        let roles = faults.optional("/roles", granted, roles);
        faults.unless(|| Some(Self { email: email?, password, name, roles }))
    }
}

/// The fields at fault so far.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    /// The field as `read` understands it; a missing one is a fault.
    fn required<G, T>(
        &mut self,
        pointer: &str,
        given: Option<G>,
        read: impl FnOnce(G) -> Result<T, &'static str>,
    ) -> Option<T> {
        if given.is_none() {
            self.0.push(FieldError::new(pointer, "is required"));
        }
        self.optional(pointer, given, read)
    }

    /// The field as `read` understands it, if there is one.
    fn optional<G, T>(
        &mut self,
        pointer: &str,
        given: Option<G>,
        read: impl FnOnce(G) -> Result<T, &'static str>,
    ) -> Option<T> {
        match read(given?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push(FieldError::new(pointer, why));
                None
            }
        }
    }

    /// What `build` makes of the fields, unless one of them was at fault.
    fn unless<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Vec<FieldError>> {
        match build() {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_at_fault_is_named() {
        let pointers = |result: Result<NewUser, Vec<FieldError>>| {
            let faults = result.err().unwrap_or_default();
            faults
                .into_iter()
                .map(|fault| fault.pointer)
                .collect::<Vec<_>>()
        };
        let text = |text: &str| Some(text.to_owned());
        let all = ["/email", "/password", "/name"];
        assert_eq!(pointers(NewUser::parse(None, None, None)), all);
        let wrong = NewUser::parse(text("ana"), text("short"), text(" \t "));
        assert_eq!(pointers(wrong), all);
        let long = NewUser::parse(text("a@x.org"), text("kittens7"), Some("n".repeat(101)));
        assert_eq!(pointers(long), ["/name"]);
    }
}
