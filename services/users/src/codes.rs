//! One-time codes: 50 bits a person can type, for ten minutes, once.
//!
//! A code is a keyed hash of the account, its address, the purpose and a nonce.
//! Only the nonce is stored, so nothing in the store or a copy of it can be typed
//! in, and nobody who reads logs or events sees a code: notifications asks for it
//! when it writes the letter.
//!
//! **Invariants:** an account has one code a purpose at most. A code is worth
//! nothing after [`LIFE`], [`TRIES`] wrong ones, its use, or a change of the
//! address it was sent to.

use std::time::Duration;

use chassis::Context;
use model::{CodePurpose, Id, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;
use crate::domain::User;
use crate::keyed::Keyed;

type UserId = Id<kinds::User>;

/// account, purpose → the code that was requested last.
const CODES: Table<(UserId, u16), Requested> = Table::new("codes");

/// How long a code may be used.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 60);

/// How often it may be typed wrong, less one.
const TRIES: u8 = 5;

/// Crockford's base 32: no I, L, O or U, so that what is read is what is typed.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: u32 = 10;

/// A code that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Requested {
    nonce: u64,
    tries_left: u8,
    until: Time,
}

impl Record for Requested {}

impl Requested {
    fn is_live(&self, now: Time) -> bool {
        self.tries_left > 0 && now < self.until
    }
}

/// Makes codes and checks them. One a service.
pub(crate) struct Codes(Keyed);

impl Codes {
    /// With the service's own secret.
    ///
    /// # Errors
    /// When it cannot be kept or read.
    pub(crate) fn open(context: &Context) -> Result<Self, chassis::Error> {
        Ok(Self(Keyed::open(context, "codes")?))
    }

    /// The code that was requested for an account, if it still can be used.
    pub(crate) fn current(
        &self,
        read: &impl Read,
        user: &User,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<Option<String>, Error> {
        let requested = read.get(CODES, &(user.id, number(purpose)))?;
        let requested = requested.filter(|requested| requested.is_live(now));
        Ok(requested.map(|requested| spell(self.value(user, purpose, requested.nonce))))
    }

    /// Uses up the code of an account if `typed` is it, or one of its tries if not.
    /// Whether it was.
    pub(crate) fn redeem(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        purpose: CodePurpose,
        typed: &str,
        now: Time,
    ) -> Result<bool, ::store::Error> {
        let key = (user.id, number(purpose));
        let requested = tx.get(CODES, &key)?;
        let Some(requested) = requested.filter(|requested| requested.is_live(now)) else {
            return Ok(false);
        };
        // Numbers are compared in the same time whatever digits differ.
        let is_right = read(typed) == Some(self.value(user, purpose, requested.nonce));
        let tries_left = requested.tries_left - 1;
        if is_right || tries_left == 0 {
            tx.delete(CODES, &key)?;
        } else {
            tx.put(CODES, &key, &Requested { tries_left, ..requested })?;
        }
        Ok(is_right)
    }

    fn value(&self, user: &User, purpose: CodePurpose, nonce: u64) -> u64 {
        let hash = self.0.hash(&[
            user.id.uuid().as_bytes(),
            user.email.key().as_bytes(),
            &number(purpose).to_be_bytes(),
            &nonce.to_be_bytes(),
        ]);
        let (first, _) = hash.split_first_chunk().expect("a hash has 16 bytes");
        u64::from_be_bytes(*first) >> (u64::BITS - 5 * LENGTH)
    }
}

/// Makes the code of an account anew; the one before is worth nothing then.
/// Until when it is good.
pub(crate) fn request(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
    now: Time,
) -> Result<Time, ::store::Error> {
    let until = now.after(LIFE);
    let requested = Requested { nonce: rand::random(), tries_left: TRIES, until };
    tx.put(CODES, &(user_id, number(purpose)), &requested)?;
    Ok(until)
}

/// Takes back what was requested for an account.
pub(crate) fn revoke(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
) -> Result<(), ::store::Error> {
    tx.delete(CODES, &(user_id, number(purpose)))
}

/// What a purpose is called in keys; never another one.
fn number(purpose: CodePurpose) -> u16 {
    match purpose {
        CodePurpose::Unknown => 0,
        CodePurpose::PasswordReset => 1,
        CodePurpose::EmailVerification => 2,
    }
}

/// `K7M2Q-0XH4D`
fn spell(value: u64) -> String {
    let letter = |place: u32| {
        let index = (value >> (5 * (LENGTH - 1 - place))) & 31;
        char::from(LETTERS[usize::try_from(index).expect("five bits fit")])
    };
    let mut code: String = (0..LENGTH).map(letter).collect();
    code.insert(5, '-');
    code
}

/// What somebody typed: any case, dashes and blanks anywhere, and the letters that
/// are taken for digits.
fn read(typed: &str) -> Option<u64> {
    let letters = typed.chars().filter(|c| *c != '-' && !c.is_whitespace());
    let mut value: u64 = 0;
    let mut count = 0;
    for letter in letters {
        let digit = match letter.to_ascii_uppercase() {
            'O' => 0,
            'I' | 'L' => 1,
            letter => LETTERS.iter().position(|one| char::from(*one) == letter)?,
        };
        count += 1;
        if count > LENGTH {
            return None;
        }
        value = value << 5 | u64::try_from(digit).ok()?;
    }
    (count == LENGTH).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Email;

    #[test]
    fn codes_are_read_as_people_type_them() {
        let value = 0b_10011_00111_10100_00010_10111_00000_11101_10001_00100_01101;
        assert_eq!(spell(value), "K7M2Q-0XH4D");
        for typed in [
            "K7M2Q-0XH4D",
            "k7m2q0xh4d",
            " k7m2q oxh4d\n",
            "K-7-M2QOXH4D",
        ] {
            assert_eq!(read(typed), Some(value), "{typed}");
        }
        for wrong in [
            "",
            "K7M2Q-0XH4",
            "K7M2Q-0XH4DD",
            "K7M2Q-0XH4U",
            "K7M2Q_0XH4D",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read("ILO0000000"), read("1100000000"));
    }

    #[test]
    fn a_code_is_good_for_one_thing_only() {
        let codes = Codes(Keyed::of_test());
        let email = |text| Email::parse(text).unwrap();
        let ana = User::new(email("ana@x.org"), "Ana".into(), Time(1));
        let moved = User { email: email("ana@y.org"), ..ana.clone() };
        let other = User { id: Id::new(), ..ana.clone() };
        let reset = CodePurpose::PasswordReset;
        let code = codes.value(&ana, reset, 1);
        assert_eq!(code, codes.value(&ana, reset, 1));
        for different in [
            codes.value(&moved, reset, 1),
            codes.value(&other, reset, 1),
            codes.value(&ana, CodePurpose::EmailVerification, 1),
            codes.value(&ana, reset, 2),
        ] {
            assert_ne!(code, different);
        }
    }
}
