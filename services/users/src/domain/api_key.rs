//! API key: what a program uses in place of a login.
//!
//! **Invariant:** a key allows nothing beyond its scopes, and nothing beyond the present roles
//! of the account that made it.

use api::KeyScope;
use chassis::Role;
use model::{SessionId, Time, UserId};
use serde::{Deserialize, Serialize};

/// Most API keys of a shop: one for each program, and some to replace them with.
pub(crate) const API_KEYS_MAX: usize = 200;

/// A key to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewApiKey {
    pub(crate) name: String,
    /// At least one, each once.
    pub(crate) scopes: Vec<KeyScope>,
    pub(crate) expires_at: Option<Time>,
}

/// A stored API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKey {
    /// The account that made it, which its requests are made for.
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    pub(crate) scopes: Vec<KeyScope>,
    /// MAC of its secret.
    pub(crate) mac: [u8; 16],
    /// The session of its access tokens, by which they are revoked; another one afterwards.
    pub(crate) session_id: SessionId,
    pub(crate) created_at: Time,
    pub(crate) expires_at: Option<Time>,
    /// When an access token was last issued for it, to the minute.
    pub(crate) last_used_at: Option<Time>,
}

impl store::Record for ApiKey {}

impl ApiKey {
    /// A new key of an account.
    pub(crate) fn new(user_id: UserId, wanted: NewApiKey, mac: [u8; 16], now: Time) -> Self {
        let NewApiKey { name, scopes, expires_at } = wanted;
        Self {
            user_id,
            name,
            scopes,
            mac,
            session_id: SessionId::new(),
            created_at: now,
            expires_at,
            last_used_at: None,
        }
    }

    /// Whether it has expired.
    pub(crate) fn is_expired(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|until| until <= now)
    }

    /// The scopes that its maker may give with these roles.
    pub(crate) fn scopes_within(&self, roles: &[Role]) -> Vec<KeyScope> {
        let scopes = self.scopes.iter().copied();
        scopes.filter(|scope| is_within(*scope, roles)).collect()
    }
}

/// The least role with the rights of a scope.
pub(crate) fn role_for(scope: KeyScope) -> Role {
    match scope {
        KeyScope::EventsRead => Role::Admin,
        KeyScope::CatalogueRead
        | KeyScope::CatalogueWrite
        | KeyScope::OrdersRead
        | KeyScope::OrdersWrite
        | KeyScope::CustomersRead
        | KeyScope::ReportsRead => Role::Staff,
    }
}

/// Whether an account with these roles may give a scope.
pub(crate) fn is_within(scope: KeyScope, roles: &[Role]) -> bool {
    roles.iter().any(|role| *role >= role_for(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let user_id: UserId = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let session_id = SessionId::from_uuid(user_id.uuid());
        let key = ApiKey {
            user_id,
            name: "ERP".into(),
            scopes: vec![KeyScope::OrdersRead],
            mac: [7; 16],
            session_id,
            created_at: Time(1),
            expires_at: None,
            last_used_at: Some(Time(2)),
        };
        let mut golden = b"\x01\x88\xa7user_id\xc4\x10".to_vec();
        golden.extend_from_slice(user_id.uuid().as_bytes());
        golden.extend_from_slice(b"\xa4name\xa3ERP\xa6scopes\x91\xaborders:read");
        golden.extend_from_slice(b"\xa3mac\xdc\x00\x10");
        golden.extend_from_slice(&[7; 16]);
        golden.extend_from_slice(b"\xaasession_id\xc4\x10");
        golden.extend_from_slice(user_id.uuid().as_bytes());
        golden.extend_from_slice(b"\xaacreated_at\x01\xaaexpires_at\xc0\xaclast_used_at\x02");
        assert_eq!(store::encode(&key).unwrap(), golden);
        assert_eq!(store::decode::<ApiKey>(&golden).unwrap(), key);
    }
}
