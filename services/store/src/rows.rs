//! The encoding of rows in records of the journal and in snapshots.
//!
//! Rows by table: the name's length (1 byte), the name, the number of rows (4); each row its
//! key's length (2), the key, its value's length (4), the value. Numbers are little-endian.
//! Rows are whole values, so those of several records may be put over each other.

use std::collections::BTreeMap;

use crate::overlay::Rows;

/// In place of a value's length, for a row that is removed.
const REMOVED: u32 = u32::MAX;

/// Appends the rows of a table.
pub(crate) fn encode<'r>(
    table: &str,
    rows: impl ExactSizeIterator<Item = (&'r Vec<u8>, Option<&'r Vec<u8>>)>,
    out: &mut Vec<u8>,
) {
    out.push(u8::try_from(table.len()).expect("table names are short words"));
    out.extend_from_slice(table.as_bytes());
    out.extend_from_slice(&length(rows.len()).to_le_bytes());
    for (key, value) in rows {
        let bytes = u16::try_from(key.len()).expect("keys are capped far below");
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(key);
        let bytes = value.map_or(REMOVED, |value| length(value.len()));
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(value.map(Vec::as_slice).unwrap_or_default());
    }
}

/// A length as it is encoded.
pub(crate) fn length(of: usize) -> u32 {
    u32::try_from(of).expect("values and batches are capped far below")
}

/// Puts the rows of a record over those of the records before it.
pub(crate) fn decode(mut bytes: &[u8], tables: &mut BTreeMap<String, Rows>) -> Option<()> {
    while let Some((&name, rest)) = bytes.split_first() {
        bytes = rest;
        let name = String::from_utf8(take(&mut bytes, name.into())?.to_vec()).ok()?;
        let rows = tables.entry(name).or_default();
        for _ in 0..long(&mut bytes)? {
            let length = u16::from_le_bytes(take(&mut bytes, 2)?.try_into().ok()?);
            let key = take(&mut bytes, length.into())?.to_vec();
            let value = match long(&mut bytes)? {
                REMOVED => None,
                length => Some(take(&mut bytes, usize::try_from(length).ok()?)?.to_vec()),
            };
            rows.insert(key, value);
        }
    }
    Some(())
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

/// Takes a number of 4 bytes.
pub(crate) fn long(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}
