//! Transactions on accounts: each change is written with its event.

use chassis::{Caller, FieldError, Role};
use model::{CodePurpose, Fact, RevocationReason, SessionId, Time, UserField, UserId, kinds};
use store::{Read, Tx};

use super::{
    AccountCause, ERASED, LANGUAGES, PASSWORDS, SESSIONS, USERS, USERS_BY_EMAIL, end_every_session,
    forget_addresses, forget_api_keys, forget_email_undos, index_person, is_reserved,
    revoke_key_tokens,
};
use crate::domain::{Addition, Email, PlaintextPassword, User};
use crate::password::{StoredPassword, Verified};
use crate::{Error, codes, factors, throttle};

/// The account with an address, in whatever form it is written.
pub(crate) fn by_email(read: &impl Read, email: &Email) -> Result<Option<User>, Error> {
    match owner(read, email)? {
        Some(id) => Ok(read.get(USERS, &id)?),
        None => Ok(None),
    }
}

/// The account that an address is indexed for. Accounts of earlier versions are indexed under
/// a former key; those go first, so that of two such accounts each finds its own.
fn owner(read: &impl Read, email: &Email) -> Result<Option<UserId>, store::Error> {
    for key in email.former_keys() {
        if let Some(id) = read.get(USERS_BY_EMAIL, &key)? {
            return Ok(Some(id));
        }
    }
    read.get(USERS_BY_EMAIL, &email.key())
}

/// Removes an account's address from the index.
fn unindex(tx: &mut Tx<'_>, user: &User) -> Result<(), store::Error> {
    let keys = user.email.former_keys().into_iter();
    for key in keys.chain([user.email.key()]) {
        if tx.get(USERS_BY_EMAIL, &key)? == Some(user.id) {
            tx.delete(USERS_BY_EMAIL, &key)?;
        }
    }
    Ok(())
}

/// The account of a caller whose token was verified, if its session still exists.
///
/// Tokens are verified against revocations that arrive over the log; this check reads
/// the session itself. It closes the gap between a revocation and its arrival, in which
/// a removed admin could restore their role or redirect one-time codes.
pub(crate) fn caller(read: &impl Read, caller: &Caller) -> Result<User, Error> {
    let Caller { user_id, session_id, .. } = caller;
    if !read.contains(SESSIONS, &(*user_id, *session_id))? {
        return Err(Error::Unauthenticated);
    }
    let user = read.get(USERS, user_id)?;
    user.filter(User::is_active).ok_or(Error::Unauthenticated)
}

/// The stored password hash of an account.
pub(crate) fn password(read: &impl Read, id: UserId) -> Result<Option<StoredPassword>, Error> {
    Ok(read.get(PASSWORDS, &id)?)
}

/// The BCP 47 tag of the language the account's owner reads.
pub(crate) fn language(read: &impl Read, id: UserId) -> Result<Option<String>, Error> {
    Ok(read.get(LANGUAGES, &id)?)
}

/// Creates an account with its password.
pub(crate) fn register(
    tx: &mut Tx<'_>,
    user: &User,
    hash: String,
    cause: &AccountCause,
) -> Result<(), Error> {
    put_user(tx, None, user, cause.at())?;
    tx.put(PASSWORDS, &user.id, &StoredPassword { hash, generation: 0 })?;
    let fact = Fact::UserRegistered { user_id: user.id, staff: user.is_staff() };
    Ok(cause.append(tx, user.id.to_string(), fact)?)
}

/// Creates the first admin of the shop.
pub(crate) fn set_up(
    tx: &mut Tx<'_>,
    user: &User,
    hash: String,
    cause: &AccountCause,
) -> Result<(), Error> {
    match has_admin(tx)? {
        true => Err(Error::HasAdmin),
        false => register(tx, user, hash, cause),
    }
}

/// Whether any account is an admin's, active or not. Scans in order of creation: admins are
/// usually the oldest accounts, and without any there are few.
pub(crate) fn has_admin(read: &impl Read) -> Result<bool, store::Error> {
    for row in read.scan(USERS.all())? {
        if row?.1.roles.contains(&Role::Admin) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores the language of the account's owner, if the client named one.
pub(crate) fn set_language(
    tx: &mut Tx<'_>,
    id: UserId,
    language: Option<&String>,
) -> Result<(), store::Error> {
    match language {
        Some(tag) if tx.get(LANGUAGES, &id)?.as_ref() != Some(tag) => tx.put(LANGUAGES, &id, tag),
        _ => Ok(()),
    }
}

/// Changes an account and revokes tokens that would allow more than it now may.
/// Refuses to remove the last active admin; only the control socket can do that.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    before: &User,
    after: &User,
    cause: &AccountCause,
) -> Result<(), Error> {
    if before.is_active_admin() && !after.is_active_admin() {
        require_another_admin(tx, before.id)?;
    }
    put_changed(tx, before, after, cause)
}

fn put_changed(
    tx: &mut Tx<'_>,
    before: &User,
    after: &User,
    cause: &AccountCause,
) -> Result<(), Error> {
    let changed = after.changed(before);
    if changed.is_empty() {
        return Ok(());
    }
    put_user(tx, Some(before), after, cause.at())?;
    if after.allows_less_than(before) {
        end_every_session(tx, after.id, None, RevocationReason::AccountChanged, cause)?;
        revoke_key_tokens(tx, after.id, cause)?;
    }
    tell_updated(tx, after, changed, cause)?;
    if before.is_active() && !after.is_active() {
        let fact = Fact::UserDisabled { user_id: after.id };
        cause.append(tx, after.id.to_string(), fact)?;
    }
    let enrolled = after.second_factor_since.is_some();
    if enrolled != before.second_factor_since.is_some() {
        let fact = Fact::UserSecondFactorChanged { user_id: after.id, enrolled };
        cause.append(tx, after.id.to_string(), fact)?;
    }
    Ok(())
}

fn tell_updated(
    tx: &mut Tx<'_>,
    user: &User,
    changed: Vec<UserField>,
    cause: &AccountCause,
) -> Result<(), store::Error> {
    let fact = Fact::UserUpdated { user_id: user.id, changed, staff: user.is_staff() };
    cause.append(tx, user.id.to_string(), fact)
}

/// Scans in order of creation: admins are usually the oldest accounts, so few rows are read.
fn require_another_admin(read: &impl Read, id: UserId) -> Result<(), Error> {
    for row in read.scan(USERS.all())? {
        let (other, user) = row?;
        if other != id && user.is_active_admin() {
            return Ok(());
        }
    }
    Err(Error::LastAdmin)
}

/// Checks that a new password is not the address or the name of the account.
pub(crate) fn check_password(user: &User, new: &PlaintextPassword) -> Result<(), Error> {
    let checked = new.differ_from(&user.email, &user.name);
    checked.map_err(|why| Error::Invalid(vec![FieldError::new("/new_password", why)]))
}

/// Replaces an account's password. Every session except `keep` is revoked, and so is a
/// pending reset code.
pub(crate) fn set_password(
    tx: &mut Tx<'_>,
    user: &User,
    hash: String,
    keep: Option<SessionId>,
    cause: &AccountCause,
) -> Result<(), Error> {
    let before = password(tx, user.id)?;
    let generation = before.map_or(0, |before| before.generation + 1);
    tx.put(PASSWORDS, &user.id, &StoredPassword { hash, generation })?;
    // Who knew the former password may have asked for either.
    codes::revoke(tx, user.id, CodePurpose::PasswordReset)?;
    codes::revoke(tx, user.id, CodePurpose::EmailChange)?;
    end_every_session(tx, user.id, keep, RevocationReason::PasswordChanged, cause)?;
    Ok(tell_updated(tx, user, vec![UserField::Password], cause)?)
}

/// Checks that the verified password is still the account's current one, and upgrades
/// its hash if it was made with weaker parameters.
pub(crate) fn confirm_password(
    tx: &mut Tx<'_>,
    user_id: UserId,
    verified: &Verified,
) -> Result<bool, Error> {
    let stored = password(tx, user_id)?;
    let Some(stored) = stored.filter(|stored| stored.generation == verified.generation) else {
        return Ok(false);
    };
    if let Some(hash) = verified.stronger.clone() {
        tx.put(PASSWORDS, &user_id, &StoredPassword { hash, ..stored })?;
    }
    Ok(true)
}

/// Removes the second factor of an account on behalf of its owner, who has lost it. Every
/// session is revoked: one of them may be why.
pub(crate) fn reset_factor(
    tx: &mut Tx<'_>,
    user: &User,
    cause: &AccountCause,
) -> Result<User, Error> {
    let after = factors::remove(tx, user, cause)?;
    end_every_session(tx, user.id, None, RevocationReason::AccountChanged, cause)?;
    Ok(after)
}

/// Outcome of [`add`].
pub(crate) enum Added {
    Created(User),
    Changed(User),
}

/// Creates the account, or changes the existing one to match. A new password revokes
/// every session.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    wanted: Addition,
    hash: Option<String>,
    cause: &AccountCause,
) -> Result<Added, Error> {
    let before = by_email(tx, &wanted.email)?;
    let user = User::added(before.as_ref(), wanted, cause.at());
    let Some(before) = before else {
        let hash = hash.ok_or_else(|| {
            let detail = "is required for a new account";
            Error::Invalid(vec![FieldError::new("/password", detail)])
        })?;
        register(tx, &user, hash, cause)?;
        return Ok(Added::Created(user));
    };
    put_changed(tx, &before, &user, cause)?;
    if let Some(hash) = hash {
        set_password(tx, &user, hash, None, cause)?;
    }
    Ok(Added::Changed(user))
}

/// Changes the roles or the password of an existing account. A disabled account stays
/// disabled.
pub(crate) fn reshape(
    tx: &mut Tx<'_>,
    wanted: Addition,
    hash: Option<String>,
    cause: &AccountCause,
) -> Result<User, Error> {
    let before = by_email(tx, &wanted.email)?.ok_or(Error::NotFound)?;
    let after = before.reshaped(wanted, cause.at());
    put_changed(tx, &before, &after, cause)?;
    if let Some(hash) = hash {
        set_password(tx, &after, hash, None, cause)?;
    }
    Ok(after)
}

/// Erases a person: deletes every row about them.
pub(crate) fn erase(tx: &mut Tx<'_>, user: &User, cause: &AccountCause) -> Result<(), Error> {
    tx.delete(USERS, &user.id)?;
    unindex(tx, user)?;
    index_person(tx, Some(user), None)?;
    tx.delete(PASSWORDS, &user.id)?;
    tx.delete(LANGUAGES, &user.id)?;
    forget_addresses(tx, user.id)?;
    for purpose in codes::PURPOSES {
        codes::revoke(tx, user.id, purpose)?;
    }
    forget_email_undos(tx, user.id)?;
    factors::forget(tx, user.id)?;
    throttle::forget(tx, user.id)?;
    end_every_session(tx, user.id, None, RevocationReason::AccountChanged, cause)?;
    forget_api_keys(tx, user.id, cause)?;
    tx.put(ERASED, &user.id, &cause.at())?;
    let fact = Fact::UserErased { user_id: user.id };
    Ok(cause.append(tx, user.id.to_string(), fact)?)
}

/// As [`erase`], on the person's request. Refuses to erase the last active admin.
pub(crate) fn erase_on_request(
    tx: &mut Tx<'_>,
    user: &User,
    erasures: &chassis::erasures::Erasures<kinds::User>,
    cause: &AccountCause,
) -> Result<(), Error> {
    if user.is_active_admin() {
        require_another_admin(tx, user.id)?;
    }
    erasures.add(user.id, cause.at()).map_err(Error::Erasures)?;
    erase(tx, user, cause)
}

fn put_user(tx: &mut Tx<'_>, before: Option<&User>, after: &User, now: Time) -> Result<(), Error> {
    if before.is_none_or(|before| before.email != after.email) {
        if is_taken(tx, &after.email, after.id, now)? {
            return Err(Error::EmailTaken);
        }
        if let Some(before) = before {
            unindex(tx, before)?;
        }
        tx.put(USERS_BY_EMAIL, &after.email.key(), &after.id)?;
    }
    index_person(tx, before, Some(after))?;
    Ok(tx.put(USERS, &after.id, after)?)
}

/// Whether an address belongs to an account other than `user_id`, or may go back to one.
pub(crate) fn is_taken(
    read: &impl Read,
    email: &Email,
    user_id: UserId,
    now: Time,
) -> Result<bool, Error> {
    let owner = owner(read, email)?;
    Ok(owner.is_some_and(|id| id != user_id) || is_reserved(read, email, user_id, now)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AddressContent;
    use crate::tables::{add_address, addresses_of};
    use mesh::{Cause, Log};
    use model::Time;
    use store::{Options, Store};

    fn content() -> AddressContent {
        let address = model::Address {
            name: "Ana Lima".into(),
            company: None,
            line1: "Rua 1".into(),
            line2: None,
            postal_code: None,
            city: "Porto".into(),
            region: None,
            country: "PT".parse().unwrap(),
            phone: None,
        };
        AddressContent { address, defaults: Default::default() }
    }

    /// Two concurrent logins after the parameters were raised, then a new password.
    #[tokio::test]
    async fn a_stronger_hash_is_the_same_password_and_another_password_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", Time(1)).await.unwrap();
        let email = Email::parse("ana@example.org").unwrap();
        let ana = User::new(email, "Ana".into(), Time(1));
        let cause = AccountCause { log, cause: Cause::own(Time(1)) };
        let confirmed = store.write(move |tx| {
            register(tx, &ana, "weak".into(), &cause)?;
            let generation = password(tx, ana.id)?.unwrap().generation;
            let verified =
                |stronger: &str| Verified { generation, stronger: Some(stronger.into()) };
            assert!(confirm_password(tx, ana.id, &verified("strong"))?);
            assert!(confirm_password(tx, ana.id, &verified("as strong"))?);
            assert_eq!(password(tx, ana.id)?.unwrap().hash, "as strong");
            set_password(tx, &ana, "another".into(), None, &cause)?;
            assert!(!confirm_password(tx, ana.id, &verified("late"))?);
            assert_eq!(password(tx, ana.id)?.unwrap().hash, "another");
            Ok::<_, Error>(())
        });
        confirmed.await.unwrap();
    }

    #[tokio::test]
    async fn an_erased_account_leaves_no_address() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", Time(1)).await.unwrap();
        let cause = AccountCause { log, cause: Cause::own(Time(1)) };
        let user = |email| User::new(Email::parse(email).unwrap(), "Ana".into(), Time(1));
        let (ana, ben) = (user("ana@example.org"), user("ben@example.org"));
        let erased = store.write(move |tx| {
            for user in [&ana, &ben] {
                register(tx, user, "hash".into(), &cause)?;
                add_address(tx, user.id, content(), Time(1))?;
            }
            erase(tx, &ana, &cause)?;
            assert_eq!(addresses_of(tx, ana.id)?, []);
            assert_eq!(addresses_of(tx, ben.id)?.len(), 1);
            Ok::<_, Error>(())
        });
        erased.await.unwrap();
    }

    /// An account of an earlier version, indexed under the key of that time.
    #[tokio::test]
    async fn an_account_under_its_former_key_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", Time(1)).await.unwrap();
        let cause = AccountCause { log, cause: Cause::own(Time(1)) };
        let email = |text| Email::parse(text).unwrap();
        let ana = User::new(email("Ana@b\u{fc}cher.example"), "Ana".into(), Time(1));
        let written = store.write(move |tx| {
            register(tx, &ana, "hash".into(), &cause)?;
            unindex(tx, &ana)?;
            let [former, _] = ana.email.former_keys();
            tx.put(USERS_BY_EMAIL, &former, &ana.id)?;
            let same = email("ana@xn--bcher-kva.example");
            for spelling in [&email("ana@B\u{dc}CHER.example"), &same] {
                let found = by_email(tx, spelling)?;
                assert_eq!(found.as_ref(), Some(&ana));
                assert!(is_taken(tx, spelling, UserId::new(), Time(1))?);
            }
            let renamed = ana.renamed(Some("Ana Lima".into()), Time(2));
            change(tx, &ana, &renamed, &cause)?;
            let respelled = renamed.respelled(same, Time(2));
            change(tx, &renamed, &respelled, &cause)?;
            assert_eq!(tx.get(USERS_BY_EMAIL, &former)?, None);
            assert_eq!(by_email(tx, &respelled.email)?.as_ref(), Some(&respelled));
            let moved = respelled.moved(email("ana@example.org"), Time(3));
            change(tx, &respelled, &moved, &cause)?;
            assert_eq!(by_email(tx, &ana.email)?, None);
            assert_eq!(by_email(tx, &moved.email)?, Some(moved));
            Ok::<_, Error>(())
        });
        written.await.unwrap();
    }
}
