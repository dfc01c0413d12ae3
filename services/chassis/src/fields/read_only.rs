//! Read-only fields of a resource: a request may repeat them as they were read, so that what a
//! `GET` responds can be changed in one place and sent back, and may not change them.

use serde::Serialize;
use serde_json::Value;

use super::Fields;
use crate::FieldError;

/// The read-only fields that a request has, with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOnly(Vec<(&'static str, Value)>);

impl ReadOnly {
    /// Takes the fields of these names.
    pub fn read(fields: &mut Fields<'_>, names: &'static [&'static str]) -> Self {
        let given = names
            .iter()
            .filter_map(|name| Some((*name, fields.value(name)?)));
        Self(given.collect())
    }

    /// The faults of those that are not as `shown` in a response; of a resource that does not
    /// exist yet (`&None::<()>`), of all.
    pub fn faults(&self, shown: &impl Serialize) -> Vec<FieldError> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let shown = serde_json::to_value(shown).unwrap_or_default();
        let differing = self.0.iter();
        let differing = differing.filter(|(name, value)| shown.get(name) != Some(value));
        let fault = |(name, _): &(&str, Value)| {
            let detail = match shown.get(name) {
                Some(value) => format!("cannot be changed; it is {value}"),
                None => "is set by the shop; leave it out".into(),
            };
            FieldError::new(format!("/{name}"), detail)
        };
        differing.map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::ReadFields;

    struct Lamp(ReadOnly);

    impl ReadFields for Lamp {
        fn read(fields: &mut Fields<'_>) -> Option<Self> {
            Some(Self(ReadOnly::read(fields, &["id", "price"])))
        }
    }

    #[test]
    fn what_differs_is_a_fault() {
        let shown = json!({ "id": "prod_1", "price": { "amount": 1 }, "title": "Lamp" });
        for (given, of_known, of_new) in [
            (json!({}), &[][..], &[][..]),
            (json!({ "id": null }), &[], &[]),
            (
                json!({ "id": "prod_1", "price": { "amount": 1 } }),
                &[],
                &["/id", "/price"],
            ),
            (
                json!({ "id": "prod_2", "price": 1 }),
                &["/id", "/price"],
                &["/id", "/price"],
            ),
        ] {
            let text = given.to_string();
            let Lamp(read_only) = Fields::read_text(text.as_bytes()).ok().unwrap();
            let pointers = |faults: Vec<FieldError>| -> Vec<String> {
                faults.into_iter().map(|fault| fault.pointer).collect()
            };
            assert_eq!(pointers(read_only.faults(&shown)), of_known, "{given}");
            assert_eq!(pointers(read_only.faults(&None::<()>)), of_new, "{given}");
        }
    }
}
