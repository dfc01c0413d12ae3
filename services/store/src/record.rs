//! Values as bytes: one version byte, then MessagePack with field names.
//!
//! Named fields make a record self-describing, so a new optional field
//! (`#[serde(default)]`) needs no new version and an old binary ignores it. A
//! change that optional fields cannot express raises [`Record::VERSION`] and extends
//! [`Record::upgrade`] by the older version.

use model::{Id, Kind, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can be a table's value.
pub trait Record: Serialize + DeserializeOwned {
    /// The version byte before the body; never reused for another shape.
    const VERSION: u8 = 1;

    /// Reads the body of an older (or newer) version.
    ///
    /// # Errors
    /// When this binary does not know that version.
    fn upgrade(version: u8, _body: &[u8]) -> Result<Self, String> {
        Err(format!(
            "it has version {version} and this program reads up to {}; was it written by a newer konbini?",
            Self::VERSION
        ))
    }
}

impl Record for () {}
impl Record for u64 {}
impl Record for i64 {}
impl Record for String {}
impl Record for Time {}
impl<K: Kind> Record for Id<K> {}

/// A record's bytes.
///
/// # Errors
/// When serde cannot express the value, which does not happen for plain structs.
pub fn encode<V: Record>(value: &V) -> Result<Vec<u8>, String> {
    let mut out = vec![V::VERSION];
    rmp_serde::encode::write_named(&mut out, value).map_err(|error| error.to_string())?;
    Ok(out)
}

/// The record of these bytes.
///
/// # Errors
/// When they are empty, of an unknown version, or not this type.
pub fn decode<V: Record>(bytes: &[u8]) -> Result<V, String> {
    match bytes.split_first() {
        Some((&version, body)) if version == V::VERSION => {
            rmp_serde::from_slice(body).map_err(|error| error.to_string())
        }
        Some((&version, body)) => V::upgrade(version, body),
        None => Err("it is empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Lamp {
        name: String,
        watts: u16,
    }
    impl Record for Lamp {}

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct LampNow {
        name: String,
        watts: u16,
        #[serde(default)]
        dimmable: bool,
    }
    impl Record for LampNow {}

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let lamp = Lamp { name: "Mori".into(), watts: 9 };
        let bytes = encode(&lamp).unwrap();
        assert_eq!(bytes, b"\x01\x82\xa4name\xa4Mori\xa5watts\x09");
        assert_eq!(decode::<Lamp>(&bytes).unwrap(), lamp);
    }

    #[test]
    fn fields_may_be_added_and_unknown_versions_are_refused() {
        let old = encode(&Lamp { name: "Mori".into(), watts: 9 }).unwrap();
        let now: LampNow = decode(&old).unwrap();
        assert!(!now.dimmable);
        let back: Lamp = decode(&encode(&now).unwrap()).unwrap();
        assert_eq!(back.name, "Mori");

        let mut newer = old.clone();
        newer[0] = 9;
        assert!(decode::<Lamp>(&newer).unwrap_err().contains("version 9"));
        assert!(decode::<Lamp>(&[]).is_err());
        assert!(decode::<Lamp>(&old[..old.len() - 1]).is_err());
    }
}
