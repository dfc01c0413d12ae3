//! Order-preserving encoding of keys.
//!
//! **Invariant:** `a < b` exactly when `encode(a) < encode(b)`, for tuples
//! field by field, so a table's scan order is its key type's order and a prefix
//! of a tuple is a prefix of its bytes.

use model::{Id, Kind, Time};

/// A type that can be a table's key.
pub trait Key: Sized {
    /// Appends the order-preserving bytes of this key.
    fn write_to(&self, out: &mut Vec<u8>);

    /// Decodes a key from the front of `bytes`; `None` if they are not one.
    fn read_from(bytes: &mut &[u8]) -> Option<Self>;

    /// The key's bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        self.write_to(&mut out);
        out
    }

    /// The key of exactly these bytes; `None` for any other length or content.
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let key = Self::read_from(&mut bytes)?;
        bytes.is_empty().then_some(key)
    }
}

/// The leading fields of the tuple key `K`, which a prefix scan accepts.
pub trait Prefix<K>: Key {}

impl<A: Key, B: Key> Prefix<(A, B)> for A {}
impl<A: Key, B: Key, C: Key> Prefix<(A, B, C)> for A {}
impl<A: Key, B: Key, C: Key> Prefix<(A, B, C)> for (A, B) {}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

impl<const N: usize> Key for [u8; N] {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes, N)?.try_into().ok()
    }
}

impl Key for u16 {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.to_be_bytes().write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Key::read_from(bytes).map(Self::from_be_bytes)
    }
}

impl Key for u64 {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.to_be_bytes().write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Key::read_from(bytes).map(Self::from_be_bytes)
    }
}

/// The sign bit is flipped so that negative numbers sort first.
impl Key for i64 {
    fn write_to(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        u64::read_from(bytes).map(|bits| (bits ^ (1 << 63)).cast_signed())
    }
}

/// A zero byte is escaped as `00 FF` and the bytes end with `00 00`, so that
/// "a" sorts before "ab" even when another field follows.
impl Key for Vec<u8> {
    fn write_to(&self, out: &mut Vec<u8>) {
        write_escaped(self, out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        let mut unescaped = Self::new();
        loop {
            match take(bytes, 1)?[0] {
                0 => match take(bytes, 1)?[0] {
                    0 => return Some(unescaped),
                    0xFF => unescaped.push(0),
                    _ => return None,
                },
                byte => unescaped.push(byte),
            }
        }
    }
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// As its bytes.
impl Key for String {
    fn write_to(&self, out: &mut Vec<u8>) {
        write_escaped(self.as_bytes(), out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(Key::read_from(bytes)?).ok()
    }
}

/// An id's 16 bytes: a table keyed by id is in order of creation.
impl<K: Kind> Key for Id<K> {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.uuid().as_bytes().write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        let raw = <[u8; 16]>::read_from(bytes)?;
        Some(Self::from_uuid(uuid::Uuid::from_bytes(raw)))
    }
}

impl Key for Time {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.0.write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        i64::read_from(bytes).map(Self)
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.0.write_to(out);
        self.1.write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read_from(bytes)?, B::read_from(bytes)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.0.write_to(out);
        self.1.write_to(out);
        self.2.write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Some((
            A::read_from(bytes)?,
            B::read_from(bytes)?,
            C::read_from(bytes)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_keep_their_order_and_round_trip(a: (Vec<u8>, u16), b: (Vec<u8>, u16)) {
            let (left, right) = (a.encode(), b.encode());
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            prop_assert_eq!(<(Vec<u8>, u16)>::decode(&left), Some(a));
        }

        #[test]
        fn keys_keep_their_order_and_round_trip(a: (String, i64, u16), b: (String, i64, u16)) {
            let (left, right) = (a.encode(), b.encode());
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            prop_assert_eq!(<(String, i64, u16)>::decode(&left), Some(a.clone()));
            // Every wrong length is refused, never read as another key.
            prop_assert_eq!(<(String, i64, u16)>::decode(&left[..left.len() - 1]), None);
            let longer = [left.as_slice(), &[7]].concat();
            prop_assert_eq!(<(String, i64, u16)>::decode(&longer), None);
            prop_assert!(left.starts_with(&a.0.encode()));
        }
    }
}
