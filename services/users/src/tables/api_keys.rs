//! Transactions on API keys: make, revoke, and what follows from changes of their makers.
//!
//! A shop has at most [`API_KEYS_MAX`] keys, so those of one account are found by reading all.

use model::{ApiKeyId, RevocationReason, SessionId, Time, UserId};
use store::{Read, Tx};

use super::{API_KEYS, AccountCause, end_session};
use crate::Error;
use crate::domain::{API_KEYS_MAX, ApiKey, User};

/// Adds a key.
pub(crate) fn add_api_key(tx: &mut Tx<'_>, id: ApiKeyId, key: &ApiKey) -> Result<(), Error> {
    if tx.scan(API_KEYS.all())?.take(API_KEYS_MAX).count() == API_KEYS_MAX {
        return Err(Error::TooManyApiKeys);
    }
    Ok(tx.put(API_KEYS, &id, key)?)
}

/// Deletes a key on behalf of its maker or an admin, and revokes its tokens.
pub(crate) fn revoke_api_key(
    tx: &mut Tx<'_>,
    by: &User,
    id: ApiKeyId,
    cause: &AccountCause,
) -> Result<(), Error> {
    let key = tx.get(API_KEYS, &id)?;
    let key = key.filter(|key| key.user_id == by.id || by.is_active_admin());
    let key = key.ok_or(Error::NotFound)?;
    tx.delete(API_KEYS, &id)?;
    let reason = RevocationReason::Ended;
    Ok(end_session(tx, key.user_id, key.session_id, reason, cause)?)
}

/// Revokes the tokens of all keys of an account, which may do less from now on. The keys stay:
/// their next tokens allow what the account still may.
pub(super) fn revoke_key_tokens(
    tx: &mut Tx<'_>,
    user_id: UserId,
    cause: &AccountCause,
) -> Result<(), Error> {
    for (id, key) in api_keys_of(tx, user_id)? {
        let reason = RevocationReason::AccountChanged;
        end_session(tx, user_id, key.session_id, reason, cause)?;
        let key = ApiKey { session_id: SessionId::new(), ..key };
        tx.put(API_KEYS, &id, &key)?;
    }
    Ok(())
}

/// Deletes all keys of an account and revokes their tokens.
pub(super) fn forget_api_keys(
    tx: &mut Tx<'_>,
    user_id: UserId,
    cause: &AccountCause,
) -> Result<(), Error> {
    revoke_key_tokens(tx, user_id, cause)?;
    for (id, _) in api_keys_of(tx, user_id)? {
        tx.delete(API_KEYS, &id)?;
    }
    Ok(())
}

/// Deletes every key without an event, for a shop whose signing keys were all replaced, so that
/// no access token is left.
pub(crate) fn delete_api_keys(tx: &mut Tx<'_>) -> Result<(), Error> {
    let ids = tx.scan(API_KEYS.all())?.map(|row| row.map(|(id, _)| id));
    for id in ids.collect::<Result<Vec<_>, _>>()? {
        tx.delete(API_KEYS, &id)?;
    }
    Ok(())
}

/// Notes that a token was issued for a key, if the key still exists.
pub(crate) fn note_use(tx: &mut Tx<'_>, id: ApiKeyId, at: Time) -> Result<(), Error> {
    if let Some(key) = tx.get(API_KEYS, &id)? {
        let key = ApiKey { last_used_at: Some(at), ..key };
        tx.put(API_KEYS, &id, &key)?;
    }
    Ok(())
}

/// The keys of an account, oldest first.
pub(crate) fn api_keys_of(
    read: &impl Read,
    user_id: UserId,
) -> Result<Vec<(ApiKeyId, ApiKey)>, Error> {
    let rows = read.scan(API_KEYS.all())?.filter(|row| match row {
        Ok((_, key)) => key.user_id == user_id,
        Err(_) => true,
    });
    Ok(rows.collect::<Result<_, _>>()?)
}
