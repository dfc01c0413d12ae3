//! Bodies of API keys. **Invariant:** only the response that makes a key has its secret.

use api::KeyScope;
use chassis::fields::{Fields, ReadFields};
use model::{ApiKeyId, Time, UserId};
use serde::Serialize;

use crate::domain::{self, ApiKey, NewApiKey};

/// `POST /v1/api-keys`
impl ReadFields for NewApiKey {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields.required("name", domain::name);
        let expires_at = fields.value("expires_at");
        let entries = fields.list("scopes", KeyScope::ALL.len());
        if entries.is_empty() {
            fields.fault("/scopes", format!("name at least one of {}", names()));
        }
        let mut scopes: Vec<KeyScope> = Vec::new();
        for (pointer, raw) in entries {
            let scope = fields.parsed_at(&pointer, raw, |name| match KeyScope::named(name) {
                None => Err(format!("must be one of {}", names())),
                Some(scope) if scopes.contains(&scope) => Err("it is named before".into()),
                Some(scope) => Ok(scope),
            });
            scopes.extend(scope);
        }
        Some(Self { name: name?, scopes, expires_at })
    }
}

fn names() -> String {
    let names = KeyScope::ALL.iter().map(|scope| scope.name());
    names.collect::<Vec<_>>().join(", ")
}

/// An API key in a response; the secret is there only when it is new.
#[derive(Serialize)]
pub(crate) struct ApiKeyResponse {
    id: ApiKeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    name: String,
    scopes: Vec<KeyScope>,
    /// The account that made it.
    user_id: UserId,
    created_at: Time,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
}

impl ApiKeyResponse {
    /// A key, with its secret if that is new.
    pub(crate) fn new(id: ApiKeyId, key: ApiKey, secret: Option<String>) -> Self {
        let ApiKey {
            user_id, name, scopes, created_at, expires_at, last_used_at, ..
        } = key;
        Self {
            id,
            secret,
            name,
            scopes,
            user_id,
            created_at,
            expires_at,
            last_used_at,
        }
    }
}
