//! Preferences: by which channels a person is notified of each kind.
//!
//! Only what was chosen is stored, so a default may change for those who never chose.
//! **Invariants:** messages about an account's safety are mailed whatever is chosen, and kinds
//! for staff are shown to staff and chosen by staff only.

use std::collections::BTreeMap;

use ::store::{Error as StoreError, Read, Table, Tx};
use chassis::fields::{CheckedBody, Fields, ReadFields};
use chassis::{Caller, FieldError};
use model::UserId;
use serde::{Deserialize, Serialize};

use crate::domain::{Audience, KindRule, MailRule, Topic};

/// user → the channels that they chose.
const PREFERENCES: Table<UserId, Preferences> = Table::new("preferences");

/// A way to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Channel {
    Inbox,
    Mail,
}

/// Channels by the name of their kind. Stored it has the kinds that were chosen; in a response
/// all that the reader can choose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preferences {
    kinds: BTreeMap<String, Vec<Channel>>,
}

impl ::store::Record for Preferences {}

impl KindRule {
    /// The channels of those who chose none.
    fn default_channels(self) -> Vec<Channel> {
        match self.mail {
            MailRule::Always | MailRule::Usually => vec![Channel::Inbox, Channel::Mail],
            MailRule::OnRequest | MailRule::Never => vec![Channel::Inbox],
        }
    }

    /// Refuses channels that the kind cannot have.
    fn check(self, chosen: &[Channel]) -> Result<(), &'static str> {
        match (self.mail, chosen.contains(&Channel::Mail)) {
            (MailRule::Always, false) => {
                Err("must have `mail`: messages about the account's safety are always sent")
            }
            (MailRule::Never, true) => {
                Err("must not have `mail`: a mail about mail that fails could fail, too")
            }
            _ => Ok(()),
        }
    }

    fn is_for(self, reader: Reader) -> bool {
        self.audience == Audience::Owner || reader == Reader::Staff
    }
}

/// Who reads and chooses preferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Customer,
    Staff,
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        if caller.is_staff() { Self::Staff } else { Self::Customer }
    }
}

impl Preferences {
    /// The channels of every kind that the reader can choose.
    fn complete(mut self, reader: Reader) -> Self {
        let rules = Topic::RULES.iter().filter(|rule| rule.is_for(reader));
        let kinds = rules.map(|rule| (rule.kind.to_owned(), self.take(*rule)));
        Self { kinds: kinds.collect() }
    }

    fn take(&mut self, rule: KindRule) -> Vec<Channel> {
        let chosen = self.kinds.remove(rule.kind);
        // A choice from before the kind's rule.
        let chosen = chosen.filter(|chosen| rule.check(chosen).is_ok());
        chosen.unwrap_or_else(|| rule.default_channels())
    }
}

/// By which channels a person is notified of a kind.
pub(crate) fn channels(
    from: &impl Read,
    user: UserId,
    rule: KindRule,
) -> Result<Vec<Channel>, StoreError> {
    let mut chosen = from.get(PREFERENCES, &user)?.unwrap_or_default();
    Ok(chosen.take(rule))
}

/// What a person reads of their preferences.
pub(crate) fn shown(
    from: &impl Read,
    user: UserId,
    reader: Reader,
) -> Result<Preferences, StoreError> {
    let chosen = from.get(PREFERENCES, &user)?.unwrap_or_default();
    Ok(chosen.complete(reader))
}

/// Replaces what a person chose: kinds that are not named have their defaults again.
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    user: UserId,
    chosen: &Preferences,
) -> Result<(), StoreError> {
    tx.put(PREFERENCES, &user, chosen)
}

/// Forgets what an erased person chose.
pub(crate) fn forget(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    match tx.contains(PREFERENCES, &user)? {
        true => tx.delete(PREFERENCES, &user),
        false => Ok(()),
    }
}

/// The body that replaces preferences: each kind by its rule, with the pointer of it.
#[derive(Debug)]
pub(crate) struct PreferencesBody(Vec<(String, KindRule, Vec<Channel>)>);

impl ReadFields for PreferencesBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require("kinds");
        let mut kinds = Vec::new();
        for (pointer, kind, raw) in fields.members("kinds") {
            let Some(rule) = Topic::RULES.iter().find(|rule| rule.kind == kind) else {
                fields.fault(&pointer, "no kind of notification has this name");
                continue;
            };
            let Some(names) = fields.value_at::<Vec<String>>(&pointer, raw) else {
                continue;
            };
            match chosen(*rule, &names) {
                Ok(channels) => kinds.push((pointer, *rule, channels)),
                Err(why) => fields.fault(&pointer, why),
            }
        }
        Some(Self(kinds))
    }
}

fn chosen(rule: KindRule, names: &[String]) -> Result<Vec<Channel>, &'static str> {
    let mut channels = Vec::new();
    for name in names {
        let channel = match name.as_str() {
            "inbox" => Channel::Inbox,
            "mail" => Channel::Mail,
            _ => return Err("must be a list of `inbox` and `mail`"),
        };
        if channels.contains(&channel) {
            return Err("must name each channel once");
        }
        channels.push(channel);
    }
    rule.check(&channels)?;
    Ok(channels)
}

impl PreferencesBody {
    /// The preferences of a body, if the reader can choose all of its kinds.
    ///
    /// # Errors
    /// Every invalid kind.
    pub(crate) fn preferences(
        mut body: CheckedBody<Self>,
        reader: Reader,
    ) -> Result<Preferences, Vec<FieldError>> {
        if let Some(Self(kinds)) = &body.value {
            let others = kinds.iter().filter(|(_, rule, _)| !rule.is_for(reader));
            let refused = others
                .map(|(pointer, ..)| FieldError::new(pointer, "only staff are notified of it"));
            body.faults.extend(refused);
        }
        let Self(kinds) = body.valid()?;
        let kinds = kinds
            .into_iter()
            .map(|(_, rule, channels)| (rule.kind.to_owned(), channels));
        Ok(Preferences { kinds: kinds.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, reader: Reader) -> Result<Preferences, Vec<String>> {
        let body = Fields::read_checked::<PreferencesBody>(body.as_bytes()).unwrap();
        PreferencesBody::preferences(body, reader)
            .map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
    }

    #[test]
    fn only_known_kinds_and_channels_can_be_chosen() {
        let staff = Reader::Staff;
        for (body, reader, faults) in [
            (r#"{"kinds": {}}"#, Reader::Customer, &[][..]),
            (r#"{"kinds": {"order.placed": ["mail"]}}"#, staff, &[]),
            (r#"{"kinds": {"order.paid": []}}"#, Reader::Customer, &[]),
            ("{}", staff, &["/kinds"]),
            (
                r#"{"kinds": {"order.placed": ["mail"]}}"#,
                Reader::Customer,
                &["/kinds/order.placed"],
            ),
            (r#"{"kinds": {"a/b": []}}"#, staff, &["/kinds/a~1b"]),
            (
                r#"{"kinds": {"order.paid": ["sms"]}}"#,
                staff,
                &["/kinds/order.paid"],
            ),
            (
                r#"{"kinds": {"order.paid": ["mail", "mail"]}}"#,
                staff,
                &["/kinds/order.paid"],
            ),
            (
                r#"{"kinds": {"order.paid": "mail"}}"#,
                staff,
                &["/kinds/order.paid"],
            ),
            (
                r#"{"kinds": {"mail.failed": ["mail"]}}"#,
                staff,
                &["/kinds/mail.failed"],
            ),
            (
                r#"{"kinds": {"user.password_changed": ["inbox"], "x": []}}"#,
                staff,
                &["/kinds/user.password_changed", "/kinds/x"],
            ),
        ] {
            let read = read(body, reader);
            assert_eq!(read.err().unwrap_or_default(), faults, "{body}");
        }
    }

    /// What was not chosen has its default, and only kinds for the reader are shown.
    #[test]
    fn defaults_are_shown_with_what_was_chosen() {
        let chosen = read(r#"{"kinds": {"order.paid": ["inbox"]}}"#, Reader::Customer).unwrap();
        let of_customer = chosen.clone().complete(Reader::Customer).kinds;
        assert_eq!(of_customer["order.paid"], [Channel::Inbox]);
        assert_eq!(
            of_customer["order.shipped"],
            [Channel::Inbox, Channel::Mail]
        );
        assert_eq!(of_customer["user.registered"], [Channel::Inbox]);
        assert!(!of_customer.contains_key("order.placed"));
        let of_staff = chosen.complete(Reader::Staff).kinds;
        assert_eq!(of_staff.len(), Topic::RULES.len());
        assert_eq!(of_staff["mail.failed"], [Channel::Inbox]);
    }

    /// The bytes that other versions will read.
    #[test]
    fn golden_bytes() {
        let kinds = BTreeMap::from([("order.paid".to_owned(), vec![Channel::Inbox])]);
        let chosen = Preferences { kinds };
        let golden = b"\x01\x81\xa5kinds\x81\xaaorder.paid\x91\xa5inbox";
        assert_eq!(::store::encode(&chosen).unwrap(), golden);
        assert_eq!(::store::decode::<Preferences>(golden).unwrap(), chosen);
    }
}
