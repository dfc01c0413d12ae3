//! Account: its fields, rights and state changes.
//!
//! **Invariant:** [`User`] holds exactly the fields its owner may see, in the order of the
//! API; secrets such as the password's hash are in tables of their own.

use chassis::Role;
use model::{Email, Id, Time, UserField, kinds};
use serde::{Deserialize, Serialize};

use super::commands::{Addition, Administration};
use super::fields::AccountStatus;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: Id<kinds::User>,
    pub(crate) email: Email,
    pub(crate) email_verified: bool,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) status: AccountStatus,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    /// When the second factor was enrolled, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) second_factor_since: Option<Time>,
}

impl store::Record for User {}

impl User {
    /// A new customer account.
    pub(crate) fn new(email: Email, name: String, now: Time) -> Self {
        Self {
            id: Id::new(),
            email,
            email_verified: false,
            name,
            roles: vec![Role::Customer],
            status: AccountStatus::Active,
            created_at: now,
            updated_at: now,
            second_factor_since: None,
        }
    }

    /// Whether the account has a role of the shop's staff.
    pub(crate) fn is_staff(&self) -> bool {
        self.roles.contains(&Role::Staff) || self.roles.contains(&Role::Admin)
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == AccountStatus::Active
    }

    /// Whether the account is active and has the admin role.
    pub(crate) fn is_active_admin(&self) -> bool {
        self.is_active() && self.roles.contains(&Role::Admin)
    }

    /// Applies the owner's change of their name.
    pub(crate) fn renamed(&self, name: Option<String>, now: Time) -> Self {
        let mut user = self.clone();
        user.name = name.unwrap_or(user.name);
        self.touched(user, now)
    }

    /// The same address in another spelling, which is as verified as before.
    pub(crate) fn respelled(&self, email: Email, now: Time) -> Self {
        self.touched(Self { email, ..self.clone() }, now)
    }

    /// Applies a change of address that was proven by a secret sent to it.
    pub(crate) fn moved(&self, email: Email, now: Time) -> Self {
        let user = Self { email, email_verified: true, ..self.clone() };
        self.touched(user, now)
    }

    /// Applies an admin's change.
    pub(crate) fn administered(&self, change: Administration, now: Time) -> Self {
        let mut user = self.clone();
        user.roles = change.roles.unwrap_or(user.roles);
        user.status = change.status.unwrap_or(user.status);
        self.touched(user, now)
    }

    /// Applies the operator's change, to a new account if there is none. The result is
    /// active in any case: this is how a locked-out operator gets back in.
    pub(crate) fn added(before: Option<&Self>, wanted: Addition, now: Time) -> Self {
        let made;
        let before = match before {
            Some(user) => user,
            None => {
                let name = wanted.email.local_part().to_owned();
                made = Self::new(wanted.email, name, now);
                &made
            }
        };
        let mut user = before.clone();
        user.name = wanted.name.unwrap_or(user.name);
        user.roles = wanted.roles.unwrap_or(user.roles);
        user.status = AccountStatus::Active;
        before.touched(user, now)
    }

    /// As [`added`](Self::added), but a disabled account stays disabled.
    pub(crate) fn reshaped(&self, wanted: Addition, now: Time) -> Self {
        let status = self.status;
        let user = Self { status, ..Self::added(Some(self), wanted, self.updated_at) };
        self.touched(user, now)
    }

    fn touched(&self, mut changed: Self, now: Time) -> Self {
        if changed != *self {
            changed.updated_at = now;
        }
        changed
    }

    /// Marks the address as verified.
    pub(crate) fn verified(&self, now: Time) -> Self {
        let user = Self { email_verified: true, ..self.clone() };
        self.touched(user, now)
    }

    /// The account with a second factor that was enrolled then, or without one.
    pub(crate) fn with_second_factor(&self, since: Option<Time>, now: Time) -> Self {
        let user = Self { second_factor_since: since, ..self.clone() };
        self.touched(user, now)
    }

    /// The fields that differ from `before`.
    pub(crate) fn changed(&self, before: &Self) -> Vec<UserField> {
        let fields = [
            (self.name != before.name, UserField::Name),
            (self.email != before.email, UserField::Email),
            (
                self.email_verified != before.email_verified,
                UserField::EmailVerified,
            ),
            (self.roles != before.roles, UserField::Roles),
            (self.status != before.status, UserField::Status),
            (
                self.second_factor_since != before.second_factor_since,
                UserField::SecondFactor,
            ),
        ];
        let changed = fields.into_iter().filter(|(changed, _)| *changed);
        changed.map(|(_, field)| field).collect()
    }

    /// Whether tokens issued for `before` grant more than this account has.
    pub(crate) fn allows_less_than(&self, before: &Self) -> bool {
        !self.is_active() || before.roles.iter().any(|role| !self.roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losing_a_right_is_detected() {
        let ana = User::new(
            Email::parse("ana@example.org").unwrap(),
            "Ana".into(),
            Time(1),
        );
        let change = |roles: &[Role], status| {
            let change = Administration { roles: Some(roles.to_vec()), status };
            ana.administered(change, Time(2))
        };
        let staff = change(&[Role::Customer, Role::Staff], None);
        assert!(!staff.allows_less_than(&ana));
        assert!(ana.allows_less_than(&staff));
        assert!(change(&[Role::Customer], Some(AccountStatus::Disabled)).allows_less_than(&ana));
        assert_eq!(
            change(&[Role::Customer], None),
            ana,
            "an unchanged account keeps its version"
        );
    }

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let mut ana = User::new(Email::parse("ana@x.org").unwrap(), "Ana".into(), Time(1));
        ana.id = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let mut golden = b"\x01\x88\xa2id\xc4\x10".to_vec();
        golden.extend_from_slice(ana.id.uuid().as_bytes());
        golden.extend_from_slice(b"\xa5email\xa9ana@x.org\xaeemail_verified\xc2\xa4name\xa3Ana");
        golden.extend_from_slice(b"\xa5roles\x91\xa8customer\xa6status\xa6active");
        golden.extend_from_slice(b"\xaacreated_at\x01\xaaupdated_at\x01");
        assert_eq!(store::encode(&ana).unwrap(), golden);
        assert_eq!(store::decode::<User>(&golden).unwrap(), ana);
        let enrolled = ana.with_second_factor(Some(Time(2)), Time(2));
        let bytes = store::encode(&enrolled).unwrap();
        assert!(bytes.ends_with(b"\xb3second_factor_since\x02"));
        assert_eq!(store::decode::<User>(&bytes).unwrap(), enrolled);
    }
}
