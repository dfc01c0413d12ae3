//! One-time codes: 50 bits in ten characters, valid for ten minutes and one use.
//!
//! A code is a MAC over the account, its address, the purpose and a nonce. Only the nonce
//! is stored, so neither the store nor a copy of it contains a usable code, and neither
//! do logs and events: notifications asks for the code when it composes the mail.
//!
//! The token that undoes a change of address is a MAC as well, for the same reason.
//!
//! **Invariants:** an account has at most one code per purpose. A code becomes invalid
//! after [`LIFE`], after [`TRIES`] wrong attempts, after its use, and when the address it
//! was sent to changes.

use std::time::Duration;

use chassis::Context;
use data_encoding::BASE64URL_NOPAD;
use model::{CodePurpose, EmailChangeId, Time, UserId};
use serde::{Deserialize, Serialize};
use store::{Key, Read, Record, Table, Tx};

use crate::Error;
use crate::domain::{Email, User};
use crate::mac_keys;
use chassis::mac::MacKey;

/// account, purpose → the latest requested code.
const CODES: Table<(UserId, u16), Requested> = Table::new("codes");

/// How long a code is valid.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 60);

/// Wrong attempts until a code becomes invalid.
const TRIES: u8 = 5;

/// Crockford's base 32: no I, L, O or U, which are confused with digits.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: u32 = 10;

/// Every purpose that a code has.
pub(crate) const PURPOSES: [CodePurpose; 3] = [
    CodePurpose::PasswordReset,
    CodePurpose::EmailVerification,
    CodePurpose::EmailChange,
];

/// Prefix by which scanners recognise a leaked token.
const UNDO_PREFIX: &str = "undo_";

/// A requested code.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Requested {
    nonce: u64,
    tries_left: u8,
    until: Time,
    /// The address it is sent to, where that is not the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<Email>,
}

impl Record for Requested {}

impl Requested {
    fn is_live(&self, now: Time) -> bool {
        self.tries_left > 0 && now < self.until
    }

    fn address<'a>(&'a self, user: &'a User) -> &'a Email {
        self.address.as_ref().unwrap_or(&user.email)
    }
}

/// Derives codes and redeems them. One per service.
pub(crate) struct Codes(MacKey);

impl Codes {
    /// Reads the service's MAC key, or creates it.
    pub(crate) fn open(context: &Context) -> Result<Self, chassis::Error> {
        Ok(Self(MacKey::open(context, mac_keys::CODES)?))
    }

    /// The requested code of an account, if it is still valid.
    pub(crate) fn current(
        &self,
        read: &impl Read,
        user: &User,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<Option<String>, Error> {
        let requested = read.get(CODES, &(user.id, number(purpose)))?;
        let requested = requested.filter(|requested| requested.is_live(now));
        Ok(requested.map(|requested| {
            let address = requested.address(user);
            spell(self.value(user.id, address, purpose, requested.nonce))
        }))
    }

    /// Redeems the code of an account: a right one is used up, a wrong one costs one of
    /// its tries. Returns whether it was right.
    pub(crate) fn redeem(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        purpose: CodePurpose,
        typed: &str,
        now: Time,
    ) -> Result<bool, store::Error> {
        let key = (user.id, number(purpose));
        let requested = tx.get(CODES, &key)?;
        let Some(requested) = requested.filter(|requested| requested.is_live(now)) else {
            return Ok(false);
        };
        // Comparing integers takes the same time whichever digits differ.
        let address = requested.address(user);
        let is_right = read(typed) == Some(self.value(user.id, address, purpose, requested.nonce));
        let tries_left = requested.tries_left - 1;
        if is_right || tries_left == 0 {
            tx.delete(CODES, &key)?;
        } else {
            tx.put(CODES, &key, &Requested { tries_left, ..requested })?;
        }
        Ok(is_right)
    }

    /// The token that undoes a change of address: account and change, with a 256-bit MAC.
    pub(crate) fn undo_token(&self, user_id: UserId, change_id: EmailChangeId) -> String {
        let token = self.0.append((user_id, change_id).encode());
        format!("{UNDO_PREFIX}{}", BASE64URL_NOPAD.encode(&token))
    }

    /// Parses a token that undoes a change of address and verifies its MAC.
    pub(crate) fn read_undo_token(&self, token: &str) -> Option<(UserId, EmailChangeId)> {
        let encoded = token.trim().strip_prefix(UNDO_PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        Key::decode(self.0.verify(&bytes)?)
    }

    fn value(&self, user_id: UserId, address: &Email, purpose: CodePurpose, nonce: u64) -> u64 {
        value_of(self.0.mac(&[
            user_id.uuid().as_bytes(),
            address.key().as_bytes(),
            &number(purpose).to_be_bytes(),
            &nonce.to_be_bytes(),
        ]))
    }
}

/// The code that a MAC is cut to.
pub(crate) fn value_of(mac: [u8; 16]) -> u64 {
    let (first, _) = mac.split_first_chunk().expect("a MAC has 16 bytes");
    u64::from_be_bytes(*first) >> (u64::BITS - 5 * LENGTH)
}

/// Requests a code for an account: a new one, unless the previous one was requested less than
/// half its life ago. Returns its expiry.
pub(crate) fn request(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
    now: Time,
) -> Result<Time, store::Error> {
    put(tx, user_id, purpose, None, now)
}

/// Requests the code that changes an account's address to `address`, where it is sent to, as
/// [`request`] does. Returns its expiry.
pub(crate) fn request_change(
    tx: &mut Tx<'_>,
    user_id: UserId,
    address: Email,
    now: Time,
) -> Result<Time, store::Error> {
    put(tx, user_id, CodePurpose::EmailChange, Some(address), now)
}

/// The address that an account is about to change to.
pub(crate) fn pending_email(
    read: &impl Read,
    user_id: UserId,
    now: Time,
) -> Result<Option<Email>, store::Error> {
    let requested = read.get(CODES, &(user_id, number(CodePurpose::EmailChange)))?;
    let requested = requested.filter(|requested| requested.is_live(now));
    Ok(requested.and_then(|requested| requested.address))
}

fn put(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
    address: Option<Email>,
    now: Time,
) -> Result<Time, store::Error> {
    let key = (user_id, number(purpose));
    // A repeated request sends the same code, so that the code of either mail is right, and a
    // stranger's request does not invalidate the owner's code.
    let known = tx
        .get(CODES, &key)?
        .filter(|known| known.address == address);
    if let Some(known) = known.filter(|known| known.is_live(now))
        && now.after(LIFE / 2) <= known.until
    {
        return Ok(known.until);
    }
    let until = now.after(LIFE);
    let requested = Requested { nonce: rand::random(), tries_left: TRIES, until, address };
    tx.put(CODES, &key, &requested)?;
    Ok(until)
}

/// Invalidates the code of an account.
pub(crate) fn revoke(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
) -> Result<(), store::Error> {
    tx.delete(CODES, &(user_id, number(purpose)))
}

/// A purpose's number in stored keys: never changes.
fn number(purpose: CodePurpose) -> u16 {
    match purpose {
        CodePurpose::Unknown => 0,
        CodePurpose::PasswordReset => 1,
        CodePurpose::EmailVerification => 2,
        CodePurpose::EmailChange => 3,
    }
}

/// `K7M2Q-0XH4D`
pub(crate) fn spell(value: u64) -> String {
    let letter = |place: u32| {
        let index = (value >> (5 * (LENGTH - 1 - place))) & 31;
        char::from(ALPHABET[usize::try_from(index).expect("five bits fit")])
    };
    let mut code: String = (0..LENGTH).map(letter).collect();
    code.insert(5, '-');
    code
}

/// Parses a typed code: any case, dashes and blanks anywhere, and I, L and O read as the
/// digits they resemble.
pub(crate) fn read(typed: &str) -> Option<u64> {
    let letters = typed.chars().filter(|c| *c != '-' && !c.is_whitespace());
    let mut value: u64 = 0;
    let mut count = 0;
    for letter in letters {
        let digit = match letter.to_ascii_uppercase() {
            'O' => 0,
            'I' | 'L' => 1,
            letter => ALPHABET.iter().position(|one| char::from(*one) == letter)?,
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

    #[test]
    fn typed_variants_parse_to_the_same_code() {
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
    fn a_code_is_bound_to_account_address_purpose_and_nonce() {
        let codes = Codes(MacKey::of_bytes([7; 32]));
        let email = |text| Email::parse(text).unwrap();
        let ana = User::new(email("ana@x.org"), "Ana".into(), Time(1));
        let other = model::Id::new();
        let (address, reset) = (&ana.email, CodePurpose::PasswordReset);
        let code = codes.value(ana.id, address, reset, 1);
        assert_eq!(code, codes.value(ana.id, address, reset, 1));
        for different in [
            codes.value(ana.id, &email("ana@y.org"), reset, 1),
            codes.value(other, address, reset, 1),
            codes.value(ana.id, address, CodePurpose::EmailVerification, 1),
            codes.value(ana.id, address, reset, 2),
        ] {
            assert_ne!(code, different);
        }
    }

    #[test]
    fn only_our_own_undo_tokens_are_read() {
        let codes = Codes(MacKey::of_bytes([7; 32]));
        let change = (model::Id::new(), model::Id::new());
        let token = codes.undo_token(change.0, change.1);
        assert_eq!(codes.read_undo_token(&token), Some(change));
        assert_eq!(
            Codes(MacKey::of_bytes([8; 32])).read_undo_token(&token),
            None
        );
        for wrong in ["", UNDO_PREFIX, &token[1..], &token[..token.len() - 4]] {
            assert_eq!(codes.read_undo_token(wrong), None, "{wrong}");
        }
    }
}
