//! Second factors: time-based one-time passwords (TOTP, RFC 6238) and recovery codes.
//!
//! The secret and the recovery codes of an account are MACs over the account and a nonce. Only
//! the nonce is stored, as for one-time codes, so neither the store nor a copy of it contains
//! anything that can be typed in.
//!
//! **Invariants:** an account has at most one row. The row counts once its account says since
//! when ([`User::second_factor_since`]), and before that only for [`PENDING_LIFE`]. A code
//! counts once: the transaction of its effect also writes the row after its use, and after a
//! time-based code no code of the same or an earlier step counts.

use std::time::Duration;

use chassis::Context;
use data_encoding::BASE32_NOPAD;
use model::{Time, UserId};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};
use totp_rs::{Algorithm, Builder, Secret, Totp};

use crate::domain::{Email, User};
use crate::mac_keys;
use crate::tables::{self, AccountCause};
use crate::{Error, codes};
use chassis::mac::MacKey;

/// account → its second factor, pending or enrolled.
const FACTORS: Table<UserId, Factor> = Table::new("factors");

/// How long a secret can be confirmed: long enough to install an app first.
const PENDING_LIFE: Duration = Duration::from_secs(3600);

/// The time for which a code is shown, in seconds.
const STEP_SECONDS: u64 = 30;

/// Steps by which the clock of a phone may differ, either way.
const SKEW: u16 = 1;

/// Recovery codes of an account.
const RECOVERY_CODES: u8 = 10;

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Factor {
    /// What the secret and the recovery codes are derived from.
    nonce: u64,
    /// When it was requested; from its confirmation on, the time of that.
    since: Time,
    /// The step of the last time-based code that counted.
    last_step: u64,
    /// The recovery codes that are left, one bit each.
    recovery_left: u16,
}

impl Record for Factor {}

/// A secret that waits for its confirmation.
#[derive(Serialize)]
pub(crate) struct FactorSecret {
    /// Base 32, as apps take it.
    secret: String,
    /// `otpauth://totp/…`, as apps read it from a QR code.
    uri: String,
}

/// Derives and verifies second factors. One per service.
pub(crate) struct Factors {
    key: MacKey,
    /// The shop's name, which apps show beside the code.
    shop: String,
}

impl Factors {
    /// Reads the service's MAC key, or creates it.
    pub(crate) fn open(context: &Context, shop: String) -> Result<Self, chassis::Error> {
        let is_lost = context
            .folder
            .kept_secret(context.name, mac_keys::FACTORS)?
            .is_none()
            && context.store.scan(FACTORS.all())?.next().is_some();
        if is_lost {
            tracing::warn!(
                file = %context.data_dir.join(format!("{}.secret", mac_keys::FACTORS)).display(),
                "the secret is missing and is made anew; second factors that were enrolled with it count no more and are removed with `konbini user factor-reset`"
            );
        }
        Ok(Self { key: MacKey::open(context, mac_keys::FACTORS)?, shop })
    }

    /// Makes a secret for an account, which replaces one that waits.
    ///
    /// # Errors
    /// [`Error::FactorEnrolled`] when the account has a second factor.
    pub(crate) fn request(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        now: Time,
    ) -> Result<FactorSecret, Error> {
        if user.second_factor_since.is_some() {
            return Err(Error::FactorEnrolled);
        }
        let factor = Factor {
            nonce: rand::random(),
            since: now,
            last_step: 0,
            recovery_left: (1 << RECOVERY_CODES) - 1,
        };
        tx.put(FACTORS, &user.id, &factor)?;
        let secret = BASE32_NOPAD.encode(&self.secret(user.id, factor.nonce));
        let uri = uri(&self.shop, &user.email, &secret);
        Ok(FactorSecret { secret, uri })
    }

    /// Enrols the requested factor, if the code is one of its secret. Returns the recovery
    /// codes; `None` if the code is not right.
    ///
    /// # Errors
    /// [`Error::FactorEnrolled`] when it is enrolled, [`Error::NoFactor`] when none waits.
    pub(crate) fn confirm(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        typed: &str,
        cause: &AccountCause,
    ) -> Result<Option<Vec<String>>, Error> {
        let now = cause.at();
        if user.second_factor_since.is_some() {
            return Err(Error::FactorEnrolled);
        }
        let factor = tx.get(FACTORS, &user.id)?;
        let factor = factor.filter(|factor| now < factor.since.after(PENDING_LIFE));
        let factor = factor.ok_or(Error::NoFactor)?;
        let Some(last_step) = self.step(user.id, &factor, typed, now) else {
            return Ok(None);
        };
        let factor = Factor { since: now, last_step, ..factor };
        tx.put(FACTORS, &user.id, &factor)?;
        let after = user.with_second_factor(Some(now), now);
        tables::change(tx, user, &after, cause)?;
        let codes = (0..RECOVERY_CODES).map(|place| self.recovery_code(user.id, &factor, place));
        Ok(Some(codes.map(codes::spell).collect()))
    }

    /// Whether a code is right: time-based, or one of the recovery codes. It stays unused.
    pub(crate) fn is_right(
        &self,
        read: &impl Read,
        user: &User,
        typed: &str,
        now: Time,
    ) -> Result<bool, store::Error> {
        Ok(self.after_use(read, user, typed, now)?.is_some())
    }

    /// Uses a code up, if it is right. Returns whether it was.
    pub(crate) fn redeem(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        typed: &str,
        now: Time,
    ) -> Result<bool, store::Error> {
        let Some(factor) = self.after_use(tx, user, typed, now)? else {
            return Ok(false);
        };
        tx.put(FACTORS, &user.id, &factor)?;
        Ok(true)
    }

    /// The row after the use of a code, if the code is right.
    fn after_use(
        &self,
        read: &impl Read,
        user: &User,
        typed: &str,
        now: Time,
    ) -> Result<Option<Factor>, store::Error> {
        let factor = read.get(FACTORS, &user.id)?;
        let Some(factor) = factor.filter(|_| user.second_factor_since.is_some()) else {
            return Ok(None);
        };
        if let Some(last_step) = self.step(user.id, &factor, typed, now) {
            return Ok(Some(Factor { last_step, ..factor }));
        }
        let Some(typed) = codes::read(typed) else {
            return Ok(None);
        };
        let is_left = |place: &u8| factor.recovery_left & (1 << place) != 0;
        let mut left = (0..RECOVERY_CODES).filter(is_left);
        // Comparing integers takes the same time whichever digits differ.
        let place = left.find(|place| self.recovery_code(user.id, &factor, *place) == typed);
        Ok(place.map(|place| {
            let recovery_left = factor.recovery_left & !(1 << place);
            Factor { recovery_left, ..factor }
        }))
    }

    /// The step of a time-based code, if that still counts.
    fn step(&self, user_id: UserId, factor: &Factor, typed: &str, now: Time) -> Option<u64> {
        let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let seconds = u64::try_from(now.0 / 1000).ok()?;
        let step = totp(self.secret(user_id, factor.nonce)).check(&digits, seconds);
        step.filter(|step| *step > factor.last_step)
    }

    /// The 160 bits that RFC 4226 §4 recommends.
    fn secret(&self, user_id: UserId, nonce: u64) -> [u8; 20] {
        let user_id = user_id.uuid();
        self.key
            .mac160(&[b"totp", user_id.as_bytes(), &nonce.to_be_bytes()])
    }

    fn recovery_code(&self, user_id: UserId, factor: &Factor, place: u8) -> u64 {
        let (user_id, nonce) = (user_id.uuid(), factor.nonce.to_be_bytes());
        let mac = self
            .key
            .mac(&[b"recovery", user_id.as_bytes(), &nonce, &[place]]);
        codes::value_of(mac)
    }
}

fn totp(secret: [u8; 20]) -> Totp {
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(SKEW)
        .with_step_duration(STEP_SECONDS)
        .with_secret(Secret::new_stack(secret))
        .build();
    totp.expect("RFC 6238 allows these parameters")
}

/// Removes an account's second factor, with its events.
///
/// # Errors
/// [`Error::NoFactor`] when there is none.
pub(crate) fn remove(tx: &mut Tx<'_>, user: &User, cause: &AccountCause) -> Result<User, Error> {
    if user.second_factor_since.is_none() {
        return Err(Error::NoFactor);
    }
    forget(tx, user.id)?;
    let after = user.with_second_factor(None, cause.at());
    tables::change(tx, user, &after, cause)?;
    Ok(after)
}

/// The account without a second factor that was requested or enrolled at or after `since`.
pub(crate) fn without_newer(
    tx: &mut Tx<'_>,
    user: User,
    since: Time,
    now: Time,
) -> Result<User, store::Error> {
    match tx.get(FACTORS, &user.id)? {
        Some(factor) if factor.since >= since => {
            forget(tx, user.id)?;
            Ok(user.with_second_factor(None, now))
        }
        _ => Ok(user),
    }
}

/// Deletes the row of an account.
pub(crate) fn forget(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), store::Error> {
    tx.delete(FACTORS, &user_id)
}

/// The URI that apps read from a QR code.
fn uri(shop: &str, email: &Email, secret: &str) -> String {
    let (shop, email) = (percent(shop), percent(&email.to_string()));
    format!(
        "otpauth://totp/{shop}:{email}?secret={secret}&issuer={shop}&algorithm=SHA1&digits=6&period={STEP_SECONDS}"
    )
}

/// Percent-encodes what is not unreserved (RFC 3986 §2.3). A blank is `%20`, since apps show
/// the `+` of forms.
fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
