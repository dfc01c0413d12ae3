//! Request bodies, read field by field into domain types.
//!
//! A body type implements [`ReadFields`] and is extracted with [`ParsedBody`], or with
//! [`CheckedBody`] where the handler itself refuses an invalid body. Its `read` asks for every
//! field by name, parses it in place, and builds the value from what it got. An import reads a
//! line the same way with [`Fields::read_text`].
//!
//! ```
//! use chassis::fields::{BodyFault, Fields, ReadFields};
//!
//! struct Greeting {
//!     name: String,
//!     times: Option<u8>,
//! }
//!
//! fn name(text: &str) -> Result<String, &'static str> {
//!     if text.is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) }
//! }
//!
//! impl ReadFields for Greeting {
//!     fn read(fields: &mut Fields<'_>) -> Option<Self> {
//!         let name = fields.required("name", name);
//!         let times = fields.value("times");
//!         Some(Self { name: name?, times })
//!     }
//! }
//!
//! let greeting: Greeting = Fields::read_text(br#"{ "name": "Ana" }"#).unwrap();
//! assert_eq!((greeting.name.as_str(), greeting.times), ("Ana", None));
//!
//! // Every invalid field is reported, each with its JSON pointer (RFC 6901).
//! let Err(BodyFault::Invalid(faults)) = Fields::read_text::<Greeting>(br#"{ "times": 300 }"#) else {
//!     panic!("the name is missing")
//! };
//! assert_eq!(faults[0].pointer, "/name");
//! assert_eq!(faults[1].pointer, "/times");
//!
//! // So is every unknown one, and that makes the whole body unreadable.
//! let unknown = Fields::read_text::<Greeting>(br#"{ "nmae": "Ana", "tims": 3 }"#);
//! assert!(matches!(unknown, Err(BodyFault::Unreadable(_))));
//! ```
//!
//! **Invariant:** an invalid field reads as absent and is recorded, so reading always goes
//! on to the next field; a value is valid only if nothing was recorded.

mod address;
mod body;
mod price;
mod read_only;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::body::{CheckedBody, ParsedBody};
pub use self::price::Price;
pub use self::read_only::ReadOnly;
use crate::json::{ParseError, escape, parse_fields};
use crate::{FieldError, Problem};

/// The number of faults reported of one body; more would help no client.
const FAULTS_MAX: usize = 100;
/// The length to which the name of an unknown field is cut in a report.
const NAME_CHARS_MAX: usize = 64;

/// The fault of a required field that is absent.
pub const REQUIRED: &str = "is required";

/// A type that is read from the fields of a JSON object.
pub trait ReadFields: Sized {
    /// Whether a request may come without a body, which then counts as `{}`.
    const MAY_BE_ABSENT: bool = false;

    /// Reads every field, then builds the value. `None` only where a field that it needs
    /// is absent or invalid.
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// The reason a body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyFault {
    /// Malformed JSON, or unknown fields.
    Unreadable(String),
    /// Well-formed but invalid: every field at fault.
    Invalid(Vec<FieldError>),
}

impl From<ParseError> for BodyFault {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Unreadable(why) => Self::Unreadable(why),
            ParseError::Field(error) => Self::Invalid(vec![error]),
        }
    }
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Unreadable(why) => Self::bad_request(why),
            BodyFault::Invalid(errors) => Self::invalid(errors),
        }
    }
}

/// The fields of one JSON object that were not read yet, and the faults found so far.
/// A `null` counts as absent.
#[derive(Debug)]
pub struct Fields<'a> {
    /// Of the object itself.
    pointer: String,
    members: Members<'a>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Faults {
    unreadable: Vec<String>,
    invalid: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Reads a whole JSON text.
    ///
    /// # Errors
    /// [`BodyFault::Unreadable`] takes precedence over [`BodyFault::Invalid`].
    pub fn read_text<T: ReadFields>(text: &'a [u8]) -> Result<T, BodyFault> {
        let body = Self::read_checked(text)?;
        body.valid().map_err(BodyFault::Invalid)
    }

    /// Checks the names of a merge patch (RFC 7396) of a `T`, whose values are valid or not
    /// only after the merge.
    ///
    /// # Errors
    /// When the text is not an object, or a field is unknown.
    pub fn check_names<T: ReadFields>(patch: &'a [u8]) -> Result<(), BodyFault> {
        Self::read_checked::<T>(patch).map(|_| ())
    }

    /// Reads a whole JSON text and returns its faults with what was read.
    ///
    /// # Errors
    /// [`BodyFault::Unreadable`], or [`BodyFault::Invalid`] when the text is not an object.
    pub fn read_checked<T: ReadFields>(text: &'a [u8]) -> Result<CheckedBody<T>, BodyFault> {
        let members = parse_fields(text)?;
        let mut fields = Fields { pointer: String::new(), members, faults: Faults::default() };
        let value = T::read(&mut fields);
        fields.refuse_unknown();
        let Faults { unreadable, invalid: faults } = fields.faults;
        if !unreadable.is_empty() {
            return Err(BodyFault::Unreadable(unreadable.join("; ")));
        }
        Ok(CheckedBody { value, faults })
    }

    /// A required text, parsed.
    pub fn required<T, E: Into<String>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.require(name);
        self.optional(name, parse)
    }

    /// An optional text, parsed.
    pub fn optional<T, E: Into<String>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.parsed(name, |Text(text)| parse(&text))
    }

    /// A required value of a type that checks itself as it is deserialised.
    pub fn required_value<T: Deserialize<'a>>(&mut self, name: &str) -> Option<T> {
        self.require(name);
        self.value(name)
    }

    /// An optional value of a type that checks itself as it is deserialised.
    pub fn value<T: Deserialize<'a>>(&mut self, name: &str) -> Option<T> {
        let raw = self.raw(name)?;
        self.value_at(&format!("/{name}"), raw)
    }

    /// An optional value, checked by `check`.
    pub fn parsed<V: Deserialize<'a>, T, E: Into<String>>(
        &mut self,
        name: &str,
        check: impl FnOnce(V) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(name)?;
        self.checked(&format!("/{name}"), check(value))
    }

    /// A field of a merge patch (RFC 7396), parsed: `Some(None)` for a `null`, which removes the
    /// value, and `None` for an absent or invalid field, which leaves it as it is.
    pub fn patched<T, E: Into<String>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        match self.take_null(name) {
            true => Some(None),
            false => self.optional(name, parse).map(Some),
        }
    }

    /// Takes a field that is given as `null`; whether it was.
    pub fn take_null(&mut self, name: &str) -> bool {
        let member = self.members.0.get(name);
        let is_null = member.is_some_and(|raw| raw.get() == "null");
        if is_null {
            self.members.0.remove(name);
        }
        is_null
    }

    /// An optional object.
    pub fn object<T: ReadFields>(&mut self, name: &str) -> Option<T> {
        let raw = self.raw(name)?;
        self.object_at(&format!("/{name}"), raw)
    }

    /// The entries of a list, each with its pointer; none if it is absent. Entries beyond
    /// `entries_max` are a fault and are left out.
    pub fn list(&mut self, name: &str, entries_max: usize) -> Vec<(String, &'a RawValue)> {
        let mut entries: Vec<&'a RawValue> = self.value(name).unwrap_or_default();
        let given = entries.len();
        if given > entries_max {
            let why = format!("has {given} entries; at most {entries_max} are allowed");
            self.fault(&format!("/{name}"), why);
            entries.truncate(entries_max);
        }
        let entries = entries.into_iter().enumerate();
        entries
            .map(|(place, raw)| (format!("/{name}/{place}"), raw))
            .collect()
    }

    /// The members of an optional object under names that the client chooses: each with its
    /// pointer, and its value unread.
    pub fn members(&mut self, name: &str) -> Vec<(String, String, &'a RawValue)> {
        let Members(members) = self.value(name).unwrap_or_default();
        let members = members.into_iter();
        members
            .map(|(key, raw)| (format!("/{name}/{}", escape(&key)), key.into_owned(), raw))
            .collect()
    }

    /// An optional object of texts under names that the client chooses. A name with `null` is
    /// absent, as a field is.
    pub fn texts(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        let Members(members) = self.value(name)?;
        let given = members.into_iter().filter(|(_, raw)| raw.get() != "null");
        let texts = given.filter_map(|(key, raw)| {
            let text = self.value_at(&format!("/{name}/{}", escape(&key)), raw)?;
            Some((key.into_owned(), text))
        });
        Some(texts.collect())
    }

    /// A value at `pointer` below this object: an entry of a list or a map.
    pub fn value_at<T: Deserialize<'a>>(&mut self, pointer: &str, raw: &'a RawValue) -> Option<T> {
        match parse_fields(raw.get().as_bytes()) {
            Ok(value) => return Some(value),
            Err(ParseError::Field(error)) => {
                self.fault(&format!("{pointer}{}", error.pointer), error.detail);
            }
            Err(ParseError::Unreadable(why)) => {
                self.unreadable(format!("{}{pointer}: {why}", self.pointer));
            }
        }
        None
    }

    /// A text at `pointer` below this object, parsed.
    pub fn parsed_at<T, E: Into<String>>(
        &mut self,
        pointer: &str,
        raw: &'a RawValue,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text: Text<'_> = self.value_at(pointer, raw)?;
        self.checked(pointer, parse(&text.0))
    }

    fn checked<T, E: Into<String>>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|why| self.fault(pointer, why)).ok()
    }

    /// An object at `pointer` below this one: an entry of a list or a map.
    pub fn object_at<T: ReadFields>(&mut self, pointer: &str, raw: &'a RawValue) -> Option<T> {
        let members = self.value_at(pointer, raw)?;
        let pointer = format!("{}{pointer}", self.pointer);
        let faults = std::mem::take(&mut self.faults);
        let mut fields = Fields { pointer, members, faults };
        let value = T::read(&mut fields);
        fields.refuse_unknown();
        self.faults = fields.faults;
        value
    }

    /// Whether a field is there, unread.
    pub fn has(&self, name: &str) -> bool {
        let member = self.members.0.get(name);
        member.is_some_and(|raw| raw.get() != "null")
    }

    /// Takes a field as it is.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let raw = self.members.0.remove(name)?;
        (raw.get() != "null").then_some(raw)
    }

    /// Records a fault, if the field is absent.
    pub fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.fault(&format!("/{name}"), REQUIRED);
        }
    }

    /// Records a fault of the value at `pointer` below this object.
    pub fn fault(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.faults.invalid.len() < FAULTS_MAX {
            let pointer = format!("{}{pointer}", self.pointer);
            self.faults.invalid.push(FieldError::new(pointer, detail));
        }
    }

    fn unreadable(&mut self, why: String) {
        if self.faults.unreadable.len() < FAULTS_MAX {
            self.faults.unreadable.push(why);
        }
    }

    fn refuse_unknown(&mut self) {
        for (name, _) in std::mem::take(&mut self.members.0)
            .into_iter()
            .take(FAULTS_MAX)
        {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            let place = if self.pointer.is_empty() { "" } else { ": " };
            self.unreadable(format!("{}{place}unknown field `{name}`", self.pointer));
        }
    }
}

/// The members of an object by name, their values unread.
#[derive(Debug, Default)]
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

/// A text, borrowed where it has no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, &RawValue>()? {
                    if members.contains_key(&name) {
                        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                    members.insert(name, raw);
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Lamp {
        title: String,
        price: Price,
        sizes: Vec<u8>,
    }

    #[derive(Debug, PartialEq)]
    struct Price(i64);

    impl ReadFields for Lamp {
        fn read(fields: &mut Fields<'_>) -> Option<Self> {
            let title = fields.required("title", |text| Ok::<_, String>(text.to_owned()));
            fields.require("price");
            let price = fields.object("price");
            let mut sizes = Vec::new();
            for (pointer, raw) in fields.list("sizes", 2) {
                sizes.extend(fields.value_at::<u8>(&pointer, raw));
            }
            Some(Self { title: title?, price: price?, sizes })
        }
    }

    impl ReadFields for Price {
        fn read(fields: &mut Fields<'_>) -> Option<Self> {
            fields.required_value("amount").map(Self)
        }
    }

    fn pointers(text: &str) -> Vec<String> {
        match Fields::read_text::<Lamp>(text.as_bytes()) {
            Err(BodyFault::Invalid(errors)) => errors.into_iter().map(|one| one.pointer).collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn unreadable(text: &str) -> String {
        match Fields::read_text::<Lamp>(text.as_bytes()) {
            Err(BodyFault::Unreadable(why)) => why,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn names_are_compared_unescaped() {
        let text = br#"{ "titl\u0065": "a\"b", "price": { "amount": 1 }, "sizes": [1, 2] }"#;
        let lamp: Lamp = Fields::read_text(text).unwrap();
        let title = "a\"b".to_owned();
        assert_eq!(lamp, Lamp { title, price: Price(1), sizes: vec![1, 2] });
    }

    #[test]
    fn every_invalid_field_is_reported() {
        assert_eq!(pointers("{}"), ["/title", "/price"]);
        assert_eq!(
            pointers(r#"{"title": null, "price": null}"#),
            ["/title", "/price"]
        );
        assert_eq!(pointers("[]"), [""]);
        assert_eq!(
            pointers(r#"{"title": 3, "price": {"amount": "1"}, "sizes": [1, 256, 3]}"#),
            ["/title", "/price/amount", "/sizes", "/sizes/1"]
        );
        assert_eq!(
            pointers(r#"{"title": "a", "price": {}}"#),
            ["/price/amount"]
        );
        assert_eq!(pointers(r#"{"title": "a", "title": "b"}"#).len(), 1);
    }

    #[test]
    fn unknown_fields_and_malformed_text_are_unreadable() {
        let why = unreadable(r#"{"titel": 1, "price": {"amount": 1, "cents": 2}, "x": []}"#);
        assert_eq!(
            why,
            "/price: unknown field `cents`; unknown field `titel`; unknown field `x`"
        );
        for text in ["{", "{\"title\": \"a\"} x", "{\"price\": {\"amount\": }}"] {
            unreadable(text);
        }
    }

    #[test]
    fn every_invalid_text_is_reported() {
        #[derive(Debug)]
        struct Labels(BTreeMap<String, String>);

        impl ReadFields for Labels {
            fn read(fields: &mut Fields<'_>) -> Option<Self> {
                fields.texts("labels").map(Self)
            }
        }

        let labels: Labels = Fields::read_text(br#"{"labels": {"a": "b", "c": null}}"#).unwrap();
        assert_eq!(labels.0, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let labels = Fields::read_checked::<Labels>(br#"{"labels": {"a/b": 1, "c": 2}}"#);
        let faults = labels.unwrap().faults.into_iter();
        let pointers: Vec<_> = faults.map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/labels/a~1b", "/labels/c"]);
    }

    #[test]
    fn reports_are_bounded() {
        let many: Vec<String> = (0..500).map(|place| format!("\"{place}\":1")).collect();
        let why = unreadable(&format!("{{{}}}", many.join(",")));
        assert_eq!(why.matches("unknown").count(), FAULTS_MAX);
    }
}
