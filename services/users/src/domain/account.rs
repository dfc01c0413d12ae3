//! An account: whose it is, what it may do, and how it changes.
//!
//! **Invariant:** [`User`] holds exactly what its owner may see, in the order the
//! API shows it; what nobody may see, such as a password's hash, has tables of
//! its own.

use chassis::Role;
use model::{Id, Time, UserField, kinds};
use serde::{Deserialize, Serialize};

use super::{Addition, Administration, Email, Profile};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: Id<kinds::User>,
    pub(crate) email: Email,
    pub(crate) email_verified: bool,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) status: Status,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

impl ::store::Record for User {}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Active,
    Disabled,
}

impl User {
    /// A new account of a customer.
    pub(crate) fn new(email: Email, name: String, now: Time) -> Self {
        Self {
            id: Id::new(),
            email,
            email_verified: false,
            name,
            roles: vec![Role::Customer],
            status: Status::Active,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether they run the shop.
    pub(crate) fn is_staff(&self) -> bool {
        self.roles.contains(&Role::Staff) || self.roles.contains(&Role::Admin)
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether they run the machine, and can.
    pub(crate) fn is_active_admin(&self) -> bool {
        self.is_active() && self.roles.contains(&Role::Admin)
    }

    /// What its owner makes of it. A new address has to be verified anew.
    pub(crate) fn with(&self, change: Profile, now: Time) -> Self {
        let mut user = self.clone();
        user.name = change.name.unwrap_or(user.name);
        user.email = change.email.unwrap_or(user.email);
        user.email_verified &= user.email == self.email;
        self.touched(user, now)
    }

    /// What an admin makes of it.
    pub(crate) fn administered(&self, change: Administration, now: Time) -> Self {
        let mut user = self.clone();
        user.roles = change.roles.unwrap_or(user.roles);
        user.status = change.status.unwrap_or(user.status);
        self.touched(user, now)
    }

    /// The account, new or as it was, as whoever runs the machine wants it. It can
    /// be used again in any case: this is the way back in.
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
        user.status = Status::Active;
        before.touched(user, now)
    }

    /// As [`added`](Self::added), of an account that stays disabled if it is.
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

    /// The account of somebody who showed that the address is theirs.
    pub(crate) fn verified(&self, now: Time) -> Self {
        let user = Self { email_verified: true, ..self.clone() };
        self.touched(user, now)
    }

    /// What is not as it was in `before`.
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
        ];
        let changed = fields.into_iter().filter(|(changed, _)| *changed);
        changed.map(|(_, field)| field).collect()
    }

    /// Whether tokens made for `before` would allow what is allowed no longer.
    pub(crate) fn allows_less_than(&self, before: &Self) -> bool {
        !self.is_active() || before.roles.iter().any(|role| !self.roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_loses_a_right_loses_their_tokens() {
        let ana = User::new(
            Email::parse("ana@example.org").unwrap(),
            "Ana".into(),
            Time(1),
        );
        let change = |roles: &[Role], status| {
            let change = Administration::parse(Some(roles.to_vec()), status).unwrap();
            ana.administered(change, Time(2))
        };
        let staff = change(&[Role::Staff, Role::Customer, Role::Staff], None);
        assert_eq!(staff.roles, [Role::Customer, Role::Staff]);
        assert!(!staff.allows_less_than(&ana));
        assert!(ana.allows_less_than(&staff));
        assert!(change(&[Role::Customer], Some(Status::Disabled)).allows_less_than(&ana));
        assert_eq!(
            change(&[Role::Customer], None),
            ana,
            "no change, no new version"
        );
        assert!(Administration::parse(Some(Vec::new()), None).is_err());
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
        assert_eq!(::store::encode(&ana).unwrap(), golden);
        assert_eq!(::store::decode::<User>(&golden).unwrap(), ana);
    }
}
