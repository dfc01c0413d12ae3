//! Request and response bodies.
//!
//! Request bodies are read straight into commands of the domain (`chassis::fields`).
//! **Invariant:** every field is checked and all faults are reported at once, each with the
//! pointer of its field.

mod addresses;
mod api_keys;

use std::net::IpAddr;

use chassis::fields::{Fields, ReadFields};
use model::{SessionId, Time};
use serde::Serialize;

use crate::domain::{
    self, Addition, Administration, Email, LogIn, NewUser, PasswordChange, PasswordReset,
    PlaintextPassword, Profile, Proof, Session, User,
};
use crate::keys::{HeldKey, Rotation, SigningKey};

pub(crate) use addresses::{AddressBody, AddressResponse};
pub(crate) use api_keys::ApiKeyResponse;

/// `POST /v1/users`
impl ReadFields for NewUser {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", Email::choose);
        let password = fields.required("password", PlaintextPassword::choose);
        let name = fields.required("name", domain::name);
        if let (Some(email), Some(password), Some(name)) = (&email, &password, &name)
            && let Err(why) = password.differ_from(email, name)
        {
            fields.fault("/password", why);
        }
        Some(Self { email: email?, name: name?, password: password? })
    }
}

/// `POST /v1/setup`: the token of the link beside the fields of a new account.
pub(crate) struct SetUpBody {
    pub(crate) token: String,
    pub(crate) account: NewUser,
}

impl ReadFields for SetUpBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let token = fields.required_value("token");
        let account = NewUser::read(fields);
        Some(Self { token: token?, account: account? })
    }
}

/// `POST /v1/sessions`: `{email, password}`, or `{challenge, code}` as soon as one of these two
/// is there.
impl ReadFields for LogIn {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (challenge, code) = (fields.value("challenge"), fields.value("code"));
        if challenge.is_some() || code.is_some() {
            for (name, is_absent) in [
                ("/challenge", challenge.is_none()),
                ("/code", code.is_none()),
            ] {
                if is_absent {
                    fields.fault(name, "is required");
                }
            }
            return Some(Self::SecondFactor { challenge: challenge?, code: code? });
        }
        let email = fields.required("email", any_email);
        let password = fields.required("password", any_password);
        Some(Self::Password { email: email?, password: password? })
    }
}

/// `POST /v1/sessions/refresh`
pub(crate) struct RefreshBody {
    pub(crate) refresh_token: String,
}

impl ReadFields for RefreshBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let refresh_token = fields.required_value("refresh_token")?;
        Some(Self { refresh_token })
    }
}

/// `POST /v1/users/me/password`
impl ReadFields for PasswordChange {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let new = fields.required("new_password", PlaintextPassword::choose);
        Some(Self { new: new? })
    }
}

/// A body of `T` with the caller's proof beside its fields. The proof is optional here: a
/// request that needs it and lacks it is refused as one with a wrong password is (403).
pub(crate) struct WithProof<T> {
    pub(crate) content: T,
    pub(crate) proof: Proof,
}

impl<T: ReadFields> ReadFields for WithProof<T> {
    const MAY_BE_ABSENT: bool = T::MAY_BE_ABSENT;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let password = fields.optional("current_password", any_password);
        let proof = Proof { password, code: fields.value("code") };
        let content = T::read(fields)?;
        Some(Self { content, proof })
    }
}

/// No fields but the proof, for example `DELETE /v1/users/me`.
pub(crate) struct NoFields;

impl ReadFields for NoFields {
    const MAY_BE_ABSENT: bool = true;

    fn read(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// `POST /v1/users/password-reset`
pub(crate) struct RequestResetBody {
    pub(crate) email: Option<Email>,
}

impl ReadFields for RequestResetBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", any_email)?;
        Some(Self { email })
    }
}

/// `POST /v1/users/password-reset/confirm`
impl ReadFields for PasswordReset {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", any_email);
        let code = fields.required_value("code");
        let new = fields.required("new_password", PlaintextPassword::choose);
        Some(Self { email: email?, code: code?, new: new? })
    }
}

/// A code alone: `POST /v1/users/me/verify-email/confirm`, `…/email/confirm`, `…/totp/confirm`
pub(crate) struct CodeBody {
    pub(crate) code: String,
}

impl ReadFields for CodeBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let code = fields.required_value("code")?;
        Some(Self { code })
    }
}

/// `POST /v1/users/email-change/undo`
pub(crate) struct UndoBody {
    pub(crate) token: String,
}

impl ReadFields for UndoBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let token = fields.required_value("token")?;
        Some(Self { token })
    }
}

/// `DELETE /v1/sessions/current`: nothing, or the refresh token of the session to end.
pub(crate) struct LogOutBody {
    pub(crate) refresh_token: Option<String>,
}

impl ReadFields for LogOutBody {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let refresh_token = fields.value("refresh_token");
        Some(Self { refresh_token })
    }
}

/// `PATCH /v1/users/me`
impl ReadFields for Profile {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.optional("email", Email::choose);
        let name = fields.optional("name", domain::name);
        Some(Self { email, name })
    }
}

/// `PATCH /v1/users/{id}`
impl ReadFields for Administration {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let roles = fields.parsed("roles", domain::roles);
        let status = fields.value("status");
        Some(Self { roles, status })
    }
}

/// `POST /control/users`
impl ReadFields for Addition {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let change = ChangeUserBody::read(fields);
        let name = fields.optional("name", domain::name);
        Some(Self { name, ..change?.0 })
    }
}

/// `PATCH /control/users`
pub(crate) struct ChangeUserBody(pub(crate) Addition);

impl ReadFields for ChangeUserBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", Email::parse);
        let password = fields.optional("password", PlaintextPassword::choose);
        let roles = fields.parsed("roles", domain::roles);
        Some(Self(Addition {
            email: email?,
            password,
            name: None,
            roles,
        }))
    }
}

/// `POST /control/keys/rotate`: with `at_once` the old keys end immediately, and every
/// access token with them.
impl ReadFields for Rotation {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let at_once = fields.value("at_once") == Some(true);
        Some(if at_once { Self::Immediate } else { Self::Requested })
    }
}

/// `POST /control/users/factor-reset`
pub(crate) struct ResetFactorBody {
    pub(crate) email: Email,
}

impl ReadFields for ResetFactorBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", Email::parse)?;
        Some(Self { email })
    }
}

/// A password to verify: every text is one.
fn any_password(text: &str) -> Result<PlaintextPassword, &'static str> {
    Ok(PlaintextPassword::attempt(text))
}

/// An address to look up: a malformed one is the address of no account.
fn any_email(text: &str) -> Result<Option<Email>, &'static str> {
    Ok(Email::parse(text).ok())
}

/// The caller's own account.
#[derive(Serialize)]
pub(crate) struct MyAccountResponse<'a> {
    #[serde(flatten)]
    pub(crate) user: &'a User,
    /// The address that counts once its code is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending_email: Option<Email>,
}

/// The token of a set-up link, and when it ends.
#[derive(Serialize)]
pub(crate) struct SetUpLinkResponse {
    pub(crate) token: String,
    pub(crate) until: Time,
}

/// The recovery codes of a second factor, shown once.
#[derive(Serialize)]
pub(crate) struct RecoveryCodesResponse {
    pub(crate) recovery_codes: Vec<String>,
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
    /// Whether it is the one of this request.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending_email: Option<Email>,
    /// BCP 47 tag of the preferred language.
    pub(crate) language: Option<String>,
    pub(crate) addresses: Vec<AddressResponse>,
    pub(crate) sessions: Vec<SessionResponse>,
    pub(crate) api_keys: Vec<ApiKeyResponse>,
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
    use chassis::Role;
    use chassis::fields::BodyFault;

    use super::*;

    fn pointers<T: ReadFields>(body: &serde_json::Value) -> Vec<String> {
        match Fields::read_text::<T>(body.to_string().as_bytes()) {
            Err(BodyFault::Invalid(faults)) => faults.into_iter().map(|one| one.pointer).collect(),
            Err(BodyFault::Unreadable(why)) => panic!("{why}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_invalid_field_is_named() {
        let pointers = pointers::<NewUser>;
        let body = |email: &str, password: &str, name: &str| serde_json::json!({ "email": email, "password": password, "name": name });
        let all = ["/email", "/password", "/name"];
        assert_eq!(pointers(&serde_json::json!({})), all);
        assert_eq!(pointers(&body("ana", "short", " \t ")), all);
        let long = body("a@x.org", "kittens7", &"n".repeat(101));
        assert_eq!(pointers(&long), ["/name"]);
    }

    #[test]
    fn a_login_has_one_of_two_shapes() {
        let pointers = |body| pointers::<LogIn>(&body);
        let second = serde_json::json!({ "challenge": "challenge_abc", "code": "123456" });
        assert!(pointers(second.clone()).is_empty());
        assert_eq!(pointers(serde_json::json!({})), ["/email", "/password"]);
        assert_eq!(pointers(serde_json::json!({ "code": "1" })), ["/challenge"]);
        assert_eq!(pointers(serde_json::json!({ "challenge": "c" })), ["/code"]);
        let mut both = second;
        both["password"] = "kittens7".into();
        let text = both.to_string();
        let fault = Fields::read_text::<LogIn>(text.as_bytes()).err().unwrap();
        assert_eq!(
            fault,
            BodyFault::Unreadable("unknown field `password`".into())
        );
    }

    #[test]
    fn roles_are_normalised_and_not_empty() {
        let text = br#"{ "roles": ["staff", "customer", "staff"] }"#;
        let change: Administration = Fields::read_text(text).ok().unwrap();
        assert_eq!(change.roles.unwrap(), [Role::Customer, Role::Staff]);
        let none = serde_json::json!({ "roles": [] });
        assert_eq!(pointers::<Administration>(&none), ["/roles"]);
    }
}
