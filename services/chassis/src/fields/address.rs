//! Postal addresses in request bodies: `fields.object::<Address>("shipping_address")`, or
//! `Address::read` for a body that has the fields of an address among its own.
//!
//! **Invariant:** an address that is read without a fault is within the bounds of
//! [`Address`], and its texts are in the form in which they are stored.

use model::{Address, Country};

use super::{Fields, REQUIRED, ReadFields};

impl ReadFields for Address {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields.required("name", filled);
        let company = optional(fields, "company");
        let line1 = fields.required("line1", filled);
        let line2 = optional(fields, "line2");
        let postal_code = optional(fields, "postal_code");
        let city = fields.required("city", filled);
        let region = optional(fields, "region");
        let country = fields.required("country", country);
        let phone = optional(fields, "phone");
        let address = Self {
            name: name?,
            company,
            line1: line1?,
            line2,
            postal_code,
            city: city?,
            region,
            country: country?,
            phone,
        };
        let bytes = address.len_bytes();
        if bytes > Self::BYTES_MAX {
            let most = Self::BYTES_MAX;
            let detail =
                format!("the whole address has {bytes} bytes in UTF-8; at most {most} are allowed");
            fields.fault("", detail);
        }
        Some(address)
    }
}

/// An optional text; an empty one is absent.
fn optional(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    fields.optional(name, text).flatten()
}

fn filled(given: &str) -> Result<String, String> {
    text(given)?.ok_or_else(|| REQUIRED.into())
}

/// A text of one line as it is stored; `None` if it is empty.
fn text(given: &str) -> Result<Option<String>, String> {
    let text = model::normalised(given);
    if text.is_empty() {
        return Ok(None);
    }
    let (chars, most) = (text.chars().count(), Address::FIELD_CHARS_MAX);
    if chars > most {
        return Err(format!(
            "has {chars} characters; at most {most} are allowed"
        ));
    }
    match model::is_legible(&text) {
        true => Ok(Some(text.into_owned())),
        false => Err(model::ILLEGIBLE.into()),
    }
}

fn country(given: &str) -> Result<Country, String> {
    match &*model::normalised(given) {
        "" => Err(REQUIRED.into()),
        code => code.parse::<Country>().map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fields::BodyFault;

    /// A body with an address among other fields, as orders have it.
    #[derive(Debug)]
    struct Parcel(Option<Address>);

    impl ReadFields for Parcel {
        fn read(fields: &mut Fields<'_>) -> Option<Self> {
            Some(Self(fields.object("shipping_address")))
        }
    }

    /// The address as it is shown, or the pointers of the faults.
    fn read(address: &Value) -> Result<Value, Vec<String>> {
        let body = json!({ "shipping_address": address }).to_string();
        match Fields::read_text::<Parcel>(body.as_bytes()) {
            Ok(Parcel(address)) => Ok(serde_json::to_value(address).unwrap()),
            Err(BodyFault::Invalid(faults)) => {
                Err(faults.into_iter().map(|fault| fault.pointer).collect())
            }
            Err(BodyFault::Unreadable(why)) => Err(vec![why]),
        }
    }

    fn ana() -> Value {
        json!({ "name": "Ana Lima", "line1": "Rua 1", "city": "Porto", "country": "PT" })
    }

    /// The address with these fields set.
    fn with(changes: Value) -> Value {
        let mut address = ana();
        for (name, value) in changes.as_object().unwrap() {
            address[name] = value.clone();
        }
        address
    }

    #[test]
    fn addresses_as_given_and_as_stored() {
        let full = json!({
            "name": "Ana Lima", "company": "Lampas Lda", "line1": "Rua 1", "line2": "3º Dto.",
            "postal_code": "4000-001", "city": "Porto", "region": "Norte", "country": "PT",
            "phone": "+351 22 000 0000"
        });
        for (given, stored) in [
            (json!(null), json!(null)),
            (full.clone(), full),
            (ana(), ana()),
            (
                with(json!({ "company": null, "line2": "", "region": " ", "phone": null })),
                ana(),
            ),
            (
                with(json!({ "name": " Ana Lima\u{a0}", "country": " pt" })),
                ana(),
            ),
            (
                with(json!({ "city": "Sa\u{303}o Paulo", "country": "Br" })),
                with(json!({ "city": "São Paulo", "country": "BR" })),
            ),
            (
                with(json!({ "city": "ö".repeat(200) })),
                with(json!({ "city": "ö".repeat(200) })),
            ),
        ] {
            assert_eq!(read(&given).as_ref(), Ok(&stored), "{given}");
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        let at = |names: &[&str]| -> Vec<String> {
            let pointer = |name: &&str| format!("/shipping_address{name}");
            names.iter().map(pointer).collect()
        };
        let required = at(&["/name", "/line1", "/city", "/country"]);
        for (given, pointers) in [
            (json!({}), required.clone()),
            (
                with(json!({ "name": "", "line1": " ", "city": null, "country": "" })),
                required,
            ),
            (json!("Porto"), at(&[""])),
            (with(json!({ "country": "UK" })), at(&["/country"])),
            (with(json!({ "country": "Portugal" })), at(&["/country"])),
            (with(json!({ "country": 620 })), at(&["/country"])),
            (
                with(json!({ "line1": "Rua 1\nPorto", "line2": "\u{200b}" })),
                at(&["/line1", "/line2"]),
            ),
            (
                with(json!({ "name": "\u{202e}anA", "phone": "1\u{0}" })),
                at(&["/name", "/phone"]),
            ),
            (with(json!({ "city": "ö".repeat(201) })), at(&["/city"])),
            (
                with(json!({
                    "name": "港".repeat(200), "company": "港".repeat(200),
                    "line1": "港".repeat(200), "line2": "港".repeat(200)
                })),
                at(&[""]),
            ),
            (
                with(json!({ "zip": "4000" })),
                vec!["/shipping_address: unknown field `zip`".into()],
            ),
        ] {
            assert_eq!(read(&given), Err(pointers), "{given}");
        }
    }
}
