//! Request and response bodies.
//!
//! Each request body has a `read` that turns it into a command. **Invariant:** `read` checks
//! every field and reports all faults at once, each with the pointer of its field.

use std::net::IpAddr;

use chassis::{FieldError, Role};
use model::{SessionId, Time};
use serde::{Deserialize, Serialize};

use crate::domain::{
    self, AccountStatus, Addition, Administration, Email, LogIn, NewUser, PasswordChange,
    PasswordReset, PlaintextPassword, Profile, Session, User,
};
use crate::keys::{HeldKey, SigningKey};

type Read<T> = Result<T, Vec<FieldError>>;

/// `POST /v1/users`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    email: Option<String>,
    password: Option<String>,
    name: Option<String>,
}

impl RegisterBody {
    pub(crate) fn read(self) -> Read<NewUser> {
        let mut faults = FieldFaults::default();
        let email = faults.required("/email", self.email, |text| Email::parse(&text));
        let password = faults.required("/password", self.password, new_password);
        let name = faults.required("/name", self.name, |text| domain::name(&text));
        faults.unless(|| Some(NewUser { email: email?, name: name?, password: password? }))
    }
}

/// `POST /v1/sessions`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogInBody {
    email: Option<String>,
    password: Option<String>,
}

impl LogInBody {
    pub(crate) fn read(self) -> Read<LogIn> {
        let mut faults = FieldFaults::default();
        let email = faults.required("/email", self.email, any_email);
        let password = faults.required("/password", self.password, any_password);
        faults.unless(|| Some(LogIn { email: email?, password: password? }))
    }
}

/// `POST /v1/sessions/refresh`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    refresh_token: Option<String>,
}

impl RefreshBody {
    pub(crate) fn read(self) -> Read<String> {
        only("/refresh_token", self.refresh_token, Ok)
    }
}

/// `POST /v1/users/me/password`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordBody {
    current_password: Option<String>,
    new_password: Option<String>,
}

impl ChangePasswordBody {
    pub(crate) fn read(self) -> Read<PasswordChange> {
        let mut faults = FieldFaults::default();
        let current = faults.required("/current_password", self.current_password, any_password);
        let new = faults.required("/new_password", self.new_password, new_password);
        faults.unless(|| Some(PasswordChange { current: current?, new: new? }))
    }
}

/// `POST /v1/users/password-reset`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestResetBody {
    email: Option<String>,
}

impl RequestResetBody {
    pub(crate) fn read(self) -> Read<Option<Email>> {
        only("/email", self.email, any_email)
    }
}

/// `POST /v1/users/password-reset/confirm`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmResetBody {
    email: Option<String>,
    code: Option<String>,
    new_password: Option<String>,
}

impl ConfirmResetBody {
    pub(crate) fn read(self) -> Read<PasswordReset> {
        let mut faults = FieldFaults::default();
        let email = faults.required("/email", self.email, any_email);
        let code = faults.required("/code", self.code, Ok);
        let new = faults.required("/new_password", self.new_password, new_password);
        faults.unless(|| Some(PasswordReset { email: email?, code: code?, new: new? }))
    }
}

/// `POST /v1/users/me/verify-email/confirm`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmEmailBody {
    code: Option<String>,
}

impl ConfirmEmailBody {
    pub(crate) fn read(self) -> Read<String> {
        only("/code", self.code, Ok)
    }
}

/// `PATCH /v1/users/me`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeProfileBody {
    email: Option<String>,
    name: Option<String>,
}

impl ChangeProfileBody {
    pub(crate) fn read(self) -> Read<Profile> {
        let mut faults = FieldFaults::default();
        let email = faults.optional("/email", self.email, |text| Email::parse(&text));
        let name = faults.optional("/name", self.name, |text| domain::name(&text));
        faults.unless(|| Some(Profile { email, name }))
    }
}

/// `PATCH /v1/users/{id}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdministerBody {
    roles: Option<Vec<Role>>,
    status: Option<AccountStatus>,
}

impl AdministerBody {
    pub(crate) fn read(self) -> Read<Administration> {
        let mut faults = FieldFaults::default();
        let roles = faults.optional("/roles", self.roles, domain::roles);
        faults.unless(|| Some(Administration { roles, status: self.status }))
    }
}

/// `POST /control/users`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUserBody {
    email: Option<String>,
    name: Option<String>,
    password: Option<String>,
    roles: Option<Vec<Role>>,
}

impl AddUserBody {
    pub(crate) fn read(self) -> Read<Addition> {
        let mut faults = FieldFaults::default();
        let email = faults.required("/email", self.email, |text| Email::parse(&text));
        let password = faults.optional("/password", self.password, new_password);
        let name = faults.optional("/name", self.name, |text| domain::name(&text));
        let roles = faults.optional("/roles", self.roles, domain::roles);
        faults.unless(|| Some(Addition { email: email?, password, name, roles }))
    }
}

/// `PATCH /control/users`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeUserBody {
    email: Option<String>,
    password: Option<String>,
    roles: Option<Vec<Role>>,
}

impl ChangeUserBody {
    pub(crate) fn read(self) -> Read<Addition> {
        let Self { email, password, roles } = self;
        AddUserBody { email, name: None, password, roles }.read()
    }
}

/// `POST /control/keys/rotate`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// Whether the old keys end at once, and every access token with them.
    #[serde(default)]
    pub(crate) at_once: bool,
}

fn new_password(text: String) -> Result<PlaintextPassword, &'static str> {
    PlaintextPassword::choose(&text)
}

/// A password to verify: every text is one.
fn any_password(text: String) -> Result<PlaintextPassword, &'static str> {
    Ok(PlaintextPassword::attempt(&text))
}

/// An address to look up: a malformed one is the address of no account.
fn any_email(text: String) -> Result<Option<Email>, &'static str> {
    Ok(Email::parse(&text).ok())
}

/// Reads a body of one required field.
fn only<T>(
    pointer: &str,
    given: Option<String>,
    read: impl FnOnce(String) -> Result<T, &'static str>,
) -> Read<T> {
    let mut faults = FieldFaults::default();
    let value = faults.required(pointer, given, read);
    faults.unless(|| value)
}

/// The faults found so far.
#[derive(Default)]
struct FieldFaults(Vec<FieldError>);

impl FieldFaults {
    /// Reads a field; a missing one is a fault.
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

    /// Reads a field, if there is one.
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

    /// Builds the command, unless there was a fault.
    fn unless<T>(self, build: impl FnOnce() -> Option<T>) -> Read<T> {
        match build() {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

/// A pair of tokens and its account.
#[derive(Serialize)]
pub(crate) struct TokenPairResponse<'a> {
    pub(crate) access_token: String,
    pub(crate) token_type: &'static str,
    /// Seconds.
    pub(crate) expires_in: u64,
    pub(crate) refresh_token: String,
    pub(crate) user: &'a User,
}

/// A session in a response.
#[derive(Serialize)]
pub(crate) struct SessionResponse {
    id: SessionId,
    /// Whether it is the caller's.
    current: bool,
    user_agent: Option<String>,
    /// Address of the last refresh.
    address: Option<IpAddr>,
    created_at: Time,
    last_seen_at: Time,
}

impl SessionResponse {
    /// A session, seen by the caller of session `current`.
    pub(crate) fn of((id, session): (SessionId, Session), current: SessionId) -> Self {
        Self {
            id,
            current: id == current,
            user_agent: session.user_agent,
            address: session.address,
            created_at: session.created_at,
            last_seen_at: session.refreshed_at,
        }
    }
}

/// All personal data of an account. Login addresses and failed attempts are stored only
/// as MACs, which identify no person.
#[derive(Serialize)]
pub(crate) struct ExportResponse {
    pub(crate) exported_at: Time,
    pub(crate) user: User,
    /// BCP 47 tag of the preferred language.
    pub(crate) language: Option<String>,
    pub(crate) sessions: Vec<SessionResponse>,
}

/// A list of keys, newest first.
#[derive(Serialize)]
pub(crate) struct KeysResponse<T> {
    keys: Vec<T>,
}

impl<T: From<HeldKey>> KeysResponse<T> {
    pub(crate) fn of(keys: Vec<HeldKey>) -> Self {
        Self { keys: keys.into_iter().map(T::from).collect() }
    }
}

/// A key in the public list.
#[derive(Serialize)]
pub(crate) struct PublicKeyResponse {
    kid: String,
    key: String,
    status: KeyStatus,
}

/// A key in the operator's list.
#[derive(Serialize)]
pub(crate) struct SigningKeyResponse {
    kid: String,
    status: KeyStatus,
    published_at: Time,
    signs_from: Time,
    /// When its tokens stop being accepted.
    until: Option<Time>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum KeyStatus {
    /// The newest: it signs, or is about to.
    Active,
    /// Its successor is published; it stays valid for a while.
    Retiring,
}

impl KeyStatus {
    fn of(key: &SigningKey) -> Self {
        match key.until {
            None => Self::Active,
            Some(_) => Self::Retiring,
        }
    }
}

impl From<HeldKey> for PublicKeyResponse {
    fn from(HeldKey { kid, row, .. }: HeldKey) -> Self {
        Self { status: KeyStatus::of(&row), kid, key: row.key }
    }
}

impl From<HeldKey> for SigningKeyResponse {
    fn from(HeldKey { kid, row, .. }: HeldKey) -> Self {
        let status = KeyStatus::of(&row);
        let SigningKey { published_at, signs_from, until, .. } = row;
        Self { kid, status, published_at, signs_from, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_field_is_named() {
        let pointers = |body: RegisterBody| {
            let faults = body.read().err().unwrap_or_default();
            faults
                .into_iter()
                .map(|fault| fault.pointer)
                .collect::<Vec<_>>()
        };
        let body = |email: &str, password: &str, name: &str| RegisterBody {
            email: Some(email.to_owned()),
            password: Some(password.to_owned()),
            name: Some(name.to_owned()),
        };
        let all = ["/email", "/password", "/name"];
        assert_eq!(pointers(RegisterBody::default()), all);
        assert_eq!(pointers(body("ana", "short", " \t ")), all);
        let long = body("a@x.org", "kittens7", &"n".repeat(101));
        assert_eq!(pointers(long), ["/name"]);
    }

    #[test]
    fn roles_are_normalised_and_not_empty() {
        let read =
            |roles: &[Role]| AdministerBody { roles: Some(roles.to_vec()), status: None }.read();
        let change = read(&[Role::Staff, Role::Customer, Role::Staff]).ok();
        assert_eq!(
            change.unwrap().roles.unwrap(),
            [Role::Customer, Role::Staff]
        );
        assert!(read(&[]).is_err());
    }
}
